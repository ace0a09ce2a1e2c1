"""The layouts of our HDF5 files, marked complete when written, verified when read.

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

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from jaxtyping import Int, Num

from convlstm.errors import BadInput
from convlstm.files import from_text, replacing, to_text

File = h5py.File
Dataset = h5py.Dataset
"""For signatures elsewhere: nothing but this module imports h5py."""

WINDOW = np.dtype([("start", "i8"), ("sequence", "i4"), ("row", "i4"), ("col", "i4")])
"""start: first row in frames; sequence: index of its name; row, col: the tile's corner, pixels."""

BYTES_WRITTEN_AT_ONCE = 2**20
FRAMES_A_CHUNK = 4
"""Of patches.h5: a 20-frame window reads 5-6 chunks; 64 would read 3 times what it needs."""


@contextmanager
def create(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file, marked complete as the last thing that is written into it."""
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        yield file
        file.attrs["complete"] = True


@contextmanager
def reading(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file that `create` finished.

    Raises:
        BadInput: it is missing, is no HDF5 file, or its writer did not finish.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; `dvc repro` makes it")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise BadInput(
            f"{path}: no readable HDF5 file ({error}); delete it and run `dvc repro`"
        ) from None
    with file:
        if not file.attrs.get("complete", False):
            raise BadInput(f"{path}: its writer did not finish; delete it and run `dvc repro`")
        yield file


def describe(file: h5py.File, **facts: Any) -> None:
    """Keep a few plain facts with an HDF5 file."""
    file.attrs["description"] = to_text(facts)


def description(file: h5py.File) -> dict[str, Any]:
    """What `describe` kept."""
    return from_text(file.attrs["description"])


class Sequence(NamedTuple):
    """One sequence of frames.h5; labels and times as far as they are known."""

    frames: h5py.Dataset
    labels: h5py.Dataset | None
    times: Int[np.ndarray, " time"] | None

    def label(self, time: int) -> str:
        """What holds one frame, for messages."""
        if self.labels is None:
            return f"{self.frames.attrs['name']}, frame {time + 1}"
        return f"{self.frames.attrs['name']}/{self.labels.asstr()[time]}"


def append_sequence(
    file: h5py.File,
    name: str,
    frames: Iterable[Num[np.ndarray, "channel row col"]],
    *,
    labels: tuple[str, ...] = (),
    times: tuple[int, ...] | None = None,
) -> None:
    """Stream one sequence into frames.h5; only a few frames are in memory at a time."""
    key = f"{len(file.require_group('sequences')):06d}"
    dataset: h5py.Dataset | None = None
    frames = iter(frames)
    count = 0
    for first in frames:
        if dataset is None:
            dataset = _growing(file["sequences"], key, first.shape, first.dtype, frames_a_chunk=1)
            dataset.attrs["name"] = name
        more = islice(frames, BYTES_WRITTEN_AT_ONCE // first.nbytes)
        block = np.stack([first, *more])
        dataset.resize(count + len(block), axis=0)
        dataset[count:] = block
        count += len(block)
    if labels:
        file.create_dataset(f"labels/{key}", data=labels, dtype=h5py.string_dtype())
    if times is not None:
        file.create_dataset(f"times/{key}", data=np.array(times, np.int64), fletcher32=True)


def sequences(file: h5py.File) -> dict[str, Sequence]:
    """The sequences of frames.h5 by name, in the order in which they were stored."""
    found = {}
    for key, frames in file["sequences"].items():
        times = file[f"times/{key}"][:] if f"times/{key}" in file else None
        found[str(frames.attrs["name"])] = Sequence(frames, file.get(f"labels/{key}"), times)
    return found


def create_patches(file: h5py.File, shape: tuple[int, ...], dtype: np.dtype[Any]) -> h5py.Dataset:
    """The empty `frames` of patches.h5 for folded frames of `shape` (channel, row, col)."""
    return _growing(file, "frames", shape, dtype, frames_a_chunk=FRAMES_A_CHUNK)


def _growing(
    group: h5py.Group,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    frames_a_chunk: int,
) -> h5py.Dataset:
    """A dataset that grows in time; its checksum makes a flipped bit raise.

    Not compressed: gzip makes reading 3 to 10 times slower, and frames of a camera hardly smaller.
    """
    return group.create_dataset(
        name,
        (0, *shape),
        dtype,
        maxshape=(None, *shape),
        chunks=(frames_a_chunk, *shape),
        fletcher32=True,
    )


def write_windows(
    file: h5py.File, names: Iterable[str], windows: Mapping[str, list[tuple[int, int, int, int]]]
) -> None:
    """The index of patches.h5: the sequences' names, and `WINDOW` rows for each split."""
    file.create_dataset("sequences", data=list(names), dtype=h5py.string_dtype())
    for split, rows in windows.items():
        file.create_dataset(
            f"windows/{split}", data=np.array(rows, WINDOW), chunks=True, fletcher32=True
        )


def write_steps(
    file: h5py.File,
    frames: Num[np.ndarray, "lead channel row col"],
    times: tuple[int, ...] | None,
) -> None:
    """A forecast of stages.forecast: `frames` in data units, `times` in microseconds since 1970."""
    file.create_dataset("frames", data=frames, chunks=(1, *frames.shape[1:]), fletcher32=True)
    if times is not None:
        file.create_dataset("times", data=np.array(times, np.int64), fletcher32=True)


def forecasts(file: h5py.File) -> list[dict[str, Any]]:
    """The drawn windows of forecasts.h5, in order: `label`, `context`, `truth`, `forecast`."""
    return [
        {
            "label": str(window.attrs["label"]),
            **{part: frames[:] for part, frames in window.items()},
        }
        for window in file["windows"].values()
    ]


def write_forecast(
    file: h5py.File, label: str, **parts: Num[np.ndarray, "time channel row col"]
) -> None:
    """One drawn window of forecasts.h5: its `context`, `truth` and `forecast` under `label`."""
    group = file.require_group("windows")
    window = group.create_group(f"{len(group):06d}")
    window.attrs["label"] = label
    for part, frames in parts.items():
        window.create_dataset(part, data=frames, chunks=(1, *frames.shape[1:]), fletcher32=True)
