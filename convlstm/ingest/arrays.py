"""Readers of .npy and .npz, whose axes `raw_axes` names; they say nothing of their numbers."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from convlstm.ingest.blocks import Content, Variable, axes_of
from convlstm.ingest.params import Reading, unreadable
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame

SUFFIXES = (".npy", ".npz")
SIGNATURE = re.compile(rb"\x93NUMPY|PK\x03\x04(?s:.{26})[^/\0]*?\.npy")  # an archive of arrays only
MOST_UNPACKED_BYTES = 2**32

_LAST: dict[tuple[Any, ...], np.ndarray] = {}
"""The last .npz with several sequences, which would otherwise be unpacked for each of them."""
_UNPACKING = Lock()


def extent(path: Path, reading: Reading) -> tuple[int, int]:
    """Return the number of sequences in the file (axis N) and of frames in each (axis T)."""
    with _opened(path, reading) as content:
        return content.extent


def frames(path: Path, reading: Reading, sequence: int = 0) -> Iterator[Frame]:
    """Yield the frames of one sequence of an array file; an .npz is unpacked as a whole.

    Raises:
        BadInput: the file cannot be read, or holds no such dataset, axes or numbers.
    """
    with _opened(path, reading) as content:
        yield from content.frames(sequence)


def named(names: list[str], path: Path, reading: Reading, hint: str = "") -> BadInput:
    """Return the error for a `raw_dataset` that chooses none of these names."""
    there = f"there are {names[:20]}" if names else "there is none"
    return BadInput(
        f"{path}: raw_dataset = {reading.raw_dataset!r} names no array in it; {there}{hint}"
    )


@contextmanager
def _opened(path: Path, reading: Reading) -> Iterator[Content]:
    """Open the array, a memory map or an unpacked one, and check its axes."""
    with unreadable(path, "an array file"), _array(path, reading) as array:
        variable = Variable(array, axes_of(array.shape, path, reading))
        variable.check(path, reading)
        yield Content((variable,))


@contextmanager
def _array(path: Path, reading: Reading) -> Iterator[Any]:
    # Opened here, because NumPy leaves a broken file open.
    with path.open("rb") as content:
        if content.read(2) != b"PK":
            yield np.load(path, mmap_mode="r", allow_pickle=False)
            return
        content.seek(0)
        with np.load(content, allow_pickle=False) as archive:
            name = _chosen(list(archive.files), path, reading)
            _check_size(archive, name)
            several = "N" in (reading.raw_axes or "")
            yield _unpacked(archive, name, path) if several else archive[name]


def _unpacked(archive: Any, name: str, path: Path) -> np.ndarray:
    """Return an array of the archive, unpacked if it is not the last one."""
    state = path.stat()
    key = (path.resolve(), state.st_mtime_ns, state.st_size, name)
    with _UNPACKING:
        if key not in _LAST:
            _LAST.clear()  # before unpacking, or there would be two of them in memory
            _LAST[key] = archive[name]
        return _LAST[key]


def _check_size(archive: Any, name: str) -> None:
    """Check that an array, which is unpacked as a whole, fits into the memory of most machines."""
    inside = archive.zip.namelist()
    unpacked = archive.zip.getinfo(name if name in inside else f"{name}.npy").file_size
    if unpacked > MOST_UNPACKED_BYTES:
        raise ValueError(f"unpacks to {unpacked:,} bytes; save it as .npy, which is read in parts")


def _chosen(names: list[str], path: Path, reading: Reading) -> str:
    wanted = reading.raw_dataset
    if wanted is None and len(names) == 1:
        return names[0]
    if isinstance(wanted, str) and wanted.strip("/") in names:
        return wanted.strip("/")
    raise named(names, path, reading)
