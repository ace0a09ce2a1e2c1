"""A table of the sequences that were read: their times, sizes and values."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Num

from convlstm.ingest import times
from convlstm.runtime.files import from_text, to_text
from convlstm.storage.frames import Frame
from convlstm.storage.frames import Sequence as FrameSequence
from convlstm.storage.meaning import Channel, Marks, names

SHOWN = 20  # sequences that a table lists
HEADS = ("sequence", "frames", "first", "last", "step", "gaps", "size", "channel")
HEADS_OF_VALUES = ("unit", "minimum", "maximum", "missing %")


class Tally:
    """The smallest and the largest physical value of each channel, and how many are missing.

    Numbers that mean that nothing was detected are measured, but are no values.

    Args:
        channels: as the file says.
        dtype: of the stored numbers.
    """

    def __init__(self, channels: Sequence[Channel], dtype: np.dtype[Any]) -> None:
        self.channels = channels
        self.pixels = 0
        self.missing = np.zeros(len(channels), np.int64)
        self._ends = np.full((len(channels), 2), (np.inf, -np.inf))
        self._marks = [
            (Marks.of(own.missing, dtype), Marks.of(own.undetected, dtype)) for own in channels
        ]

    def add(
        self,
        frames: Num[np.ndarray, "time channel row col"],
        missing: Bool[np.ndarray, "time channel row col"] | None = None,
    ) -> None:
        """Count in frames, of which those are `missing`, or if it is None those that are marked."""
        self.pixels += frames[:, 0].size
        for number, (marks, undetected) in enumerate(self._marks):
            values = frames[:, number]
            hidden = marks.where(values) if missing is None and marks.numbers else None
            if missing is not None:
                hidden = missing[:, number].copy()
            if hidden is not None:
                count = int(np.count_nonzero(hidden))
                self.missing[number] += count
                hidden = hidden if count else None  # which would be looked at in ten times the time
            if undetected.numbers:
                none = undetected.where(values)
                hidden = none if hidden is None else np.logical_or(hidden, none, out=hidden)
            if hidden is None or not hidden.all():
                low, high = _ends(values, hidden)
                ends = self._ends[number]
                self._ends[number] = np.fmin(ends[0], low), np.fmax(ends[1], high)

    @property
    def text(self) -> str:
        """The counts so far as a text, which `add_counted` takes."""
        return to_text(
            {"pixels": self.pixels, "missing": self.missing.tolist(), "ends": self._ends.tolist()}
        )

    def add_counted(self, text: str) -> None:
        """Count in what another tally of the same channels has counted."""
        counted = from_text(text)
        self.pixels += counted["pixels"]
        self.missing += counted["missing"]
        low, high = np.array(counted["ends"], np.float64).reshape(-1, 2).T
        self._ends[:, 0] = np.fmin(self._ends[:, 0], low)
        self._ends[:, 1] = np.fmax(self._ends[:, 1], high)

    @property
    def ranges(self) -> list[tuple[float, float]]:
        """The smallest and the largest physical value of each channel; NaN if there is none."""
        found = []
        for channel, (low, high) in zip(self.channels, self._ends.tolist(), strict=True):
            ends = sorted(channel.scale * end + channel.offset for end in (low, high))
            found.append((ends[0], ends[1]) if low <= high else (np.nan, np.nan))
        return found


class Tallied:
    """The frames of a sequence, on their way, and a tally of those that have passed.

    Args:
        frames: of the sequence.
        tick: called with 1 after each of them.
    """

    def __init__(self, frames: Iterable[Frame], tick: Callable[[int], object]) -> None:
        self.tally = Tally((), np.dtype(np.uint8))
        self._frames, self._tick = frames, tick

    def __iter__(self) -> Iterator[Frame]:
        for number, frame in enumerate(self._frames):
            if not number:
                channels = frame.meaning.of_each(len(frame.values))
                self.tally = Tally(channels, frame.values.dtype)
            self.tally.add(frame.values[None])
            yield frame
            self._tick(1)


def _ends(
    values: Num[np.ndarray, "time row col"], hidden: Bool[np.ndarray, "time row col"] | None
) -> tuple[float, float]:
    """Return the smallest and the largest value that is not hidden, of which there is one.

    Bits of integers are cleared where they are hidden, in an order in which 0 is the smallest: that
    is twenty times as fast as leaving them out.
    """
    if values.dtype.kind == "f":  # fmin and fmax pass over NaN
        seen = values if hidden is None else np.where(hidden, values.dtype.type(np.nan), values)
        return float(np.fmin.reduce(seen, axis=None)), float(np.fmax.reduce(seen, axis=None))
    if hidden is None:
        return float(values.min()), float(values.max())
    unsigned = np.dtype(f"u{values.itemsize}")
    turned = unsigned.type(1 << (8 * values.itemsize - 1)) if values.dtype.kind == "i" else 0
    mask = np.subtract(hidden, True, dtype=unsigned)  # no bits where they are hidden, or all
    upwards = values.view(unsigned) ^ turned if turned else values.view(unsigned)
    seen = upwards & mask
    high = seen.max() ^ turned
    low = ~np.bitwise_xor(seen, mask, out=mask).max() ^ turned  # from the largest number downwards
    both = np.array([low, high], unsigned).view(values.dtype).tolist()
    return float(both[0]), float(both[1])


@dataclass(frozen=True)
class OfChannel:
    """The values of one channel: `minimum` and `maximum` are physical, NaN if there are none."""

    name: str
    unit: str
    minimum: float
    maximum: float
    pixels: int
    missing: int

    @property
    def missing_percent(self) -> float:
        """The percentage of the pixels that are missing."""
        return 100 * self.missing / max(1, self.pixels)


@dataclass(frozen=True)
class Summary:
    """The facts of one sequence, or of all; `times` are None where they are not known."""

    name: str
    frames: int
    size: str
    times: tuple[str, str] | None
    step_seconds: float | None
    gaps: int
    channels: tuple[OfChannel, ...]

    def cells(self) -> list[list[str]]:
        """Return a row of the table for each channel, the first with all that they share."""
        first, last = self.times or ("-", "-")
        step = "-" if self.step_seconds is None else f"{self.step_seconds:g} s"
        shared = [self.name, str(self.frames), first, last, step, str(self.gaps), self.size]
        rows = []
        for own in self.channels:
            values = [own.name, own.unit or "-", *map(_shown, (own.minimum, own.maximum))]
            rows.append([*shared, *values, _shown(own.missing_percent)])
            shared = [""] * len(shared)
        return rows


def _shown(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4g}"


def of_sequence(
    name: str, shape: tuple[int, ...], moments: Int[np.ndarray, " time"] | None, tally: Tally
) -> Summary:
    """Return what was read of one sequence.

    Args:
        name: of the sequence.
        shape: of its frames (time, channel, row, col).
        moments: microseconds since 1970 of each frame.
        tally: of all its frames.
    """
    known = [] if moments is None else moments.tolist()
    return Summary(
        name,
        shape[0],
        f"{shape[2]} x {shape[3]}",
        (times.shown(known[0]), times.shown(known[-1])) if known else None,
        times.step(known) / 1e6 if len(known) > 1 else None,
        len(times.runs(moments, shape[0])) - 1,
        tuple(
            OfChannel(label, own.unit, low, high, tally.pixels, int(missing))
            for label, own, (low, high), missing in zip(
                names(tally.channels), tally.channels, tally.ranges, tally.missing, strict=True
            )
        ),
    )


def of_stored(sequence: FrameSequence, tallies: Iterable[str]) -> Summary:
    """Return what was counted in the pieces of a sequence, of which these are the tallies."""
    dtype, shape = sequence.frames.dtype, sequence.frames.shape
    tally = Tally(sequence.meaning.of_each(shape[1]), dtype)
    for text in tallies:
        tally.add_counted(text)
    return of_sequence(sequence.name, shape, sequence.times, tally)


def table(summaries: Iterable[Summary]) -> list[str]:
    """Return the lines of a table of what was read, the first `SHOWN` sequences and their sum."""
    known = list(summaries)
    rows = [row for own in known[:SHOWN] for row in own.cells()]
    if len(known) > 1:
        rows += together(known).cells()
    heads = [*HEADS, *HEADS_OF_VALUES]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (heads, *rows)
    ]


def together(summaries: Sequence[Summary]) -> Summary:
    """Return what was read of all sequences; sizes and steps that differ are counted."""
    moments = [moment for own in summaries if own.times for moment in own.times]
    sizes = dict.fromkeys(own.size for own in summaries)
    steps = {own.step_seconds for own in summaries}
    return Summary(
        f"all {len(summaries)}",
        sum(own.frames for own in summaries),
        next(iter(sizes)) if len(sizes) == 1 else f"{len(sizes)} sizes",
        (min(moments), max(moments)) if moments else None,
        steps.pop() if len(steps) == 1 else None,
        sum(own.gaps for own in summaries),
        tuple(map(_joined, zip(*(own.channels for own in summaries), strict=False))),
    )


def _joined(parts: Sequence[OfChannel]) -> OfChannel:
    """Return one channel of all sequences."""
    return OfChannel(
        parts[0].name,
        parts[0].unit,
        float(np.fmin.reduce([own.minimum for own in parts])),
        float(np.fmax.reduce([own.maximum for own in parts])),
        sum(own.pixels for own in parts),
        sum(own.missing for own in parts),
    )
