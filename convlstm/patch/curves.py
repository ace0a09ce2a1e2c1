"""The curve of a channel: its physical values to [0, 1] and back, straight or by a logarithm."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

Transform = Literal["none", "log", "dbz"]
Pair = tuple[float, float]
Values = Float[np.ndarray, "*shape"]

Z_FACTOR, Z_EXPONENT = 200.0, 1.6
"""Reflectivity is Z = 200 R^1.6 of rain R in mm/h: Marshall and Palmer 1948,
doi:10.1175/1520-0469(1948)005<0165:TDORWS>2.0.CO;2."""
DBZ_FLOOR = Z_FACTOR ** (-1 / Z_EXPONENT)  # mm/h: 0.036, the rain of 0 dBZ
LOG_FLOOR_PART = 0.001  # of the high end: three decades, where the low end has no logarithm


@dataclass(frozen=True)
class Curve:
    """The map of one channel's range of physical values to [0, 1].

    `log` takes log10 of the values, `dbz` the reflectivity of rain in mm/h. Both have a floor:
    values below it, such as those of dry pixels, become 0, and 0 becomes the low end of the range.
    """

    pair: Pair
    transform: Transform = "none"

    @property
    def fault(self) -> str | None:
        """A line that says why the range cannot be transformed, if it cannot."""
        low, high = self.pair
        if self.transform == "none" or (low >= 0 and self.floor < high):
            return None
        needs = "values of at least 0" if low < 0 else f"a high end above {self.floor:.2g}"
        return f"value_range = [{low:g}, {high:g}]: transform = {self.transform} needs {needs}"

    @property
    def floor(self) -> float:
        """The value at and below which all become 0."""
        low, high = self.pair
        if self.transform == "log" and low <= 0:
            return LOG_FLOOR_PART * high
        return max(low, DBZ_FLOOR) if self.transform == "dbz" else low

    def to_unit(self, values: Values) -> Values:
        """Return numbers in [0, 1] of physical values, both in float64; those outside are clipped.

        Infinity becomes the nearer end.
        """
        first, last = self._ends()
        inside = self._forward(np.clip(values, self.floor, self.pair[1]))
        return np.asarray((inside - first) / (last - first))

    def from_unit(self, unit: Values) -> Values:
        """Return physical values in float32 of numbers in [0, 1]."""
        low, high = self.pair
        if self.transform == "none" and low == 0:
            return unit * np.float32(high)
        first, last = self._ends()
        values = self._back(unit * np.float64(last - first) + first)
        if self.transform != "none":
            values = np.where(unit <= 0, low, np.minimum(values, high))
        return values.astype(np.float32)

    def to_share(self, unit: Values) -> Values:
        """Return the place of the physical value in its range, from 0 to 1, in float32.

        Without a transform it is the number itself, which may lie outside of [0, 1].
        """
        if self.transform == "none":
            return unit
        low, high = self.pair
        values = self.from_unit(np.clip(unit, 0, 1)).astype(np.float64)
        return ((values - low) / (high - low)).astype(np.float32)

    def from_share(self, share: Values) -> Values:
        """Return the number in [0, 1] of a place in the range: the inverse of `to_share`."""
        if self.transform == "none":
            return share
        low, high = self.pair
        return self.to_unit(share.astype(np.float64) * (high - low) + low).astype(np.float32)

    def to_thresholds(self, values: Values) -> Values:
        """Return what a number in [0, 1] must reach, in float32, to reach a physical value.

        Infinity, which none reaches, stands for values above the range.
        """
        low, high = self.pair
        unit = self.to_unit(values.astype(np.float64)).astype(np.float32)
        # below the floor of a logarithm all but the low end itself counts
        above_low = np.maximum(unit, np.finfo(np.float32).tiny)
        return np.where(values > high, np.float32("inf"), np.where(values > low, above_low, unit))

    def _ends(self) -> tuple[float, float]:
        first, last = self._forward(np.array([self.floor, self.pair[1]]))
        return float(first), float(last)

    def _forward(self, values: Values) -> Values:
        if self.transform == "none":
            return values
        if self.transform == "log":
            return np.asarray(np.log10(values))
        return np.asarray(10 * np.log10(Z_FACTOR * values**Z_EXPONENT))

    def _back(self, values: Values) -> Values:
        if self.transform == "none":
            return values
        if self.transform == "log":
            return np.asarray(10.0**values)
        return np.asarray((10.0 ** (values / 10) / Z_FACTOR) ** (1 / Z_EXPONENT))
