"""The layout of frames.h5, which ingest writes, and patch, train and evaluate read.

sequences/000000 ...   (time, channel, row, col) raw values; attributes `name`, `channels`, `grid`,
                       and `digest`: the SHA-256 of the values
labels/000000 ...      the name of each frame's file, if each frame has its own
times/000000 ...       microseconds since 1970, UTC, if names or files carry times
grids/000000 ...       the coordinates of one grid, each a dataset with attributes `axes` and
                       `attributes`; attribute `mapping`

The description holds `reading`: the params by which the raw files were read.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import islice
from math import prod
from typing import NamedTuple

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

BYTES_PER_WRITE = 2**20

RawFrame = Num[np.ndarray, "channel row col"]
"""One frame in the values and the type of its file."""


class Frame(NamedTuple):
    """A frame as its file holds it; `time` is in microseconds since 1970, UTC, if it is known."""

    values: RawFrame
    meaning: Meaning = NOTHING_SAID
    time: int | None = None


class Sequence(NamedTuple):
    """One sequence of frames.h5; `labels` and `times` are None where they are not known."""

    frames: hdf5.Array
    labels: hdf5.Array | None
    times: Int[np.ndarray, " time"] | None
    meaning: Meaning
    digest: str

    def label(self, time: int) -> str:
        """Name the origin of one frame, for messages."""
        if self.labels is None:
            return f"{hdf5.text(self.frames, 'name')}, frame {time + 1}"
        (label,) = hdf5.texts(self.labels[time : time + 1])
        return f"{hdf5.text(self.frames, 'name')}/{label}"


def append_sequence(
    file: hdf5.New,
    name: str,
    frames: Iterable[Frame],
    *,
    labels: tuple[str, ...] = (),
    times: tuple[int, ...] | None = None,
) -> None:
    """Stream one sequence into the file; only a few frames are in memory at a time.

    Args:
        file: the new file.
        name: of the sequence.
        frames: of one shape, type and meaning.
        labels: the names of the frames' files, if each has its own.
        times: of the frames from their names, which come before those inside the files.
    """
    key = f"{len(file.require_group('sequences')):06d}"
    dataset: hdf5.Dataset | None = None
    found: list[int | None] = []
    frames, sums = iter(frames), sha256()
    with ThreadPoolExecutor(1) as hashing:
        for first in frames:
            if dataset is None:
                dataset = _begin(file, key, name, first)
            some = [first, *islice(frames, _frames_per_write(dataset) - 1)]
            block = _stacked(frame.values for frame in some)
            hashed = hashing.submit(sums.update, block.data)  # while HDF5 compresses the block
            hdf5.append(dataset, block)
            file.check()
            hashed.result()
            found += [frame.time for frame in some]
    if dataset is None:  # every frame of the sequence was refused
        return
    hdf5.set_text(dataset, "digest", sums.hexdigest())
    if labels:
        hdf5.write_texts(file, f"labels/{key}", labels)
    known = times or (None if None in found else found)
    if known is not None:
        hdf5.write_array(file, f"times/{key}", np.array(known, np.int64))


def sequences(file: hdf5.File) -> dict[str, Sequence]:
    """Return the sequences by name, in the order in which they were stored."""
    grids = {key: _grid(group) for key, group in file.get("grids", {}).items()}
    found = {}
    for key, frames in hdf5.arrays(file["sequences"]).items():
        times = hdf5.Array(file[f"times/{key}"])[:] if f"times/{key}" in file else None
        channels = channels_from_text(hdf5.text(frames, "channels"))
        meaning = Meaning(channels, grids.get(hdf5.text(frames, "grid")))
        name = hdf5.text(frames, "name")
        labels = hdf5.Array(file[f"labels/{key}"]) if f"labels/{key}" in file else None
        found[name] = Sequence(frames, labels, times, meaning, hdf5.text(frames, "digest"))
    return found


def fingerprint(sequences: Mapping[str, Sequence]) -> str:
    """Return the SHA-256 of the names, types and sizes of sequences, and of their values."""
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
