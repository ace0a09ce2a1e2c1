"""Scaling of physical values to [0, 1] and back, with a range and a curve for each channel.

All params, tables and pictures speak of physical values. Our files keep the numbers of the raw
files in their own type (a byte stays a byte: a quarter of the memory of float32, and no rounding);
`conversion` turns these into physical values.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeVar, cast

import numpy as np
from jaxtyping import Float, Shaped
from pydantic import BeforeValidator, Discriminator, Field, Tag

from convlstm.params.group import (
    Group,
    Number,
    NumberOrNan,
    Rule,
    always_tuple,
    nested_tuple,
    one_or_several,
)
from convlstm.patch.curves import Curve, Pair, Transform
from convlstm.runtime.errors import BadInput

Range = Sequence[Number] | Sequence[Sequence[Number]] | None
"""A value_range of params.yaml: one for all channels, one for each, or to be found."""
OutOfRange = Literal["error", "clip", "missing"]
Frames = Float[np.ndarray, "*lead channel row col"]
T = TypeVar("T")
FEWEST_STEPS = 255  # that float32 must have in a range: no byte loses anything


def _pairs(value_range: Range) -> tuple[Pair, ...]:
    """Return the ranges that are given, one for all channels or one for each."""
    if value_range is None:
        return ()
    several = isinstance(value_range[0], Sequence)
    pairs = cast(Sequence[Sequence[Number]], value_range if several else (value_range,))
    return tuple((float(low), float(high)) for low, high in pairs)


def ranges_have_two_ends(value_range: Range) -> str | None:
    """Ask for the smaller end first."""
    for low, high in _pairs(value_range):
        if not low < high:
            return f"value_range = [{low:g}, {high:g}]: the first number must be the smaller one"
    return None


def ranges_fit_float32(value_range: Range) -> str | None:
    """Ask for ends that float32 holds, and as many of its numbers between them as a byte has."""
    for low, high in _pairs(value_range):
        begin = f"value_range = [{low!r}, {high!r}]: float32, in which all is calculated,"
        largest, end = max(abs(low), abs(high), high - low), float(np.finfo(np.float32).max)
        if largest > end:
            return f"{begin} ends at {end:.2g}; take another unit"
        step = float(np.spacing(np.float32(largest)))
        if 0 < high - low < FEWEST_STEPS * step:
            return f"{begin} has steps of {step:.2g} there; subtract an offset or take another unit"
    return None


def ranges_can_be_transformed(
    value_range: Range, transform: Transform | Sequence[Transform]
) -> str | None:
    """Refuse the logarithm of values below 0, and as many transforms as nothing else has."""
    pairs = _pairs(value_range)
    kinds: Sequence[Transform] = (transform,) if isinstance(transform, str) else transform
    if not pairs:
        return None
    count = max(len(pairs), len(kinds))
    if {len(pairs), len(kinds)} - {1, count}:
        return f"transform = {list(kinds)}: must be one, or one for each range of value_range"
    both = zip(_for_each(pairs, count), _for_each(kinds, count), strict=True)
    faults = (Curve(pair, kind).fault for pair, kind in both)
    return next((fault for fault in faults if fault is not None), None)


Ranges = Annotated[tuple[Pair, ...], Field(min_length=1)]


class Values(Group):
    """Which physical values become 0 and 1, by which curve, and which mean nothing measured."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        ranges_have_two_ends,
        ranges_fit_float32,
        ranges_can_be_transformed,
    )

    value_range: (
        Annotated[
            Annotated[Pair, Tag("one")] | Annotated[Ranges, Tag("several")],
            Discriminator(one_or_several),
            BeforeValidator(nested_tuple),
        ]
        | None
    )
    transform: Annotated[tuple[Transform, ...], BeforeValidator(always_tuple), Field(min_length=1)]
    missing_value: Annotated[tuple[NumberOrNan, ...], BeforeValidator(always_tuple)]
    out_of_range: OutOfRange

    def scaling(self, channels: int, found: tuple[Pair, ...] = ()) -> "Scaling":
        """Return the scaling that these params name.

        Args:
            channels: of a frame; one range or transform holds for all of them.
            found: the ranges of the data, which stand in for a value_range of null.

        Raises:
            BadInput: there are more or fewer ranges or transforms than channels, or a range cannot
                be transformed or does not fit float32.
        """
        pairs = _pairs(self.value_range) or found
        check_count("value_range", pairs, channels)
        check_count("transform", self.transform, channels)
        fault = ranges_fit_float32(pairs) or ranges_can_be_transformed(pairs, self.transform)
        if fault is not None:
            raise BadInput(fault)
        return Scaling(
            _for_each(pairs, channels),
            _for_each(self.transform, channels),
            self.missing_value,
            self.out_of_range,
        )


