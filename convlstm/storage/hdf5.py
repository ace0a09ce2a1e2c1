"""Our HDF5 files: complete or absent, and what is damaged in one raises when it is read.

Frames are compressed chunk by chunk, and a hash of each chunk as it lies on the disk is kept, so
that a terabyte need not be read to trust a window of it. The hashes of all chunks are one dataset,
`sums`; each other dataset says in `first_sum` where its own begin. The `digest` of frames is the
SHA-256 of these hashes, so they are hashed once. The layout of HDF5 1.10 adds checksums to all
metadata; texts have a fixed length, because the heap that holds texts of other lengths has none.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from hashlib import blake2b, sha256
from io import FileIO
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

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
Picks = tuple[slice | int, ...] | slice | int

SUMS, FIRST_SUM, DIGEST = "sums", "first_sum", "digest"
SUM_BYTES = 8  # of 2^64 damages one is not seen
NAME_BYTES = 10
CHECKED = {"fletcher32": True}
"""HDF5's own checksum, for programs that know nothing of our sums. It takes 0xFFFF for 0x0000, and
a chunk for whole that is zero and its checksum, too."""
COMPRESSED = {"shuffle": True, **hdf5plugin.Zstd(clevel=-1)}
"""Frames of radar become an eighth as large. Level 1 would make them a tenth, but slow the ingest
of small images by a tenth, and the noise of a camera by a third. With the first bytes of all
numbers before the second ones, smooth fields of floats become half as large."""
COMPACT = {"shuffle": True, **hdf5plugin.Zstd(clevel=9)}
"""What is written once, as forecasts that are drawn: a seventh smaller in three times the time."""

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
        self.descriptor = self._target.fileno()
        """Of the file, from which it is read what HDF5 has written."""
        # Blocks fill whole chunks, so a cache of them would only be one more copy.
        options = {"track_order": track_order, "rdcc_nbytes": 0}
        super().__init__(self._target, "w", libver=("v110", "v110"), **options)

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
    """Yield a new file; at the end of the block sum up its chunks and mark it as complete.

    Signals are deferred, because HDF5 calls `_Target` and does not survive an exception from it.
    """
    with replacing(path) as temporary, signals.deferred() as stop, New(temporary, stop) as file:
        yield file
        _sum_up(file)
        file.attrs["complete"] = True


def _sum_up(file: New) -> None:
    """Store the sum of each chunk, as it has been written, and digests of datasets that grow."""
    file.flush()
    file.check()  # before anything is read back from a disk that was full
    datasets: list[h5py.Dataset] = []
    file.visititems(
        lambda _, node: datasets.append(node) if isinstance(node, h5py.Dataset) else None
    )
    sums = [np.fromiter(_sums(file, dataset), f"u{SUM_BYTES}") for dataset in datasets]
    firsts = np.cumsum([0, *map(len, sums)]).tolist()
    for dataset, own, first in zip(datasets, sums, firsts, strict=False):  # the last is their count
        dataset.attrs[FIRST_SUM] = first
        if dataset.maxshape[0] is None and DIGEST not in dataset.attrs:
            set_text(dataset, DIGEST, sha256(own.tobytes()).hexdigest())
    file.create_dataset(SUMS, data=np.concatenate([np.empty(0, f"u{SUM_BYTES}"), *sums]))


def _sums(file: New, dataset: h5py.Dataset) -> Iterator[int]:
    for _, begin, size in _chunks(dataset):
        yield _sum_of(os.pread(file.descriptor, size, begin))
        file.check()


class _Chunk(NamedTuple):
    """The number of a chunk in its dataset, and the bytes of the file in which it lies."""

    number: int
    begin: int
    size: int


def _chunks(dataset: h5py.Dataset) -> list[_Chunk]:
    """Return the chunks of a dataset in their order, which is ten times as fast as one by one.

    Raises:
        OSError: one of them is not there.
    """
    counts, found = _chunk_counts(dataset), list[Any]()
    if prod(counts):
        dataset.id.chunk_iter(found.append)
    if len(found) != prod(counts):
        raise OSError(f"{dataset.name} has {len(found)} of {prod(counts)} chunks")
    corners = np.array([chunk.chunk_offset for chunk in found], np.int64).reshape(-1, len(counts))
    numbers = np.ravel_multi_index(tuple((corners // dataset.chunks).T), counts).tolist()
    return sorted(
        _Chunk(number, chunk.byte_offset, chunk.size)
        for number, chunk in zip(numbers, found, strict=True)
    )


def _chunk_counts(dataset: h5py.Dataset) -> tuple[int, ...]:
    """Return the numbers of chunks along each axis."""
    pairs = zip(dataset.shape, dataset.chunks, strict=True)
    return tuple(-(-size // chunk) for size, chunk in pairs)


def _sum(dataset: h5py.Dataset, place: tuple[int, ...]) -> int:
    """Return the hash of a chunk as it lies on the disk, which is mostly compressed."""
    corner = tuple(number * size for number, size in zip(place, dataset.chunks, strict=True))
    return _sum_of(dataset.id.read_direct_chunk(corner)[1])


def _sum_of(stored: bytes) -> int:
    return int.from_bytes(blake2b(stored, digest_size=SUM_BYTES).digest(), "little")


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
    """Check that all metadata is sound, that all datasets have sums and the writer has finished.

    HDF5 compares the checksum of what it opens, so opening is enough. The low level of h5py does it
    in less than half the time, which counts for the hundreds of shards of an archive.
    """
    summed: list[bool] = []

    def open_all(name: bytes) -> None:
        node = h5py.h5o.open(file.id, name)
        for number in range(h5py.h5a.get_num_attrs(node)):
            h5py.h5a.open(node, index=number)
        if isinstance(node, h5py.h5d.DatasetID) and name != SUMS.encode():
            summed.append(h5py.h5a.exists(node, FIRST_SUM.encode()))

    try:
        h5py.h5o.visit(file.id, open_all)
        complete = SUMS in file and bool(file.attrs.get("complete", False))
    except Exception as error:  # h5py raises many kinds of errors on damaged files
        raise _refused(path, f"damaged: {error}") from None
    if not (complete and all(summed)):
        raise _refused(path, "its writer did not finish")


def check(path: Path) -> str:
    """Read a file back, compare its chunks with their sums, and return a hash of all its bytes.

    Of a chunk its sum goes into the hash, which is among the other bytes, so that all is read once.

    Raises:
        BadInput: a chunk is not as it was written.
    """
    parts: list[tuple[int, int, int]] = []
    with open_complete(path) as file:

        def note(_: str, node: h5py.Group | h5py.Dataset) -> None:
            if FIRST_SUM in node.attrs:
                first = int(node.attrs[FIRST_SUM])
                parts.extend((begin, size, first + own) for own, begin, size in _chunks(node))

        file.visititems(note)
        sums = file[SUMS][:].tolist()
        with path.open("rb") as stored:
            found, end = blake2b(digest_size=NAME_BYTES), 0
            for begin, size, number in sorted(parts):
                found.update(stored.read(begin - end))
                if _sum_of(stored.read(size)) != sums[number]:
                    raise OSError("a chunk is not as it was written")
                end = begin + size
            found.update(stored.read())
    return found.hexdigest()


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


def text(node: "h5py.Group | h5py.Dataset | Array", name: str) -> str:
    """Return the text that `set_text` stored."""
    return bytes(node.attrs[name]).decode()


def write_texts(file: h5py.File, name: str, texts: Iterable[str]) -> None:
    """Write a dataset of texts."""
    encoded = [content.encode() for content in texts]
    kind = h5py.string_dtype("utf-8", max(map(len, encoded)))
    write_array(file, name, np.array(encoded, kind))


def texts(values: np.ndarray) -> list[str]:
    """Return the texts of a dataset that `write_texts` wrote, or of a part of it."""
    return [content.decode() for content in values.tolist()]


def write_array(
    group: h5py.Group,
    name: str,
    values: np.ndarray,
    chunks: tuple[int, ...] | bool = True,
    *,
    compressed: bool = True,
) -> None:
    """Write a dataset whose values are all at hand.

    Programs that know nothing of Zstandard read it only if it is not `compressed`.
    """
    filters = COMPACT if compressed else CHECKED
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


class Array:
    """A dataset, of which no chunk is returned that is not as it was written.

    One of a file that is still being written has no sums yet.

    Args:
        dataset: of an open file.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset = dataset
        self.shape: tuple[int, ...] = dataset.shape
        self.chunks: tuple[int, ...] = dataset.chunks
        self.dtype: np.dtype[Any] = dataset.dtype
        self.size, self.nbytes, self.attrs = dataset.size, dataset.nbytes, dataset.attrs

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, picks: Picks) -> np.ndarray:
        """Return a part.

        Raises:
            BadInput: a chunk of it is damaged; the message names the file.
        """
        try:
            if FIRST_SUM in self.attrs:
                self._check(picks)
            return np.asarray(self._dataset[picks])
        except (OSError, RuntimeError) as error:
            raise _refused(Path(self._dataset.file.filename), f"damaged: {error}") from None

    def _check(self, picks: Picks) -> None:
        """Compare the chunks that a part touches with their sums."""
        picks = picks if isinstance(picks, tuple) else (picks,)
        picks = (*picks, *(slice(None) for _ in self.shape[len(picks) :]))
        axes = zip(self.shape, self.chunks, picks, strict=True)
        for place in product(*(_touched(*axis) for axis in axes)):
            if _sum(self._dataset, place) != self._sums[place]:
                raise OSError(f"a chunk of {self._dataset.name} is not as it was written")

    @cached_property
    def _sums(self) -> np.ndarray:
        counts, first = _chunk_counts(self._dataset), int(self.attrs[FIRST_SUM])
        return np.asarray(self._dataset.file[SUMS][first : first + prod(counts)]).reshape(counts)


def _touched(size: int, chunk: int, pick: slice | int) -> range:
    """Return the numbers of the chunks along one axis that hold a part of it."""
    picked = range(size)[pick]
    own = range(picked, picked + 1) if isinstance(picked, int) else picked
    return range(own[0] // chunk, own[-1] // chunk + 1) if own else own


def arrays(group: h5py.Group) -> dict[str, Array]:
    """Return the datasets of a group by name."""
    return {name: Array(node) for name, node in group.items() if isinstance(node, h5py.Dataset)}
