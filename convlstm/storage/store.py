"""The layouts of our HDF5 files.

frames.h5      sequences/000000 ...   (time, channel, row, col) raw values; attribute `name`
               labels/000000 ...      the file of each frame, if each has its own
               times/000000 ...       microseconds since 1970, UTC, if the names carry times
patches.h5     frames                 (frame, channel, row, col) folded raw values, tile after tile
               sequences              their names
               windows/train ...      valid, test: a `WINDOW` row for each, an index into frames
forecast.h5    frames, times          a forecast of stages.forecast: (lead, channel, row, col)
forecasts.h5   windows/000000 ...     context, truth, forecast: (time, channel, row, col) in data
                                      units, NaN where missing

What a reader must know beside the arrays stands as JSON in the attribute `description`.
"""

import math
from collections.abc import Iterable, Mapping
from hashlib import sha256
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Num

from convlstm.runtime.files import check_room
from convlstm.storage import hdf5

WINDOW = np.dtype([("start", "i8"), ("sequence", "i4"), ("row", "i4"), ("col", "i4")])
"""start: first row in frames; sequence: index of its name; row, col: the tile's corner, pixels."""

BYTES_WRITTEN_AT_ONCE = 2**20
FRAMES_A_CHUNK = 4
"""Of patches.h5: a 20-frame window reads 5-6 chunks; 64 would read 3 times what it needs."""


class Sequence(NamedTuple):
    """One sequence of frames.h5; labels and times as far as they are known."""

    frames: hdf5.Dataset
    labels: hdf5.Dataset | None
    times: Int[np.ndarray, " time"] | None

    def label(self, time: int) -> str:
        """What holds one frame, for messages."""
        if self.labels is None:
            return f"{hdf5.text(self.frames, 'name')}, frame {time + 1}"
        return f"{hdf5.text(self.frames, 'name')}/{self.labels[time].decode()}"


def append_sequence(
    file: hdf5.New,
    name: str,
    frames: Iterable[Num[np.ndarray, "channel row col"]],
    *,
    labels: tuple[str, ...] = (),
    times: tuple[int, ...] | None = None,
) -> None:
    """Stream one sequence into frames.h5; only a few frames are in memory at a time."""
    key = f"{len(file.require_group('sequences')):06d}"
    dataset: hdf5.Dataset | None = None
    frames = iter(frames)
    count = 0
    for first in frames:
        if dataset is None:
            dataset = hdf5.growing(file["sequences"], key, first.shape, first.dtype, a_chunk=1)
            hdf5.set_text(dataset, "name", name)
        more = islice(frames, BYTES_WRITTEN_AT_ONCE // first.nbytes)
        block = np.stack([first, *more])
        dataset.resize(count + len(block), axis=0)
        dataset[count:] = block
        file.check()
        count += len(block)
    if dataset is None:  # each of its frames was at fault
        return
    if labels:
        hdf5.write_texts(file, f"labels/{key}", labels)
    if times is not None:
        _write(file, f"times/{key}", np.array(times, np.int64))


def sequences(file: hdf5.File) -> dict[str, Sequence]:
    """The sequences of frames.h5 by name, in the order in which they were stored."""
    found = {}
    for key, frames in file["sequences"].items():
        times = file[f"times/{key}"][:] if f"times/{key}" in file else None
        found[hdf5.text(frames, "name")] = Sequence(frames, file.get(f"labels/{key}"), times)
    return found


class PatchWriter:
    """The `frames` of a new patches.h5, all `count` of them of `shape` (channel, row, col).

    Raises:
        TooSmallError: the disk has no room for them; `hdf5.create` tells it.
    """

    def __init__(
        self, file: hdf5.New, shape: tuple[int, ...], dtype: np.dtype[Any], count: int
    ) -> None:
        check_room(file.folder, count * math.prod(shape) * dtype.itemsize)
        self.dtype = dtype
        self._file = file
        self._frames = hdf5.growing(file, "frames", shape, dtype, a_chunk=FRAMES_A_CHUNK)
        self._written = sha256(dtype.str.encode())

    def grow(self, count: int) -> int:
        """Make place for more frames; returns the row of the first of them."""
        first = len(self._frames)
        self._frames.resize(first + count, axis=0)
        return first

    def write(self, first: int, frames: Num[np.ndarray, "time channel row col"]) -> None:
        """Write `frames` from row `first` on."""
        self._frames[first : first + len(frames)] = frames
        self._file.check()
        self._written.update(np.ascontiguousarray(frames, self.dtype).data)

    def fingerprint(self, more: str) -> str:
        """What stands for all frames in the order in which they were written, and for a text."""
        written = self._written.copy()
        written.update(more.encode())
        return written.hexdigest()


def write_windows(
    file: hdf5.New, names: Iterable[str], windows: Mapping[str, list[tuple[int, int, int, int]]]
) -> None:
    """The index of patches.h5: the sequences' names, and `WINDOW` rows for each split."""
    hdf5.write_texts(file, "sequences", names)
    for split, rows in windows.items():
        _write(file, f"windows/{split}", np.array(rows, WINDOW))


def write_steps(
    file: hdf5.New,
    frames: Num[np.ndarray, "lead channel row col"],
    times: tuple[int, ...] | None,
) -> None:
    """A forecast of stages.forecast: `frames` in data units, `times` in microseconds since 1970."""
    _write(file, "frames", frames, chunks=(1, *frames.shape[1:]))
    if times is not None:
        _write(file, "times", np.array(times, np.int64))


def forecasts(file: hdf5.File) -> list[dict[str, Any]]:
    """The drawn windows of forecasts.h5, in order: `label`, `context`, `truth`, `forecast`."""
    return [
        {
            "label": hdf5.text(window, "label"),
            **{part: frames[:] for part, frames in window.items()},
        }
        for window in file["windows"].values()
    ]


def write_forecast(
    file: hdf5.New, label: str, **parts: Num[np.ndarray, "_ channel row col"]
) -> None:
    """One drawn window of forecasts.h5: its `context`, `truth` and `forecast` under `label`."""
    group = file.require_group("windows")
    window = group.create_group(f"{len(group):06d}")
    hdf5.set_text(window, "label", label)
    for part, frames in parts.items():
        _write(window, part, frames, chunks=(1, *frames.shape[1:]))
    file.check()


def _write(
    group: Any, name: str, values: np.ndarray, chunks: tuple[int, ...] | bool = True
) -> None:
    """A dataset that is there as a whole; with a checksum, as all of ours."""
    group.create_dataset(name, data=values, chunks=chunks, fletcher32=True)
