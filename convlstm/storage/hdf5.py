"""Our HDF5 files: complete or absent, and a flipped bit anywhere in one raises when it is read.

Frames are compressed chunk by chunk, and each chunk carries HDF5's own checksum, so that a terabyte
need not be read to trust a window of it. The layout of HDF5 1.10 adds checksums to all metadata;
texts have a fixed length, because the heap that holds texts of other lengths has none.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import FileIO
from math import prod
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from jaxtyping import Shaped

from convlstm.runtime import signals
from convlstm.runtime.errors import BadInput
from convlstm.runtime.files import from_text, replacing, to_text

File = h5py.File
Group = h5py.Group
Dataset = h5py.Dataset
"""For signatures elsewhere, because few modules import h5py."""

CHECKED = {"fletcher32": True}
COMPRESSED = {"shuffle": True, **hdf5plugin.Zstd(clevel=-1), **CHECKED}
"""Frames of radar become an eighth as large. Level 1 would make them a tenth, but slow the ingest
of small images by a tenth, and the noise of a camera by a third. With the first bytes of all
numbers before the second ones, smooth fields of floats become half as large. The checksum is of
what lies on the disk."""

FRAMES_PER_CHUNK = 4
"""A window of 20 frames reads 5 or 6 chunks; chunks of 64 would read 3 times what it needs."""
CHUNK_SIDE_PIXELS = 160
"""At most. A tile anywhere in a large frame is read 4 times as fast as from chunks of whole frames,
and those of half a side win nothing more."""
MOST_CHUNKS_BYTES = 2**23
"""Of the frames that one row of chunks holds, which a writer has in memory at once."""


class _Target(FileIO):
    """The file object that HDF5 writes to.

    HDF5 crashes on a full disk, so write errors are kept here and raised by `check`.
    """

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`, as HDF5 expects."""
        left = memoryview(data)
        try:
            while left:
                left = left[super().write(left) :]
        except OSError as error:
            self.failure = self.failure or error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        """Set the length of the file."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0

    def check(self) -> None:
        """Raise the first error that was kept from HDF5."""
        if self.failure is not None:
            raise self.failure


class New(h5py.File):  # type: ignore[misc] # h5py ships no types
    """A file that is being written.

    Args:
        path: of the file.
        stop: what `signals.deferred` yields.
        track_order: whether it notes in which order things are added, as NetCDF wants it.
    """

    def __init__(self, path: Path, stop: signals.StopRequest, *, track_order: bool = False) -> None:
        self.folder, self._target, self._stop = path.parent, _Target(path, "w+"), stop
        super().__init__(self._target, "w", libver=("v110", "v110"), track_order=track_order)

    def check(self) -> None:
        """Raise a write error or a stop request that came up so far; call it after each block.

        Raises:
            OSError: the disk took less than was written.
            Stopped: the process was asked to stop.
        """
        self._target.check()
        self._stop.check()

    def close(self) -> None:
        """Write the rest, and raise an error that came up."""
        super().close()
        self._target.close()
        self._target.check()


@contextmanager
def create(path: Path) -> Iterator[New]:
    """Yield a new file, and mark it as complete at the end of the block.

    Signals are deferred, because HDF5 calls `_Target` and does not survive an exception from it.
    """
    with replacing(path) as temporary, signals.deferred() as stop, New(temporary, stop) as file:
        yield file
        file.attrs["complete"] = True


@contextmanager
def open_complete(path: Path) -> Iterator[h5py.File]:
    """Open a file that `create` has finished, for reading.

    Raises:
        BadInput: it is missing, is no HDF5 file, its writer did not finish, or a part that is read
            in the block is damaged.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; `dvc repro` makes it")
    with path.open("rb"):  # one that may only not be read is not to be deleted
        pass
    try:
        # Every open dataset would keep a cache of its own, and nothing here is read twice in a row.
        file = h5py.File(path, "r", rdcc_nbytes=0)
    except OSError as error:
        raise _refused(path, f"no readable HDF5 file: {error}") from None
    with file:
        _check_complete(file, path)
        try:
            yield file
        except OSError as error:
            if error.errno is not None:  # an error of the system, about another file
                raise
            raise _refused(path, f"damaged: {error}") from None


