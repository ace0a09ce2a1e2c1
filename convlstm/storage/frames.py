"""The layout of frames.h5, which ingest writes and patch reads.

sequences/000000 ...   (time, channel, row, col) raw values; attribute `name`
labels/000000 ...      the name of each frame's file, if each frame has its own
times/000000 ...       microseconds since 1970, UTC, if the names carry times

The description holds `reading`: the params by which the raw files were read.
"""

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Num

from convlstm.storage import hdf5

BYTES_PER_WRITE = 2**20

RawFrame = Num[np.ndarray, "channel row col"]
"""One frame in the values and the type of its file."""


class Sequence(NamedTuple):
    """One sequence of frames.h5; `labels` and `times` are None where they are not known."""

    frames: hdf5.Dataset
    labels: hdf5.Dataset | None
    times: Int[np.ndarray, " time"] | None

    def label(self, time: int) -> str:
        """Name the origin of one frame, for messages."""
        if self.labels is None:
            return f"{hdf5.text(self.frames, 'name')}, frame {time + 1}"
        return f"{hdf5.text(self.frames, 'name')}/{self.labels[time].decode()}"


def append_sequence(
    file: hdf5.New,
    name: str,
    frames: Iterable[RawFrame],
    *,
    labels: tuple[str, ...] = (),
    times: tuple[int, ...] | None = None,
) -> None:
    """Stream one sequence into the file; only a few frames are in memory at a time."""
    key = f"{len(file.require_group('sequences')):06d}"
    dataset: hdf5.Dataset | None = None
    frames = iter(frames)
    count = 0
    for first in frames:
        if dataset is None:
            dataset = hdf5.growing(
                file["sequences"], key, first.shape, first.dtype, chunks=(1, *first.shape)
            )
            hdf5.set_text(dataset, "name", name)
        more = islice(frames, BYTES_PER_WRITE // first.nbytes)
        block = np.stack([first, *more])
        dataset.resize(count + len(block), axis=0)
        dataset[count:] = block
        file.check()
        count += len(block)
    if dataset is None:  # every frame of the sequence was refused
        return
    if labels:
        hdf5.write_texts(file, f"labels/{key}", labels)
    if times is not None:
        hdf5.write_array(file, f"times/{key}", np.array(times, np.int64))


def sequences(file: hdf5.File) -> dict[str, Sequence]:
    """Return the sequences by name, in the order in which they were stored."""
    found = {}
    for key, frames in file["sequences"].items():
        times = file[f"times/{key}"][:] if f"times/{key}" in file else None
        found[hdf5.text(frames, "name")] = Sequence(frames, file.get(f"labels/{key}"), times)
    return found
