"""Arrays of any axes to frames: a block of them is read at a time, in the order of their times.

An axis has one of the letters N (sequence), T (time), C (channel), H (row), W (col), or is `-`: of
length 1, and left out.
"""

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from convlstm.ingest import cf, natural, times
from convlstm.ingest.params import Reading
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame
from convlstm.storage.meaning import NOTHING_SAID, Channel, Grid, Meaning

USUAL_AXES = {2: "HW", 3: "THW"}
COLOURS = 4  # a last axis of at most so many is one of channels, and no frame has so few columns
BLOCK_BYTES = 2**20  # per read, so that a cache holds it; a larger chunk is unpacked only once
MOST_BLOCK_BYTES = 2**25  # but never more than this
MOST_PACKED = 1032  # bytes become one by deflate; of more, most were never written
MOST_PIXEL_BYTES = 8  # of all channels of a frame, times `max_pixels`, is the largest frame

Block = Shaped[np.ndarray, "time channel row col"]


@dataclass(frozen=True)
class Variable:
    """An array in a file, sliced like one of NumPy, a letter for each axis, and its channels.

    `dtype` is the type by which its numbers are to be taken if that is not their own; `chunk` is
    how many frames the file keeps together.
    """

    array: Any
    axes: str
    channels: tuple[Channel, ...] = ()
    dtype: np.dtype[Any] | None = None
    chunk: int = 1

    def length(self, axis: str) -> int:
        """Return the length of an axis; 1 if there is no such axis."""
        return int(self.array.shape[self.axes.index(axis)]) if axis in self.axes else 1

    def check(self, path: Path, reading: Reading) -> None:
        """Check before any is read that the values are numbers, and few enough for a frame.

        Raises:
            BadInput: they are not.
        """
        if self.array.dtype.kind not in "buif":
            raise BadInput(f"{path}: holds {self.array.dtype}, which are not real numbers")
        pixels = self.length("H") * self.length("W")
        reading.check_pixels(path, pixels)
        frame_bytes = pixels * self.length("C") * self.array.dtype.itemsize
        reading.check_pixels(path, frame_bytes // MOST_PIXEL_BYTES)
        _check_written(math.prod(self.array.shape) * self.array.dtype.itemsize, path)

    def block(self, sequence: int, picked: slice | Shaped[np.ndarray, " time"]) -> Block:
        """Return some frames of a sequence, in this machine's byte order."""
        picks: dict[str, Any] = {"N": sequence, "T": picked, "-": 0}
        block = np.asarray(self.array[tuple(picks.get(axis, slice(None)) for axis in self.axes)])
        kept = [axis for axis in self.axes if axis not in "N-"]
        block = block.transpose([kept.index(axis) for axis in "TCHW" if axis in kept])
        block = block.reshape(-1, self.length("C"), self.length("H"), self.length("W"))
        block = block.astype(_native(block.dtype), copy=False)
        block = block if self.dtype is None else block.view(self.dtype)
        return cf.within_valid_range(block, self.channels[0]) if self.channels else block


@dataclass(frozen=True)
class Content:
    """The variables of a file, whose channels make one frame, with grid and times.

    `times`, if they are known, are microseconds since 1970 that ascend; `places` are those of the
    frames in the file, in this order.
    """

    variables: tuple[Variable, ...]
    grid: Grid | None = None
    times: tuple[int, ...] | None = None
    places: np.ndarray | None = None

    @property
    def extent(self) -> tuple[int, int]:
        """The numbers of sequences (axis N) and of frames in each (axis T)."""
        return self.variables[0].length("N"), self.variables[0].length("T")

    @cached_property
    def meaning(self) -> Meaning:
        """The channels of all variables, and the grid."""
        channels = tuple(channel for variable in self.variables for channel in variable.channels)
        return Meaning(channels, self.grid) if channels or self.grid else NOTHING_SAID

    def frames(self, sequence: int, first: int = 0) -> Iterator[Frame]:
        """Yield the frames of one sequence from a first one on, in the order of time if known."""
        count, step = self.extent[1], self._frames_at_once()
        for start in range(first, count, step):
            stop = min(start + step, count)
            picked = slice(start, stop) if self.places is None else self.places[start:stop]
            blocks = [variable.block(sequence, picked) for variable in self.variables]
            block = blocks[0] if len(blocks) == 1 else joined(blocks)
            for number, values in enumerate(block):
                time = None if self.times is None else self.times[start + number]
                yield Frame(values, self.meaning, time)

    def _frames_at_once(self) -> int:
        sizes = [
            variable.array.dtype.itemsize
            * variable.length("C")
            * variable.length("H")
            * variable.length("W")
            for variable in self.variables
        ]
        frame_bytes = max(1, sum(sizes))
        chunk = max(variable.chunk for variable in self.variables)
        most = MOST_BLOCK_BYTES // frame_bytes
        return int(max(1, min(max(BLOCK_BYTES // frame_bytes, chunk), most)))


class Steps:
    """Arrays that follow each other, as one array with the time first.

    Each is a time step, or holds several along its axis number `time`.
    """

    def __init__(
        self, arrays: list[Any], names: list[str], path: Path, time: int | None = None
    ) -> None:
        first, along = arrays[0], slice(time, None if time is None else time + 1)
        frame = np.delete(first.shape, [] if time is None else along).tolist()
        for name, array in zip(names, arrays, strict=True):
            own = np.delete(array.shape, [] if time is None else along).tolist()
            if (own, array.dtype) != (frame, first.dtype):
                raise BadInput(
                    f"{path}: {name} holds {array.shape} {array.dtype}, but {names[0]} "
                    f"{first.shape} {first.dtype}; the datasets that raw_dataset names with a * "
                    f"need frames of one size and type"
                )
        self._arrays, self._time = arrays, time
        lengths = [1 if time is None else array.shape[time] for array in arrays]
        self._ends = np.cumsum(lengths)
        self.shape, self.dtype = (int(self._ends[-1]), *frame), first.dtype

    def __getitem__(self, picks: tuple[Any, ...]) -> np.ndarray:
        times, *rest = picks
        some = np.arange(self.shape[0])[times]
        owners = np.searchsorted(self._ends, some, side="right")
        runs = np.split(np.arange(len(some)), np.flatnonzero(np.diff(owners)) + 1)
        return np.concatenate([self._part(int(owners[run[0]]), some[run], rest) for run in runs])

    def _part(
        self, number: int, places: Shaped[np.ndarray, " time"], rest: list[Any]
    ) -> Shaped[np.ndarray, "time ..."]:
        """Return what one array holds of these times of all arrays."""
        array, time = self._arrays[number], self._time
        if time is None:
            return np.asarray(array[tuple(rest)])[None]
        places = places - (self._ends[number] - array.shape[time])
        follow = bool((np.diff(places) == 1).all())
        own = slice(places[0], places[-1] + 1) if follow else places
        block = np.asarray(array[(*rest[:time], own, *rest[time:])])
        return np.moveaxis(block, sum(isinstance(pick, slice) for pick in rest[:time]), 0)


def in_steps(arrays: list[Any], names: list[str], path: Path, axes: str) -> tuple[Steps, str]:
    """Return arrays that follow each other as one, and its letters.

    Args:
        arrays: of one type, and of one size but for their times.
        names: of the arrays.
        path: of their file.
        axes: the letters of each array.

    Raises:
        BadInput: they differ.
    """
    time = axes.index("T") if "T" in axes else None
    return Steps(arrays, names, path, time), f"T{axes.replace('T', '')}"


def check_order(names: list[str], path: Path) -> None:
    """Check that the names of time steps, whose times are not known, have one order.

    Raises:
        BadInput: they have not.
    """
    order = natural.order(names)
    if order.twins:
        first, second = (names[place] for place in order.twins[0])
        raise BadInput(f"{path}: {second} sorts equal to {first}; rename one of them")
    if order.doubt:
        raise BadInput(
            f"{path}: {' and '.join(order.doubt)} {natural.TWO_WAYS}; give all numbers as many "
            f"digits"
        )


def check_same(first: Channel, other: Channel, names: tuple[str, str], path: Path) -> None:
    """Check that two time steps mean the same by their numbers.

    Raises:
        BadInput: they do not.
    """
    meanings = [Meaning((channel._replace(name=""),)) for channel in (first, other)]
    different = meanings[0].differences(meanings[1])
    if different:
        raise BadInput(
            f"{path}: {names[1]} has another {', '.join(different)} than {names[0]}; all frames of "
            f"a sequence need the same"
        )


def in_order(
    content: Content, moments: np.ndarray | None, path: Path, *, dated: bool = True
) -> Content:
    """Return the content with its frames in the order of their times.

    Args:
        content: of a file.
        moments: of its frames as they are stored, or None if they are not known.
        path: of the file.
        dated: whether the moments are microseconds since 1970, or numbers that only order them.

    Raises:
        BadInput: a time is there twice.
    """
    if moments is None or len(moments) != content.extent[1]:
        return content
    if len(moments) == 1:
        return replace(content, times=(int(moments[0]),)) if dated else content
    places = np.argsort(moments, kind="stable")
    moments = moments[places]
    doubled = np.flatnonzero(moments[1:] == moments[:-1])
    if doubled.size:
        moment = moments[doubled[0]]
        shown = times.shown(int(moment)) if dated else str(moment)
        raise BadInput(
            f"{path}: holds the time {shown} twice, in its frames {places[doubled[0]] + 1} and "
            f"{places[doubled[0] + 1] + 1}; remove one of them"
        )
    ascending = bool((places[1:] > places[:-1]).all())
    return replace(
        content,
        times=tuple(moments.tolist()) if dated else None,
        places=None if ascending else places,
    )


def matching(wanted: str, names: list[str]) -> list[str]:
    """Return the dataset of this name, or those that fit it as a pattern, in natural order.

    A `*` stands for any part of a name between two slashes.
    """
    if wanted in names:
        return [wanted]
    parts = wanted.split("/")
    fitting = [
        name
        for name in names
        if len(found := name.split("/")) == len(parts)
        and all(fnmatchcase(one, part) for one, part in zip(found, parts, strict=True))
    ]
    return [fitting[place] for place in natural.order(fitting).positions]


def joined(blocks: list[Shaped[np.ndarray, "time _ row col"]]) -> Block:
    """Return blocks of other channels as one, in a type that holds the numbers of all of them.

    Raises:
        ValueError: there is no such type.
    """
    dtype = np.result_type(*blocks)
    block = np.concatenate(blocks, axis=1, dtype=dtype)
    for one in blocks:
        if one.dtype.kind in "ui" and dtype.kind == "f" and one.dtype.itemsize >= dtype.itemsize:
            with np.errstate(invalid="ignore"):
                exact = np.array_equal(one.astype(dtype).astype(one.dtype), one)
            if not exact:
                raise ValueError(f"{one.dtype} and {dtype} fit into no type together")
    return block


def agreed(variables: list[Variable], names: list[str], path: Path) -> tuple[Variable, ...]:
    """Return the variables of one frame, whose channels have their names where there are several.

    Raises:
        BadInput: they differ in size, in times or in sequences.
    """
    first = variables[0]
    for variable, name in zip(variables, names, strict=True):
        for axis in "NTHW":
            if variable.length(axis) != first.length(axis):
                raise BadInput(
                    f"{path}: {name} has the shape {tuple(variable.array.shape)}, but {names[0]} "
                    f"{tuple(first.array.shape)}; the datasets of raw_dataset must be of one size"
                )
    return tuple(variables)


def axes_of(shape: tuple[int, ...], path: Path, reading: Reading, *, steps: bool = False) -> str:
    """Return the letters of an array whose file does not name its axes.

    Args:
        shape: of the array.
        path: of the file.
        reading: how it is read.
        steps: whether it is one of several time steps; then `raw_axes` may begin with their T.

    Raises:
        BadInput: `raw_axes` does not fit, or is needed.
    """
    axes = reading.raw_axes or USUAL_AXES.get(len(shape))
    if steps and axes is not None and len(axes) > len(shape):
        axes = axes.removeprefix("T")
    if axes is None or len(axes) != len(shape):
        raise BadInput(
            f"{path}: raw_axes = {reading.raw_axes!r}, but its array has {len(shape)} axes, "
            f"{shape}; name each with a letter of NTCHW, as TNHW"
        )
    if reading.raw_axes is None and len(shape) == 3 and shape[2] <= COLOURS < min(shape[:2]):
        raise BadInput(
            f"{path}: its array has the shape {shape}; set raw_axes=HWC if the last axis is one of "
            f"channels, or raw_axes=THW if the frames are {shape[1]} x {shape[2]} pixels"
        )
    return axes


def chunk_of(chunks: tuple[int, ...] | None, axes: str) -> int:
    """Return how many frames lie in one chunk; 1 without chunks."""
    return chunks[axes.index("T")] if chunks and "T" in axes else 1


def _check_written(array_bytes: int, path: Path) -> None:
    """Check that an array which fills the disk is in its file, not only the number of its frames.

    Raises:
        BadInput: most of it was never written.
    """
    free = shutil.disk_usage(Path()).free
    if array_bytes > free:
        parts = path.rglob("*") if path.is_dir() else [path]
        if array_bytes > MOST_PACKED * sum(part.stat().st_size for part in parts):
            raise BadInput(
                f"{path}: an array of {array_bytes:,} bytes, of which most were never written, and "
                f"{free:,} are free on the disk; remove it"
            )


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in this machine's byte order; truth values become bytes."""
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("=")
