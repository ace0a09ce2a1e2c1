"""The layout of a forecast in NetCDF-4, by the CF conventions 1.11, for other programs to read.

forecast                      (lead, channel, y, x) in data units, of a forecast without members
members                       (realization, lead, channel, y, x)
mean                          of the members
probability_of_exceedance     (threshold, lead, channel, y, x), the share of members that reach it
quantiles                     (quantile, lead, channel, y, x)
lead                          seconds from the last frame of the input if times are known, else
                              the number of the frame
time, forecast_reference_time seconds since 1970, UTC, if they are known

An axis `channel` is there only if there are several. NaN marks what is missing. As in our HDF5
files, each chunk has a checksum.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
from jaxtyping import Float

from convlstm.runtime import signals
from convlstm.runtime.files import replacing
from convlstm.storage import hdf5

CONVENTIONS = "CF-1.11"
MICROSECONDS = 1e6  # in a second
SINCE = "seconds since 1970-01-01 00:00:00"
GZIP_LEVEL = 1  # on rain it halves a file; higher levels take longer for a few percent
NAMES = {
    "forecast": "forecast",
    "members": "members of the ensemble forecast",
    "mean": "mean of the ensemble forecast",
    "probability_of_exceedance": "probability that a value is at or above the threshold",
    "quantiles": "quantiles of the ensemble forecast",
}
FIRST_AXES = {
    "members": "realization",
    "probability_of_exceedance": "threshold",
    "quantiles": "quantile",
}


@dataclass(frozen=True)
class Axes:
    """The axes of a forecast, and where on them it lies.

    `shape` is (lead, channel, row, col); `members` is 1 where there is no such axis. `times` are
    microseconds since 1970 of the forecast, and `reference_time` is that of the last frame that
    was known.
    """

    shape: tuple[int, int, int, int]
    members: int = 1
    thresholds: tuple[float, ...] = ()
    quantiles: tuple[float, ...] = ()
    times: tuple[int, ...] | None = None
    reference_time: int | None = None


class New:
    """A NetCDF file that is being written."""

    def __init__(self, raw: hdf5.New, axes: Axes, about: Mapping[str, str | int]) -> None:
        self._raw = raw
        self._file = h5netcdf.File(raw, "w")
        self._file.attrs.update({"Conventions": CONVENTIONS, **about})
        self._several = axes.shape[1] > 1
        self._define_axes(axes)
        if axes.members == 1:
            self._define("forecast", {})
        else:
            self._define("members", {})
            self._define("mean", {"cell_methods": "realization: mean"})
        if axes.thresholds:
            self._define("probability_of_exceedance", {"units": "1"})
        if axes.quantiles:
            self._define("quantiles", {})

    def write(
        self, name: str, values: Float[np.ndarray, "... row col"], *, at: tuple[int | slice, ...]
    ) -> None:
        """Write a part of a variable; `at` are its places on the first axes."""
        self._file.variables[name][at] = values if self._several else values.squeeze(-3)
        self._raw.check()

    def members(self, lead: int) -> Float[np.ndarray, "member channel row col"]:
        """Return what was written of all members at one lead time."""
        values = self._file.variables["members"][:, lead]
        return np.asarray(values if self._several else values[:, None])

    def close(self) -> None:
        """Write what is missing for other programs; the HDF5 file stays open."""
        self._file.close()

    def _define_axes(self, axes: Axes) -> None:
        leads, channels, rows, cols = axes.shape
        if axes.members > 1:
            numbers = np.arange(1, axes.members + 1, dtype=np.int32)
            self._axis("realization", numbers, standard_name="realization", units="1")
        if axes.thresholds:
            self._axis("threshold", np.array(axes.thresholds), long_name="threshold in data units")
        if axes.quantiles:
            self._axis("quantile", np.array(axes.quantiles), long_name="quantile", units="1")
        self._define_times(axes, leads)
        if self._several:
            numbers = np.arange(1, channels + 1, dtype=np.int32)
            self._axis("channel", numbers, long_name="number of the channel", units="1")
        for name, count, words in (("y", rows, "row, from the top"), ("x", cols, "column")):
            places = np.arange(count, dtype=np.int32)
            self._axis(name, places, long_name=f"number of the {words}", units="1")

    def _define_times(self, axes: Axes, leads: int) -> None:
        self._places = {}
        if axes.times is None or axes.reference_time is None:
            numbers = np.arange(1, leads + 1, dtype=np.int32)
            self._axis("lead", numbers, long_name="lead time in frames", units="1")
            return
        times, start = np.array(axes.times), axes.reference_time
        seconds = (times - start) / MICROSECONDS
        self._axis("lead", seconds, standard_name="forecast_period", units="s")
        about = {"units": SINCE, "units_metadata": "leap_seconds: none", "calendar": "standard"}
        self._axis("time", times / MICROSECONDS, ("lead",), standard_name="time", **about)
        name = "forecast_reference_time"
        self._axis(name, np.float64(start / MICROSECONDS), (), standard_name=name, **about)
        self._places = {"coordinates": f"time {name}"}

    def _axis(
        self,
        name: str,
        values: np.ndarray | np.floating[Any],
        dimensions: tuple[str, ...] | None = None,
        **attributes: str,
    ) -> None:
        """Write a coordinate along `dimensions`, or a dimension of its own."""
        if dimensions is None:
            self._file.dimensions[name] = len(np.atleast_1d(values))
        self._file.create_variable(
            name, (name,) if dimensions is None else dimensions, data=values
        ).attrs.update(attributes)

    def _define(self, name: str, attributes: Mapping[str, str]) -> None:
        """Define a variable of frames, each a chunk."""
        first = [FIRST_AXES[name]] if name in FIRST_AXES else []
        last = [*(["channel"] if self._several else []), "y", "x"]
        sizes = [self._file.dimensions[axis].size for axis in ("y", "x")]
        variable = self._file.create_variable(
            name,
            (*first, "lead", *last),
            np.float32,
            fillvalue=np.float32("nan"),
            chunks=(*(1 for _ in (*first, "lead", *last[:-2])), *sizes),
            compression="gzip",
            compression_opts=GZIP_LEVEL,
            shuffle=True,
            fletcher32=True,
        )
        variable.attrs.update({"long_name": NAMES[name], **self._places, **attributes})


@contextmanager
def create(path: Path, axes: Axes, about: Mapping[str, str | int]) -> Iterator[New]:
    """Yield a new file, which is complete or absent after the block.

    Signals are deferred as by `hdf5.create`, whose mark of a complete file other programs do not
    expect.

    Args:
        path: of the file.
        axes: of the forecast.
        about: global attributes.
    """
    with (
        replacing(path) as temporary,
        signals.deferred() as stop,
        hdf5.New(temporary, stop, track_order=True) as raw,
    ):
        file = New(raw, axes, about)
        yield file
        file.close()
