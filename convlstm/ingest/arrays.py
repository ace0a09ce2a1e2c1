"""Readers of array files: .npy, .npz, HDF5 and NetCDF4, whose axes `raw_axes` names.

Numbers are taken as stored: scale_factor and add_offset of NetCDF are not applied.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import h5py
import numpy as np

from convlstm.ingest.params import Reading
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".nc", ".nc4")
SUFFIXES = (".npy", ".npz", *HDF5_SUFFIXES)
USUAL_AXES = {2: "HW", 3: "THW"}
MOST_UNPACKED_BYTES = 2**32
BLOCK_BYTES = 2**22  # per read; a larger chunk is read whole, so that it is unpacked only once
MOST_BLOCK_BYTES = 2**25  # but never more than this

_LAST: dict[tuple[Any, ...], np.ndarray] = {}
"""The last .npz with several sequences, which would otherwise be unpacked for each of them."""
_UNPACKING = Lock()


def extent(path: Path, reading: Reading) -> tuple[int, int]:
    """Return the number of sequences in the file (axis N) and of frames in each (axis T)."""
    with _opened(path, reading) as (array, axes):
        return _length(array, axes, "N"), _length(array, axes, "T")


def frames(path: Path, reading: Reading, sequence: int = 0) -> Iterator[Frame]:
    """Yield the frames of one sequence of an array file; an .npz is unpacked as a whole.

    Raises:
        BadInput: the file cannot be read, or holds no such dataset, axes or numbers.
    """
    with _opened(path, reading) as (array, axes):
        kept = [axis for axis in axes if axis != "N"]
        order = [kept.index(axis) for axis in "TCHW" if axis in kept]
        count = _length(array, axes, "T")
        frame_bytes = array.dtype.itemsize * array.size // max(1, count * _length(array, axes, "N"))
        step = _frames_at_once(array, axes, max(1, frame_bytes))
        for start in range(0, count, step):
            picks: dict[str, Any] = {"N": sequence, "T": slice(start, min(start + step, count))}
            block = np.asarray(array[tuple(picks.get(axis, slice(None)) for axis in axes)])
            block = block.transpose(order).reshape(
                -1, _length(array, axes, "C"), *_size(array, axes)
            )
            for frame in block:
                yield Frame(frame.astype(_native(frame.dtype), copy=False))


def _length(array: Any, axes: str, axis: str) -> int:
    return int(array.shape[axes.index(axis)]) if axis in axes else 1


def _size(array: Any, axes: str) -> tuple[int, int]:
    return _length(array, axes, "H"), _length(array, axes, "W")


def _frames_at_once(array: Any, axes: str, frame_bytes: int) -> int:
    chunks = getattr(array, "chunks", None)  # only HDF5 has them
    of_a_chunk = chunks[axes.index("T")] if chunks and "T" in axes else 1
    most = MOST_BLOCK_BYTES // frame_bytes
    return max(1, min(max(BLOCK_BYTES // frame_bytes, of_a_chunk), most))


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in this machine's byte order; truth values become bytes."""
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("=")


@contextmanager
def _opened(path: Path, reading: Reading) -> Iterator[tuple[Any, str]]:
    """Open the array (a memory map, an array or a dataset) and return its checked axes."""
    try:
        with _array(path, reading) as array:
            yield array, _axes(array, path, reading)
    except BadInput:
        raise
    except Exception as error:  # a decoder may raise anything on a file that holds no array
        reason = " ".join(str(error).split())
        raise BadInput(
            f"{path}: cannot be read as an array file ({reason}); replace or remove it"
        ) from None


@contextmanager
def _array(path: Path, reading: Reading) -> Iterator[Any]:
    match path.suffix.lower():
        case ".npy":
            yield np.load(path, mmap_mode="r", allow_pickle=False)
        case ".npz":
            # Opened here, because NumPy leaves a broken file open.
            with path.open("rb") as content, np.load(content, allow_pickle=False) as archive:
                name = _chosen(list(archive.files), path, reading)
                _check_size(archive, name)
                several = "N" in (reading.raw_axes or "")
                yield _unpacked(archive, name, path) if several else archive[name]
        case _:
            with h5py.File(path, "r") as file:
                yield file[_chosen(_datasets(file), path, reading)]


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


def _datasets(file: h5py.File) -> list[str]:
    """Return the paths of all datasets that have at least the axes of a frame."""
    names: list[str] = []

    def note(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and node.ndim >= 2:
            names.append(name)

    file.visititems(note)
    return names


def _chosen(names: list[str], path: Path, reading: Reading) -> str:
    wanted = reading.raw_dataset
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted is not None and wanted.strip("/") in names:
        return wanted.strip("/")
    there = f"there are {names[:20]}" if names else "there is none"
    raise BadInput(f"{path}: raw_dataset = {wanted!r} names no array in it; {there}")


def _axes(array: Any, path: Path, reading: Reading) -> str:
    """Return the letter of each axis; check that they fit and that the values are numbers."""
    axes = reading.raw_axes or USUAL_AXES.get(array.ndim)
    if axes is None or len(axes) != array.ndim:
        raise BadInput(
            f"{path}: raw_axes = {reading.raw_axes!r}, but its array has {array.ndim} axes, "
            f"{tuple(array.shape)}; name each with a letter of NTCHW, as TNHW"
        )
    if array.dtype.kind not in "buif":
        raise BadInput(f"{path}: holds {array.dtype}, which are not real numbers")
    rows, cols = _size(array, axes)
    reading.check_pixels(path, rows * cols)
    return axes
