"""Scaling of data values to [0, 1] and back, and the values that mean a missing measurement.

Files keep the user's own numbers in the user's own type (a byte stays a byte: a quarter of the
memory of float32, and no rounding). `Scaling` travels with them and is applied where they are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float, Num
from pydantic import BeforeValidator

from convlstm.params.group import Group, Number, NumberOrNan, Rule, as_tuple
from convlstm.runtime.errors import BadInput


def range_has_two_ends(value_range: Sequence[Number]) -> str | None:
    """Ask for the smaller end first."""
    low, high = value_range
    if low < high:
        return None
    return f"value_range = [{low}, {high}]: the first number must be the smaller one"


def _always_tuple(value: object) -> object:
    """Turn null, one number or several into a tuple."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)


class Values(Group):
    """Which numbers become 0 and 1, and which mean that nothing was measured."""

    RULES: ClassVar[tuple[Rule, ...]] = (range_has_two_ends,)

    value_range: Annotated[tuple[float, float], BeforeValidator(as_tuple)]
    missing_value: Annotated[tuple[NumberOrNan, ...], BeforeValidator(_always_tuple)]
    out_of_range: Literal["error", "clip", "missing"]

    def scaling(self) -> "Scaling":
        """Return the scaling that these params name."""
        return Scaling(self.value_range, self.missing_value, self.out_of_range)


@dataclass(frozen=True)
class Scaling:
    """The linear map of `value_range` (data units) to [0, 1], and the treatment of other values.

    `missing_value` lists the values that mean a missing measurement. `out_of_range` decides on all
    others outside the range: they are an error, are clipped to the range, or become the first
    missing value.
    """

    value_range: tuple[float, float]
    missing_value: tuple[float, ...] = ()
    out_of_range: Literal["error", "clip", "missing"] = "error"

    def is_missing(self, values: Num[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
        """Return where nothing was measured."""
        if not self.missing_value:
            return np.zeros(values.shape, bool)
        marks = np.array(self.missing_value)
        if values.dtype.kind == "f":  # -999.9 is another number in float32 than in float64
            with np.errstate(over="ignore"):
                marks = marks.astype(values.dtype)
        missing = np.isin(values, marks[~np.isnan(marks)])
        return missing | np.isnan(values) if np.isnan(marks).any() else missing

    def to_unit(
        self, values: Num[np.ndarray, "*shape"]
    ) -> tuple[Float[np.ndarray, "*shape"], Bool[np.ndarray, "*shape"]]:
        """Scale data units to float32 in [0, 1]; also return the mask of measured values.

        Values outside the range are clipped to it. Missing values become 0, the low end of the
        range.
        """
        low, high = self.value_range
        missing = self.is_missing(values)
        if values.dtype == np.float64:  # what float32 cannot hold lies outside the range
            values = np.clip(values, low, high)
        unit = values.astype(np.float32)  # in place from here: this is done for every batch
        if low != 0:
            unit -= np.float32(low)
        unit /= np.float32(high - low)
        if not self._is_range_of(values.dtype):
            np.clip(unit, 0, 1, out=unit)
        unit[missing] = 0
        return unit, ~missing

    def _is_range_of(self, dtype: np.dtype[Any]) -> bool:
        """Whether `value_range` is the whole range of a type of 8 or 16 bit integers."""
        if dtype.kind not in "iu" or dtype.itemsize > 2:
            return False
        limits = np.iinfo(dtype)
        return self.value_range == (limits.min, limits.max)

    def from_unit(self, unit: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Scale float32 in [0, 1] to data units."""
        low, high = self.value_range
        return unit * np.float32(high - low) + np.float32(low)

    def check(self, values: Num[np.ndarray, "*shape"], *, where: str) -> Num[np.ndarray, "*shape"]:
        """Return `values` as they may be stored, after `out_of_range` has decided on the others.

        Args:
            values: a frame in data units.
            where: the origin of the frame, for the message.

        Raises:
            BadInput: a value is out of range under `error`, is NaN under `clip`, or cannot be
                marked under `missing` because no missing_value is set.
        """
        low, high = self.value_range
        inside = (values >= low) & (values <= high)  # never true for NaN
        outside = ~inside & ~self.is_missing(values)
        if not outside.any():
            return values
        if self.out_of_range == "clip" and not np.isnan(values[outside]).any():
            return values  # `to_unit` clips; the file keeps the measured value
        if self.out_of_range == "missing" and self.missing_value:
            with np.errstate(invalid="ignore", over="ignore"):
                mark = np.array(self.missing_value[:1]).astype(values.dtype)
            if self.is_missing(mark).all():  # not -1 in bytes, which would come out as 255
                return np.where(outside, mark, values)
        remedy = {
            "error": "widen value_range, list the value under missing_value, or set out_of_range",
            "clip": "NaN cannot be clipped; list nan under missing_value",
            "missing": f"to mark it, list a missing_value first that {values.dtype} can hold",
        }[self.out_of_range]
        seen = values[outside].flat[np.isnan(values[outside]).argmax()]  # a NaN, if there is one
        raise BadInput(f"{where}: {seen} lies outside value_range [{low:g}, {high:g}]; {remedy}")