def _check_complete(file: h5py.File, path: Path) -> None:
    """Check that all metadata is sound and that the writer has finished."""

    def read_attributes(_: str, node: h5py.Group | h5py.Dataset) -> None:
        dict(node.attrs)

    try:
        file.visititems(read_attributes)
        complete = bool(file.attrs.get("complete", False))
    except Exception as error:  # h5py raises many kinds of errors on damaged files
        raise _refused(path, f"damaged: {error}") from None
    if not complete:
        raise _refused(path, "its writer did not finish")


def _refused(path: Path, reason: str) -> BadInput:
    return BadInput(f"{path}: {' '.join(reason.split())}; delete it and run `dvc repro`")


def describe(file: h5py.File, **content: Any) -> None:
    """Store numbers, texts and tuples of them as the file's description."""
    set_text(file, "description", to_text(content))


def description(file: h5py.File) -> dict[str, Any]:
    """Return what `describe` stored."""
    return from_text(text(file, "description"))


def set_text(node: h5py.Group | h5py.Dataset, name: str, content: str) -> None:
    """Store a text as an attribute of a file, group or dataset."""
    node.attrs[name] = np.bytes_(content.encode())


def text(node: h5py.Group | h5py.Dataset, name: str) -> str:
    """Return the text that `set_text` stored."""
    return bytes(node.attrs[name]).decode()


def write_texts(file: h5py.File, name: str, texts: Iterable[str]) -> None:
    """Write a dataset of texts."""
    encoded = [content.encode() for content in texts]
    kind = h5py.string_dtype("utf-8", max(map(len, encoded)))
    write_array(file, name, np.array(encoded, kind))


def texts(dataset: h5py.Dataset) -> list[str]:
    """Return the texts that `write_texts` wrote."""
    return [content.decode() for content in dataset[:].tolist()]


def write_array(
    group: h5py.Group,
    name: str,
    values: np.ndarray,
    chunks: tuple[int, ...] | bool = True,
    *,
    compressed: bool = True,
) -> None:
    """Write a dataset whose values are all at hand, with a checksum for each chunk.

    Programs that know nothing of Zstandard read it only if it is not `compressed`.
    """
    filters = COMPRESSED if compressed else CHECKED
    group.create_dataset(name, data=values, chunks=chunks, **filters)


def growing(
    group: h5py.Group, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> h5py.Dataset:
    """Create an empty dataset of frames of `shape` (channel, row, col), to which `append` adds."""
    channels, *sides = shape
    frame_bytes = prod(shape) * dtype.itemsize
    frames = max(1, min(FRAMES_PER_CHUNK, MOST_CHUNKS_BYTES // frame_bytes))
    return group.create_dataset(
        name,
        (0, *shape),
        dtype,
        maxshape=(None, *shape),
        chunks=(frames, channels, *(-(-side // -(-side // CHUNK_SIDE_PIXELS)) for side in sides)),
        **COMPRESSED,
    )


def append(dataset: h5py.Dataset, block: Shaped[np.ndarray, "time channel row col"]) -> None:
    """Append frames to a dataset.

    They should fill whole chunks but for its last one, or a chunk is compressed twice.
    """
    first = len(dataset)
    dataset.resize(first + len(block), axis=0)
    dataset[first:] = block


def part(dataset: h5py.Dataset | np.ndarray, picks: tuple[slice, ...] | slice) -> np.ndarray:
    """Return a part of a dataset that is in memory or in one of several open files.

    Raises:
        BadInput: it is damaged; the message names its file.
    """
    try:
        return np.asarray(dataset[picks])
    except OSError as error:
        if error.errno is not None or isinstance(dataset, np.ndarray):
            raise
        raise _refused(Path(dataset.file.filename), f"damaged: {error}") from None
