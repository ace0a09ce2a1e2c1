"""Conversion of the stored numbers of a sequence to physical values and [0, 1], and back.

The physical value is `scale` times the stored number plus `offset`, as the channel says. It is
taken in float64 and rounded once. Integers of 8 and 16 bits are looked up in tables, unless the
numbers are physical values themselves: then float32 is exact enough, and three times as fast.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Num

from convlstm.patch.curves import Curve
from convlstm.patch.scaling import Scaling, by_channel
from convlstm.runtime.errors import BadInput
from convlstm.storage.meaning import Channel, Marks

SMALL_INTEGERS = (np.uint8, np.int8, np.uint16, np.int16)
SMALL_FLOATS = (np.float16, np.float32)
MARK_TOLERANCE = 0.01  # of stored integers: a missing_value is a decimal, divided by a scale
ROUNDING = 1e-6  # of the range: a value that is so little outside was rounded there
WIDEN = "widen value_range, list the value under missing_value, or set out_of_range"
LIST_NAN = "NaN cannot be clipped; list nan under missing_value"
Stored = Num[np.ndarray, "*shape"]
Frames = Num[np.ndarray, "*lead channel row col"]


class Band:
    """The conversion of one channel.

    Args:
        channel: as its file says.
        curve: to [0, 1].
        scaling: of all channels, of which missing_value, beside the numbers of the file, and
            out_of_range say what is missing.
        dtype: of the stored numbers.

    Raises:
        BadInput: scale or offset are no numbers to calculate with.
    """

    def __init__(
        self, channel: Channel, curve: Curve, scaling: Scaling, dtype: np.dtype[Any]
    ) -> None:
        if not (np.isfinite([channel.scale, channel.offset]).all() and channel.scale):
            raise BadInput(
                f"{channel.name}: scale {channel.scale:g} and offset {channel.offset:g} make no "
                f"physical values; set apply_scale to false"
            )
        self.channel, self.curve, self.dtype = channel, curve, dtype
        numbers = (*channel.missing, *map(self._stored_mark, scaling.missing_value))
        self.missing = Marks.of(numbers, dtype)
        self._outside_is_missing = scaling.out_of_range == "missing"
        self.undetected = Marks.of(channel.undetected, dtype)
        self.is_scaled = (channel.scale, channel.offset) != (1, 0)
        self._is_plain = not (self.is_scaled or self.undetected.numbers)
        self._is_plain_and_straight = self._is_plain and curve.transform == "none"
        self._tables: dict[str, np.ndarray] = {}
        self.key = repr((channel.scale, channel.offset, self.missing, self.undetected, curve))

    @property
    def resolved(self) -> Channel:
        """The channel, with all marks as the type holds them."""
        return self.channel._replace(
            missing=self.missing.numbers, undetected=self.undetected.numbers
        )

    def physical(self, values: Stored) -> Stored:
        """Return physical values; where nothing was detected the low end of the range.

        Numbers that are physical values themselves are returned as they are. At missing pixels
        the values mean nothing.
        """
        if self._is_plain:
            return values
        found = values * np.float64(self.channel.scale) + self.channel.offset
        return np.where(self.undetected.where(values), self.curve.pair[0], found)

    def to_unit(
        self, values: Stored
    ) -> tuple[Float[np.ndarray, "*shape"], Bool[np.ndarray, "*shape"]]:
        """Return numbers in [0, 1] in float32, 0 where missing, and the mask of measured values."""
        small = self.dtype in SMALL_INTEGERS
        if self._is_plain_and_straight and (small or self.dtype in SMALL_FLOATS):
            unit, missing = self._straight(values), self.is_missing(values)
        elif small:
            unit = self._looked_up("unit", self._curved_or_nan, values)
            missing = np.isnan(unit)
        else:
            unit, missing = self._curved(values), self.is_missing(values)
        np.copyto(unit, 0, where=missing)
        return unit, np.logical_not(missing, out=missing)

    def to_stored(self, values: Float[np.ndarray, "*shape"]) -> Stored:
        """Return stored numbers of physical values in the type of the frames.

        Integers are rounded and kept inside their range. None of them becomes a number that means
        missing; the low end becomes the one that means that nothing was detected, if there is one.
        """
        numbers: np.ndarray = (values.astype(np.float64) - self.channel.offset) / self.channel.scale
        if self.undetected.numbers:
            numbers[values <= self.curve.pair[0]] = self.undetected.numbers[0]
        if self.dtype.kind == "f":
            return numbers.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        stored = np.clip(np.rint(numbers), limits.min, limits.max).astype(self.dtype)
        middle = (sum(self.curve.pair) / 2 - self.channel.offset) / self.channel.scale
        marks = sorted(self.missing.numbers)
        for mark in (*marks, *reversed(marks)):
            stored[stored == self.dtype.type(mark)] = int(mark) + (1 if mark <= middle else -1)
        return np.asarray(stored)

    def is_missing(self, values: Stored) -> Bool[np.ndarray, "*shape"]:
        """Return where nothing was measured, or what was shall count as missing."""
        missing = self.missing.where(values)
        return missing | self.outside(values) if self._outside_is_missing else missing

    def outside(self, values: Stored) -> Bool[np.ndarray, "*shape"]:
        """Return where a number does not mean missing, but is not in the range; NaN never is."""
        low, high = self.curve.pair
        near = ROUNDING * (high - low) if self.is_scaled else 0.0

        def compare(values: Stored) -> Bool[np.ndarray, "*shape"]:
            physical = self.physical(values)
            inside = (physical >= low - near) & (physical <= high + near)
            return np.asarray(~inside & ~self.missing.where(values))

        return self._looked_up("outside", compare, values)

    def above(self, values: Stored, limit: float) -> Bool[np.ndarray, "*shape"]:
        """Return where a value is measured, and more than `limit`."""

        def compare(values: Stored) -> Bool[np.ndarray, "*shape"]:
            return np.asarray((self.physical(values) > limit) & ~self.is_missing(values))

        return self._looked_up(f"above {limit}", compare, values)

    def fault(self, value: Any, remedy: str) -> str:
        """Return a line on a stored number that is out of range, and the remedy."""
        physical = self.physical(np.array([value]))[0]
        shown = f"{physical:.6g}" if self.is_scaled else f"{physical}"
        of_channel = f"{self.channel.name} = " if self.channel.name else ""
        unit = f" {self.channel.unit}" if self.channel.unit else ""
        low, high = self.curve.pair
        return f"{of_channel}{shown}{unit} lies outside value_range [{low:g}, {high:g}]; {remedy}"

    def _stored_mark(self, value: float) -> float:
        """Return the stored number of a physical value that means missing."""
        number = (value - self.channel.offset) / self.channel.scale
        nearest = float(np.rint(number)) if np.isfinite(number) else number
        return (
            nearest if abs(number - nearest) < MARK_TOLERANCE and self.dtype.kind != "f" else number
        )

    def _straight(self, values: Stored) -> Float[np.ndarray, "*shape"]:
        """Return plain values on a straight curve in float32, in place: it is done at each step."""
        low, high = self.curve.pair
        unit = values.astype(np.float32)
        if low != 0:
            unit -= np.float32(low)
        unit /= np.float32(high - low)
        limits = np.iinfo(self.dtype) if self.dtype.kind in "iu" else None
        if limits is None or (low, high) != (limits.min, limits.max):
            np.clip(unit, 0, 1, out=unit)
        return unit

    def _curved(self, values: Stored) -> Float[np.ndarray, "*shape"]:
        physical = self.physical(values).astype(np.float64, copy=False)
        return np.asarray(self.curve.to_unit(physical), np.float32)

    def _curved_or_nan(self, values: Stored) -> Float[np.ndarray, "*shape"]:
        """Return numbers in [0, 1], NaN where missing."""
        return np.where(self.is_missing(values), np.float32("nan"), self._curved(values))

    def _looked_up(
        self, name: str, function: Callable[[Stored], np.ndarray], values: Stored
    ) -> np.ndarray:
        """Apply a function to stored numbers, by a table where their type is small.

        A table takes no memory for float64, and each number is calculated once.
        """
        if self.dtype not in SMALL_INTEGERS or self._is_plain_and_straight:
            return function(values)
        unsigned = np.dtype(f"u{self.dtype.itemsize}")
        if name not in self._tables:
            every = np.arange(2 ** (8 * self.dtype.itemsize)).astype(unsigned)
            self._tables[name] = function(every.view(self.dtype))
        return np.take(self._tables[name], values.view(unsigned), mode="clip")


class Conversion:
    """The conversion of the frames of one sequence.

    Args:
        scaling: physical values to [0, 1].
        channels: as the file says; none if it says nothing.
        dtype: of the stored numbers.
    """

    def __init__(self, scaling: Scaling, channels: Sequence[Channel], dtype: np.dtype[Any]) -> None:
        self.scaling = scaling
        said = tuple(channels) or (Channel(),) * len(scaling.curves)
        bands = [
            Band(channel, curve, scaling, dtype)
            for channel, curve in zip(said, scaling.curves, strict=True)
        ]
        self.channels = tuple(band.resolved for band in bands)
        self._each = bands
        self._bands = bands if len({band.key for band in bands}) > 1 else bands[:1]

    def is_missing(self, frames: Frames) -> Bool[np.ndarray, "*lead channel row col"]:
        """Return where nothing was measured, or what was shall count as missing."""
        return by_channel([band.is_missing for band in self._bands], frames)

    def is_undetected(self, frames: Frames) -> Bool[np.ndarray, "*lead channel row col"]:
        """Return where a measurement found nothing."""
        return by_channel([band.undetected.where for band in self._bands], frames)

    def physical(self, frames: Frames) -> Frames:
        """Return physical values, as they are stored or in float64; missing ones mean nothing."""
        return by_channel([band.physical for band in self._bands], frames)

    def to_stored(self, frames: Float[np.ndarray, "*lead channel row col"]) -> Frames:
        """Return the stored numbers of physical values, as `Band.to_stored` does."""
        return by_channel([band.to_stored for band in self._bands], frames)

    def to_unit(
        self, frames: Num[np.ndarray, "*shape"], axis: int = -3
    ) -> tuple[Float[np.ndarray, "*shape"], Bool[np.ndarray, "*shape"]]:
        """Return numbers in [0, 1] in float32, and the mask of measured values.

        Values outside the range are clipped to it. Missing ones become 0, the low end of the range.

        Args:
            frames: stored numbers, with the channels along `axis`.
            axis: of the channels.
        """
        if len(self._bands) == 1:
            return self._bands[0].to_unit(frames)
        unit, mask = np.empty(frames.shape, np.float32), np.empty(frames.shape, bool)
        parts = (np.moveaxis(array, axis, 0) for array in (frames, unit, mask))
        for band, values, its_unit, its_mask in zip(self._bands, *parts, strict=True):
            its_unit[...], its_mask[...] = band.to_unit(values)
        return unit, mask

    def outside(self, frames: Frames) -> Bool[np.ndarray, "*lead channel row col"]:
        """Return where a number does not mean missing, but is not in the range; NaN never is."""
        return by_channel([band.outside for band in self._bands], frames)

    def above(
        self, frames: Frames, limits: Sequence[float]
    ) -> Bool[np.ndarray, "*lead channel row col"]:
        """Return where a value is measured, and more than the limit of all channels or its own."""
        if len(set(limits)) == 1:
            (limit,) = set(limits)
            return by_channel([partial(band.above, limit=limit) for band in self._bands], frames)
        own = zip(self._each, limits, strict=True)
        return by_channel([partial(band.above, limit=limit) for band, limit in own], frames)

    def check(
        self,
        frames: Frames,
        outside: Bool[np.ndarray, "*lead channel row col"] | None = None,
        *,
        where: str,
    ) -> None:
        """Check that `to_unit` can take all numbers: it clips, or leaves out, but refuses nothing.

        Args:
            frames: stored numbers.
            outside: where they are out of range, if that is known.
            where: their origin, for the message.

        Raises:
            BadInput: a value is out of range under `error`, or is NaN under `clip`.
        """
        if self.scaling.out_of_range == "missing":
            return
        refused, remedy = self.outside(frames) if outside is None else outside, WIDEN
        if self.scaling.out_of_range == "clip":
            refused, remedy = refused & np.isnan(frames), LIST_NAN
        if refused.any():
            first = tuple(np.argwhere(refused)[0])
            band = self._bands[first[-3] if len(self._bands) > 1 else 0]
            raise BadInput(f"{where}: {band.fault(frames[first], remedy)}")
