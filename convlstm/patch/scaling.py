"""Data values to [0, 1] and back; which values mean that nothing was measured.

Files keep the user's own numbers in the user's own type (a byte stays a byte: a quarter of the
memory of float32, and no rounding). `Scaling` travels with them and is applied where they are read.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Num

from convlstm.runtime.errors import BadInput


@dataclass(frozen=True)
class Scaling:
    """The linear map of `value_range` (data units) to [0, 1], and what is done with other values.

    `missing_value` lists those that mean missing; `out_of_range` says of all others whether they
    are an error, are taken as the nearer end of the range (clip), or become the first missing value
    (missing).
    """

    value_range: tuple[float, float]
    missing_value: tuple[float, ...] = ()
    out_of_range: Literal["error", "clip", "missing"] = "error"

    def is_missing(self, values: Num[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
        """Where nothing was measured."""
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
        """Data units to float32 in [0, 1], and where the value was measured.

        What lies outside the range is clipped to it; what is missing becomes 0.
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
        """Whether `value_range` is all that a type of short whole numbers can hold."""
        if dtype.kind not in "iu" or dtype.itemsize > 2:
            return False
        limits = np.iinfo(dtype)
        return self.value_range == (limits.min, limits.max)

    def from_unit(self, unit: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Float32 in [0, 1] to data units."""
        low, high = self.value_range
        return unit * np.float32(high - low) + np.float32(low)

    def check(self, values: Num[np.ndarray, "*shape"], *, where: str) -> Num[np.ndarray, "*shape"]:
        """Values as they may be stored: `out_of_range` has decided on those not in range.

        Args:
            values: a frame in data units.
            where: what holds it, for the message.

        Raises:
            BadInput: a value is out of range under `error`, is NaN under `clip`, or cannot be
                marked under `missing` because no missing_value is set.
        """
        low, high = self.value_range
        inside = (values >= low) & (values <= high)  # never true of NaN
        outside = ~inside & ~self.is_missing(values)
        if not outside.any():
            return values
        if self.out_of_range == "clip" and not np.isnan(values[outside]).any():
            return values  # `to_unit` clips; the file keeps what was measured
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
