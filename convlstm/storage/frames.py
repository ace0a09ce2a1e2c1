"""The layout of data/frames/, which ingest writes, and patch, train and evaluate read.

A shard holds pieces of sequences, successive frames each; a short sequence is one piece:

sequences/000000 ...   (time, channel, row, col) raw values; attributes `name`, `channels`, `grid`,
                       `tally`, what ingest has counted in them, and `digest`, see `hdf5`
labels/000000 ...      the name of each frame's file, if each frame has its own
times/000000 ...       microseconds since 1970, UTC, if names or files carry times
grids/000000 ...       the coordinates of one grid, each a dataset with attributes `axes` and
                       `attributes`; attribute `mapping`

index.h5 holds all of this but for frames and labels:

pieces                 a `Piece` in each row, as JSON, in the order of the sequences
times                  those of all pieces that have times, one after another
grids/000000 ...       as in a shard

Its description holds `reading`: the params by which the raw files were read.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Num

from convlstm.runtime.files import from_text, to_text
from convlstm.storage import hdf5
from convlstm.storage.meaning import (
    NOTHING_SAID,
    Coordinate,
    Grid,
    Meaning,
    channels_from_text,
)
from convlstm.storage.shards import INDEX, Joined, Place, Shelf, Stored

BYTES_PER_WRITE = 2**20

RawFrame = Num[np.ndarray, "channel row col"]
"""One frame in the values and the type of its file."""


class Frame(NamedTuple):
    """A frame as its file holds it; `time` is in microseconds since 1970, UTC, if it is known."""

    values: RawFrame
    meaning: Meaning = NOTHING_SAID
    time: int | None = None


class Piece(NamedTuple):
    """Successive frames of the sequence `name`, as number `key` of a shard.

    `times` is the number of times that are known, of all frames or none. `grid` is the name of the
    grid in the index; `tally` is a text of the stage that has made it.
    """

    shard: str
    key: str
    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    channels: str
    grid: str
    digest: str
    tally: str
    times: int
    has_labels: bool

    @property
    def place(self) -> Place:
        """Where its frames lie."""
        path = f"sequences/{self.key}"
        return Place(self.shard, path, self.shape, self.chunks, self.dtype, self.digest)

    @property
    def place_of_labels(self) -> Place:
        """Where the names of its files lie, which only a message needs."""
        return Place(self.shard, f"labels/{self.key}", self.shape[:1], (1,), "S1", "")


class Sequence(NamedTuple):
    """One sequence of data/frames; `labels` and `times` are None where they are not known.

    Of a piece alone, `first` is the number of its first frame in the whole sequence.
    """

    frames: Stored
    labels: Stored | None
    times: Int[np.ndarray, " time"] | None
    meaning: Meaning
    digest: str
    name: str = ""
    pieces: tuple[Piece, ...] = ()
    first: int = 0

    def label(self, time: int) -> str:
        """Name the origin of one frame, for messages."""
        if self.labels is None:
            return f"{self.name}, frame {self.first + time + 1}"
        (label,) = hdf5.texts(self.labels[time : time + 1])
        return f"{self.name}/{label}"


class Frames(NamedTuple):
    """The contents of an open data/frames: sequences by name, and how the raw files were read."""

    sequences: dict[str, Sequence]
    reading: dict[str, Any]


def append_sequence(
    file: hdf5.New,
    name: str,
    frames: Iterable[Frame],
    *,
    labels: tuple[str, ...] = (),
    times: tuple[int, ...] | None = None,
    tally: Callable[[], str] = str,
) -> int:
    """Stream a sequence, or a piece of it, into a shard, and return the number of its frames.

    Args:
        file: the new shard.
        name: of the sequence.
        frames: of one shape, type and meaning.
        labels: the names of the frames' files, if each has its own.
        times: of the frames from their names, which come before those inside the files.
        tally: called at the end for a text on the frames, which is kept with them.
    """
    key = f"{len(file.require_group('sequences')):06d}"
    dataset: hdf5.Dataset | None = None
    found: list[int | None] = []
    frames, at_once = iter(frames), 0
    for first in frames:
        if dataset is None:
            dataset = _begin(file, key, name, first)
            at_once = _frames_per_write(dataset)
        some = [first, *islice(frames, at_once - 1)]
        hdf5.append(dataset, _stacked(frame.values for frame in some))
        file.check()
        found += [frame.time for frame in some]
    if dataset is None:  # every frame of the sequence was refused
        return 0
    hdf5.set_text(dataset, "tally", tally())
    _write_origins(file, key, labels, times or found)
    return len(found)


def _write_origins(
    file: hdf5.New, key: str, labels: tuple[str, ...], times: Collection[int | None]
) -> None:
    """Write the names of the files of frames, and their times if all are known."""
    if labels:
        hdf5.write_texts(file, f"labels/{key}", labels)
    if None not in times:
        hdf5.write_array(file, f"times/{key}", np.array(times, np.int64))


def write_index(folder: Path, names: Iterable[str], reading: Mapping[str, Any]) -> None:
    """Write the index of a folder of shards.

    Args:
        folder: of the shards.
        names: of the shards, in the order of the sequences.
        reading: the params by which the raw files were read.
    """
    pieces: list[Piece] = []
    times: list[Int[np.ndarray, " _"]] = []
    with hdf5.create(folder / INDEX) as index:
        for shard in names:
            with hdf5.open_complete(folder / shard) as file:
                found = file.get("grids", {})
                grids = {key: _copied_grid(index, own) for key, own in found.items()}
                for piece in _pieces(file, shard):
                    pieces.append(piece._replace(grid=grids.get(piece.grid, "")))
                    if piece.times:
                        times.append(hdf5.Array(file[f"times/{piece.key}"])[:])
        hdf5.write_texts(index, "pieces", [to_text(piece._asdict()) for piece in pieces])
        if times:
            hdf5.write_array(index, "times", np.concatenate(times))
        hdf5.describe(index, reading=reading)


@contextmanager
def opened(folder: Path) -> Iterator[Frames]:
    """Open data/frames for reading; a shard is opened when a part of it is asked for.

    Raises:
        BadInput: the index, or a shard that is read in the block, is missing or damaged.
    """
    with Shelf(folder) as shelf:
        with hdf5.open_complete(folder / INDEX) as index:
            found = Frames(_sequences(index, shelf), hdf5.description(index)["reading"])
        yield found


def of_piece(piece: Piece, first: int, shelf: Shelf) -> Sequence:
    """Return a piece alone, without its times and its grid.

    Args:
        piece: of a sequence.
        first: the number of its first frame in the sequence.
        shelf: of its shard.
    """
    labels = Joined(shelf, [piece.place_of_labels]) if piece.has_labels else None
    meaning = Meaning(channels_from_text(piece.channels))
    frames = Joined(shelf, [piece.place])
    return Sequence(frames, labels, None, meaning, piece.digest, piece.name, (piece,), first)


def _pieces(file: hdf5.File, shard: str) -> Iterator[Piece]:
    """Yield the pieces of a shard; their grid has its name in the shard."""
    for key, frames in hdf5.arrays(file.get("sequences", {})).items():
        times = file.get(f"times/{key}", ())
        texts = {
            name: hdf5.text(frames, name)
            for name in ("name", "channels", "grid", "digest", "tally")
        }
        yield Piece(
            shard=shard,
            key=key,
            shape=frames.shape,
            chunks=frames.chunks,
            dtype=frames.dtype.str,
            times=len(times),
            has_labels=f"labels/{key}" in file,
            **texts,
        )


def _sequences(index: hdf5.File, shelf: Shelf) -> dict[str, Sequence]:
    """Return the sequences by name, in the order in which they were found."""
    grids = {key: _grid(group) for key, group in index.get("grids", {}).items()}
    times = hdf5.Array(index["times"])[:] if "times" in index else np.empty(0, np.int64)
    of_each: dict[str, list[tuple[Piece, Int[np.ndarray, " _"]]]] = {}
    for text in hdf5.texts(hdf5.Array(index["pieces"])[:]):
        piece = Piece(**from_text(text))
        of_each.setdefault(piece.name, []).append((piece, times[: piece.times]))
        times = times[piece.times :]
    return {name: _sequence(own, grids, shelf) for name, own in of_each.items()}


def _sequence(
    own: list[tuple[Piece, Int[np.ndarray, " _"]]], grids: Mapping[str, Grid], shelf: Shelf
) -> Sequence:
    """Return the sequence of these pieces, which ingest has found to agree."""
    pieces = tuple(piece for piece, _ in own)
    first = pieces[0]
    digests = [piece.digest for piece in pieces]
    return Sequence(
        Joined(shelf, [piece.place for piece in pieces]),
        Joined(shelf, [piece.place_of_labels for piece in pieces]) if first.has_labels else None,
        np.concatenate([each for _, each in own]) if all(own.times for own in pieces) else None,
        Meaning(channels_from_text(first.channels), grids.get(first.grid)),
        digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest(),
        first.name,
        pieces,
    )


def fingerprint(sequences: Mapping[str, Sequence]) -> str:
    """Return the SHA-256 of the names, types and sizes of sequences, and of their values.

    It depends on how sequences are cut into pieces, too, which is the same for the same files.
    """
    facts = {
        name: (own.meaning.text, own.frames.dtype.str, own.frames.shape, own.digest)
        for name, own in sequences.items()
    }
    return sha256(to_text({"sequences": list(facts.items())}).encode()).hexdigest()


def _frames_per_write(dataset: hdf5.Dataset) -> int:
    """Return a number of frames that fill whole chunks, and as many chunks as make a good write."""
    per_chunk = dataset.chunks[0]
    chunk_bytes = per_chunk * prod(dataset.shape[1:]) * dataset.dtype.itemsize
    return int(per_chunk * max(1, BYTES_PER_WRITE // chunk_bytes))


def _stacked(frames: Iterable[RawFrame]) -> Num[np.ndarray, "time channel row col"]:
    """Return frames as one array, in the order in which the file has them.

    Colours often lie side by side in memory, which `stack` alone would keep.
    """
    return np.stack([np.ascontiguousarray(values) for values in frames])


def _begin(file: hdf5.New, key: str, name: str, first: Frame) -> hdf5.Dataset:
    """Create the dataset of a sequence that begins with this frame."""
    shape = first.values.shape
    group = file["sequences"]
    dataset = hdf5.growing(group, key, shape, first.values.dtype)
    hdf5.set_text(dataset, "name", name)
    hdf5.set_text(dataset, "channels", first.meaning.text)
    hdf5.set_text(dataset, "grid", _stored_grid(file, first.meaning.grid))
    return dataset


def _stored_grid(file: hdf5.New, grid: Grid | None) -> str:
    """Return the name of the grid in the file, which holds each grid once; empty for none."""
    if grid is None:
        return ""
    grids = file.require_group("grids")
    for name, group in grids.items():
        if hdf5.text(group, "key") == grid.key:
            return str(name)
    group = grids.create_group(f"{len(grids):06d}")
    hdf5.set_text(group, "key", grid.key)
    hdf5.set_text(group, "mapping", to_text(grid.mapping))
    for name, coordinate in grid.coordinates.items():
        hdf5.write_array(group, name, coordinate.values)
        hdf5.set_text(group[name], "axes", " ".join(coordinate.axes))
        hdf5.set_text(group[name], "attributes", to_text(coordinate.attributes))
    return str(group.name).rpartition("/")[2]


def _copied_grid(index: hdf5.New, group: hdf5.Group) -> str:
    """Return the name in the index of a grid of a shard, which is copied if it is a new one."""
    grids = index.require_group("grids")
    for name, known in grids.items():
        if hdf5.text(known, "key") == hdf5.text(group, "key"):
            return str(name)
    name = f"{len(grids):06d}"
    group.file.copy(group, grids, name)
    return name


def _grid(group: hdf5.Group) -> Grid:
    """Return the grid that a group of `grids` holds."""
    coordinates = {
        name: Coordinate(
            tuple(hdf5.text(dataset, "axes").split()),
            dataset[:],
            from_text(hdf5.text(dataset, "attributes")),
        )
        for name, dataset in hdf5.arrays(group).items()
    }
    return Grid(coordinates, from_text(hdf5.text(group, "mapping")))
