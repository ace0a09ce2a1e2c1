"""Readers of .npy and .npz, whose axes `raw_axes` names; they say nothing of their numbers."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from threading import Lock
from typing import Any
from zipfile import ZipInfo

import numpy as np

from convlstm.ingest.blocks import Content, Variable, axes_of
from convlstm.ingest.params import Reading, unreadable
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame

SUFFIXES = (".npy", ".npz")
SIGNATURE = re.compile(rb"\x93NUMPY|PK\x03\x04(?s:.{26})[^/\0]*?\.npy")  # an archive of arrays only
MOST_UNPACKED_BYTES = 2**32  # of an array in an .npz that is no stream of frames

_HEADS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
"""The readers of headers, by version; others are those of arrays of several fields."""

_LAST: dict[tuple[Any, ...], np.ndarray] = {}
"""The last .npz with several sequences, which would otherwise be unpacked for each of them."""
_UNPACKING = Lock()


def extent(path: Path, reading: Reading) -> tuple[int, int]:
    """Return the number of sequences in the file (axis N) and of frames in each (axis T)."""
    with _opened(path, reading) as content:
        return content.extent


def frames(path: Path, reading: Reading, sequence: int = 0, first: int = 0) -> Iterator[Frame]:
    """Yield the frames of one sequence of an array file from the first one on that is wanted.

    Raises:
        BadInput: the file cannot be read, or holds no such dataset, axes or numbers.
    """
    with _opened(path, reading) as content:
        yield from content.frames(sequence, first)


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
            content.seek(0)
            stream = _stream(content, path.stat().st_size, path, reading)
            yield stream or np.load(path, mmap_mode="r", allow_pickle=False)
            return
        content.seek(0)
        with np.load(content, allow_pickle=False) as archive:
            name = _chosen(list(archive.files), path, reading)
            packed = _packed(archive, name)
            with archive.zip.open(packed) as unpacked:
                stream = _stream(unpacked, packed.file_size, path, reading)
                yield stream or _whole(archive, name, path, reading)


class _Stream:
    """An array of frames that follow each other in a file: a block of them is read at a time."""

    def __init__(
        self, content: BufferedIOBase, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self._content, self._begin = content, content.tell()
        self.shape, self.dtype = shape, dtype

    def __getitem__(self, picks: tuple[Any, ...]) -> np.ndarray:
        start, stop, _ = picks[0].indices(self.shape[0])
        frame_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        self._content.seek(self._begin + start * frame_bytes)
        block = np.frombuffer(self._content.read((stop - start) * frame_bytes), self.dtype)
        return block.reshape(stop - start, *self.shape[1:])[(slice(None), *picks[1:])]


def _stream(content: BufferedIOBase, size: int, path: Path, reading: Reading) -> _Stream | None:
    """Return the array of an .npy, or None if it is none of frames that follow each other.

    Raises:
        ValueError: the file ends before the array does.
    """
    head = _HEADS.get(np.lib.format.read_magic(content))
    if head is None:
        return None
    shape, is_fortran, dtype = head(content)
    axes = axes_of(shape, path, reading)
    if is_fortran or dtype.hasobject or not axes.startswith("T") or "N" in axes:
        return None
    if content.tell() + math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"ends after {size:,} bytes")
    return _Stream(content, shape, dtype)


def _whole(archive: Any, name: str, path: Path, reading: Reading) -> np.ndarray:
    """Return an array of the archive, unpacked as a whole; its sequences share it.

    Raises:
        ValueError: it hardly fits into the memory of most machines.
    """
    size = _packed(archive, name).file_size
    if size > MOST_UNPACKED_BYTES:
        raise ValueError(f"unpacks to {size:,} bytes; save it as .npy, which is read in parts")
    several = "N" in (reading.raw_axes or "")
    array: np.ndarray = _unpacked(archive, name, path) if several else archive[name]
    return array


def _packed(archive: Any, name: str) -> ZipInfo:
    """Return where an array lies in the archive."""
    is_there = name in archive.zip.namelist()
    found: ZipInfo = archive.zip.getinfo(name if is_there else f"{name}.npy")
    return found


def _unpacked(archive: Any, name: str, path: Path) -> np.ndarray:
    """Return an array of the archive, unpacked if it is not the last one."""
    state = path.stat()
    key = (path.resolve(), state.st_mtime_ns, state.st_size, name)
    with _UNPACKING:
        if key not in _LAST:
            _LAST.clear()  # before unpacking, or there would be two of them in memory
            _LAST[key] = archive[name]
        return _LAST[key]


def _chosen(names: list[str], path: Path, reading: Reading) -> str:
    wanted = reading.raw_dataset
    if wanted is None and len(names) == 1:
        return names[0]
    if isinstance(wanted, str) and wanted.strip("/") in names:
        return wanted.strip("/")
    raise named(names, path, reading)
