"""The content of data/patches in numbers, for the terminal, for dataset.json and for the page."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Num

from convlstm.ingest import summary
from convlstm.ingest.summary import Summary
from convlstm.patch import overlaps
from convlstm.patch.conversion import Conversion
from convlstm.patch.ranges import some_pixels
from convlstm.patch.scaling import Scaling

BINS = 10_000  # of a histogram of [0, 1]
PIXELS_OF_A_FRAME = 2**10  # that it counts
LEAST_FILLED_PERCENT = 5.0


class Filling:
    """How much of the value range the values of each channel fill: a histogram of some pixels."""

    def __init__(self, channels: int) -> None:
        self.clipped = np.zeros(channels, np.int64)
        self.pixels = 0
        self._bins = np.zeros((channels, BINS + 1), np.int64)

    def add(
        self,
        frames: Num[np.ndarray, "time channel row col"],
        outside: Bool[np.ndarray, "time channel row col"],
        conversion: Conversion,
    ) -> None:
        """Count in stored numbers, and where they are outside of the range."""
        self.clipped += np.count_nonzero(outside, axis=(0, 2, 3))
        self.pixels += frames[:, 0].size
        unit, measured = conversion.to_unit(some_pixels(frames, PIXELS_OF_A_FRAME))
        places = np.rint(np.nan_to_num(unit) * BINS).astype(np.intp)
        for number, own in enumerate(self._bins):
            own += np.bincount(places[:, number][measured[:, number]], minlength=BINS + 1)

    @property
    def counted(self) -> Int[np.ndarray, "channel bin"]:
        """The counts so far as one array, which `add_counted` takes."""
        pixels = np.full_like(self.clipped, self.pixels)
        return np.column_stack([self._bins, self.clipped, pixels])

    def add_counted(self, counted: Int[np.ndarray, "channel bin"]) -> None:
        """Count in what another filling of the same channels has counted."""
        self._bins += counted[:, :-2]
        self.clipped += counted[:, -2]
        self.pixels += int(counted[0, -1])

    def percents(self) -> list[float]:
        """Return the width from the 1st to the 99th percentile in percent of the range.

        The upper one is of the values above the low end, or rain on a few pixels would count as
        none.
        """
        return [
            100 * (_percentile(own, 99, 1) - _percentile(own, 1, 0)) / BINS for own in self._bins
        ]


def _percentile(bins: Int[np.ndarray, " bin"], percent: int, first: int) -> int:
    """Return the bin below which `percent` of the values from the bin `first` on lie."""
    sums = bins[first:].cumsum()
    return first + int(np.searchsorted(sums, percent / 100 * sums[-1])) if sums[-1] else 0


class Dataset:
    """A record of what the patch stage has read and made.

    Args:
        scaling: of all frames.
        range_from: where the value range comes from.
    """

    def __init__(self, scaling: Scaling, range_from: str) -> None:
        self.summaries: list[Summary] = []
        self.windows: dict[str, int] = {}
        self.dropped: Counter[tuple[str, str]] = Counter()
        self.lost: dict[str, int] = {}
        self.short: list[str] = []
        self.filling = Filling(len(scaling.curves))
        self.scaling, self._range_from = scaling, range_from

    def add(self, own: Summary, windows: dict[str, int]) -> None:
        """Note a sequence, and how many windows each split has so far."""
        self.summaries.append(own)
        self.windows = windows

    def content(self) -> dict[str, Any]:
        """Return all of it as dataset.json has it."""
        whole = summary.together(self.summaries)
        return {
            **_shared(whole),
            "sequences": len(self.summaries),
            "windows": self.windows,
            "dropped": {
                f"{split}: {reason}": count for (split, reason), count in self.dropped.items()
            },
            "left_out_frames": self.lost,
            "short_sequences": len(self.short),
            "channels": dict(self._channels(whole)),
            "by_sequence": {
                own.name: _shared(own) | {"channels": _of_channels(own)}
                for own in self.summaries[: summary.SHOWN]
            },
        }

    def lines(self) -> Iterator[str]:
        """Yield lines for the terminal: the windows, the value range, and what looks wrong."""
        windows = ", ".join(f"{count} {split}" for split, count in self.windows.items())
        dropped = "".join(
            f"; left out of {split}: {count}, {reason}"
            for (split, reason), count in self.dropped.items()
        )
        yield f"windows: {windows}{dropped}"
        if self.short:
            names = ", ".join(self.short[: summary.SHOWN])
            more = ", ..." if len(self.short) > summary.SHOWN else ""
            yield f"{len(self.short)} sequences are too short for a window: {names}{more}"
        if self.lost:
            yield overlaps.line(self.lost)
        for name, own in self.content()["channels"].items():
            low, high, unit = own["range_low"], own["range_high"], own["unit"]
            span = f"[{low:g}, {high:g}]{f' {unit}' if unit else ''}"
            clipped = own["clipped_percent"]
            beyond = f"; {clipped:.2g} % of the values lie outside and are clipped"
            yield (f"{name}: value_range {span} from {self._range_from}{beyond if clipped else ''}")
            if own["filled_percent"] < LEAST_FILLED_PERCENT:
                yield (
                    f"warning: the values of {name}, {own['minimum']:.4g} to "
                    f"{own['maximum']:.4g}, fill {own['filled_percent']:.2g} % of value_range "
                    f"{span}; set value_range to what they are, or to null"
                )

    def _channels(self, whole: Summary) -> Iterator[tuple[str, dict[str, Any]]]:
        values = _of_channels(whole)
        parts = zip(
            values.items(),
            self.scaling.curves,
            self.filling.percents(),
            self.filling.clipped.tolist(),
            strict=True,
        )
        for (name, own), curve, filled, clipped in parts:
            yield (
                name,
                {
                    **own,
                    "range_low": curve.pair[0],
                    "range_high": curve.pair[1],
                    "range_from": self._range_from,
                    "transform": curve.transform,
                    "filled_percent": filled,
                    "clipped_percent": 100 * clipped / max(1, self.filling.pixels),
                },
            )


def _shared(own: Summary) -> dict[str, Any]:
    """Return what holds for all channels of a sequence."""
    first, last = own.times or (None, None)
    return {
        "frames": own.frames,
        "first": first,
        "last": last,
        "step_seconds": own.step_seconds,
        "gaps": own.gaps,
        "size": own.size,
    }


def _of_channels(own: Summary) -> dict[str, dict[str, Any]]:
    """Return the unit and the values of each channel by its name."""
    return {
        channel.name: {
            "unit": channel.unit,
            "minimum": channel.minimum,
            "maximum": channel.maximum,
            "missing_percent": channel.missing_percent,
        }
        for channel in own.channels
    }