def check_count(key: str, given: Sequence[Any], channels: int) -> None:
    """Check that there is one thing for all channels, or one for each.

    Raises:
        BadInput: there are more or fewer.
    """
    if len(given) not in (1, channels):
        raise BadInput(
            f"{key}: {len(given)} are given, but frames have {channels} channel(s); give one for "
            f"all channels, or one for each"
        )


def check_thresholds(thresholds: Sequence[float], ranges: Sequence[Pair]) -> None:
    """Check that a forecast, which lies inside the ranges of its channels, can reach thresholds.

    Raises:
        BadInput: one lies outside the range of every channel.
    """
    for threshold in thresholds:
        if not any(low <= threshold <= high for low, high in ranges):
            spans = ", ".join(f"[{low:g}, {high:g}]" for low, high in ranges)
            raise BadInput(
                f"thresholds: {threshold:g} lies outside value_range {spans}, as no forecast does; "
                f"give thresholds inside it"
            )


def _for_each(given: Sequence[T], count: int) -> tuple[T, ...]:
    """Repeat the only one of `given`, or return all."""
    return tuple(given) * (count if len(given) == 1 else 1)


@dataclass(frozen=True)
class Scaling:
    """The map of physical values to [0, 1], and the treatment of other values.

    Both `value_range` and `transform` have an entry for each channel. `missing_value` lists the
    values that mean a missing measurement, beside those that the files name. `out_of_range` decides
    on all others outside the range: they are an error, are clipped to it, or become missing.
    """

    value_range: tuple[Pair, ...]
    transform: tuple[Transform, ...]
    missing_value: tuple[float, ...] = ()
    out_of_range: OutOfRange = "error"

    @property
    def curves(self) -> tuple[Curve, ...]:
        """The curve of each channel."""
        return tuple(map(Curve, self.value_range, self.transform))

    def from_unit(self, unit: Frames) -> Frames:
        """Return physical values in float32 of numbers in [0, 1]."""
        return by_channel([curve.from_unit for curve in self._different], unit)

    def to_share(self, unit: Frames) -> Frames:
        """Return where in its range each physical value lies, from 0 to 1, of numbers in [0, 1].

        Scores are taken of these: without a transform both are the same.
        """
        return by_channel([curve.to_share for curve in self._different], unit)

    def from_share(self, share: Frames) -> Frames:
        """Undo `to_share`."""
        return by_channel([curve.from_share for curve in self._different], share)

    @property
    def _different(self) -> tuple[Curve, ...]:
        """The curve of each channel, or the only one if all are equal."""
        return self.curves if len(set(self.curves)) > 1 else self.curves[:1]


def by_channel(
    functions: Sequence[Callable[[Any], Any]], frames: Shaped[np.ndarray, "*lead channel row col"]
) -> Shaped[np.ndarray, "*lead channel row col"]:
    """Apply a function to each channel, or the only one to all channels at once."""
    if len(functions) == 1:
        return np.asarray(functions[0](frames))
    channels = np.moveaxis(frames, -3, 0)
    each = [function(own) for function, own in zip(functions, channels, strict=True)]
    return np.asarray(np.stack(each, axis=-3))
