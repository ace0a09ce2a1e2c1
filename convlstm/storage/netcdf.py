"""The layout of a forecast in NetCDF-4, by the CF conventions 1.11, for other programs to read.

forecast                      (lead, channel, y, x), physical values, of a forecast without members
members                       (realization, lead, channel, y, x)
mean                          of the members
probability_of_exceedance     (threshold, lead, channel, y, x), the share of members that reach it
quantiles                     (quantile, lead, channel, y, x)
lead                          seconds from the last frame of the input if times are known, else
                              the number of the frame
time, forecast_reference_time seconds since 1970, UTC, if they are known

Channels with names or units of their own are variables of their own, as `forecast_rain`; other ones
lie on an axis `channel`, if there are several. Rows and columns have the coordinates of the input,
and its grid mapping as `crs`, if these are known. NaN marks what is missing. As in our HDF5 files,
each chunk has a checksum.
"""

import re
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
from convlstm.storage.meaning import Channel, Grid, names

CONVENTIONS = "CF-1.11"
MICROSECONDS = 1e6  # in a second
SINCE = "seconds since 1970-01-01 00:00:00"
GZIP_LEVEL = 1  # takes a third off an ensemble of the demo's rain; the numbers are noisy
NAMES = {
    "forecast": "forecast",
    "members": "members of the ensemble forecast",
    "mean": "mean of the ensemble forecast",
    "probability_of_exceedance": "probability that a value is at or above the threshold",
    "quantiles": "quantiles of the ensemble forecast",
}
RESERVED = {"lead", "time", "forecast_reference_time", "realization", "threshold", "quantile"}
RESERVED |= {"channel", "crs", *NAMES}
"""Names that coordinates of the input cannot have here."""
DROPPED = {"_FillValue", "bounds", "coordinates", "grid_mapping", "scale_factor", "add_offset"}
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
    was known. `channels` and `grid` are those of the input, as far as it tells.
    """

    shape: tuple[int, int, int, int]
    members: int = 1
    thresholds: tuple[float, ...] = ()
    quantiles: tuple[float, ...] = ()
    times: tuple[int, ...] | None = None
    reference_time: int | None = None
    channels: tuple[Channel, ...] = ()
    grid: Grid | None = None

    @property
    def named_channels(self) -> dict[str, Channel]:
        """The channels that are variables of their own, by the ends of their names."""
        if self.shape[1] == 1 or not any(own.name or own.unit for own in self.channels):
            return {}
        ends = (re.sub(r"\W", "_", name) for name in names(self.channels))
        return {f"_{end}": own for end, own in zip(ends, self.channels, strict=True)}


class New:
    """A NetCDF file that is being written."""

    def __init__(self, raw: hdf5.New, file: h5netcdf.File, axes: Axes) -> None:
        self._raw, self._file = raw, file
        self._ends = axes.named_channels
        self._several = axes.shape[1] > 1 and not self._ends
        self._frame_axes = ("y", "x")
        self._about_places: dict[str, str] = {}
        self._define_axes(axes)
        own = self._ends or {"": axes.channels[0] if len(axes.channels) == 1 else Channel()}
        for end, channel in own.items():
            self._define_all(axes, end, channel)

    def write(
        self, name: str, values: Float[np.ndarray, "... row col"], *, at: tuple[int | slice, ...]
    ) -> None:
        """Write a part of a variable; `at` are its places on the first axes."""
        if self._ends:
            for number, end in enumerate(self._ends):
                self._file.variables[f"{name}{end}"][at] = values[..., number, :, :]
        else:
            self._file.variables[name][at] = values if self._several else values.squeeze(-3)
        self._raw.check()

    def members(self, lead: int) -> Float[np.ndarray, "member channel row col"]:
        """Return what was written of all members at one lead time."""
        if self._ends:
            every = [self._file.variables[f"members{end}"][:, lead] for end in self._ends]
            return np.stack(every, axis=1)
        values = self._file.variables["members"][:, lead]
        return np.asarray(values if self._several else values[:, None])

    def _define_axes(self, axes: Axes) -> None:
        leads, channels, rows, cols = axes.shape
        if axes.members > 1:
            numbers = np.arange(1, axes.members + 1, dtype=np.int32)
            self._axis("realization", numbers, standard_name="realization", units="1")
        if axes.thresholds:
            units = {own.unit for own in axes.channels}
            unit: dict[str, Any] = (
                {"units": units.pop()} if len(units) == 1 and units != {""} else {}
            )
            self._axis("threshold", np.array(axes.thresholds), long_name="threshold", **unit)
        if axes.quantiles:
            self._axis("quantile", np.array(axes.quantiles), long_name="quantile", units="1")
        self._define_times(axes, leads)
        if self._several:
            numbers = np.arange(1, channels + 1, dtype=np.int32)
            self._axis("channel", numbers, long_name="number of the channel", units="1")
        self._define_places(axes.grid or Grid(), (rows, cols))

    def _define_times(self, axes: Axes, leads: int) -> None:
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
        self._about_places = {"coordinates": f"time {name}"}

    def _define_places(self, grid: Grid, sizes: tuple[int, int]) -> None:
        """Write the coordinates of rows and columns: those of the grid, else their numbers."""
        lengths = dict(zip(("y", "x"), sizes, strict=True))
        known = {
            name: own
            for name, own in grid.coordinates.items()
            if name not in RESERVED
            and own.values.shape == tuple(lengths[axis] for axis in own.axes)
        }
        lines = {own.axes[0]: name for name, own in reversed(known.items()) if len(own.axes) == 1}
        for axis, words in (("y", "row, from the top"), ("x", "column")):
            if axis in lines:
                own = known.pop(lines[axis])
                self._axis(lines[axis], own.values, **_kept(own.attributes))
            else:
                places = np.arange(lengths[axis], dtype=np.int32)
                self._axis(axis, places, long_name=f"number of the {words}", units="1")
        self._frame_axes = (lines.get("y", "y"), lines.get("x", "x"))
        of_axis = dict(zip(("y", "x"), self._frame_axes, strict=True))
        for name, own in known.items():
            dimensions = tuple(of_axis[axis] for axis in own.axes)
            self._axis(name, own.values, dimensions, **_kept(own.attributes))
        listed = " ".join([self._about_places.get("coordinates", ""), *known]).strip()
        self._about_places |= {"coordinates": listed} if listed else {}
        if "grid_mapping_name" in grid.mapping:
            self._axis("crs", np.int32(0), (), **_kept(grid.mapping))
            self._about_places |= {"grid_mapping": "crs"}

    def _axis(
        self,
        name: str,
        values: np.ndarray | np.floating[Any] | np.integer[Any],
        dimensions: tuple[str, ...] | None = None,
        /,
        **attributes: Any,
    ) -> None:
        """Write a coordinate along `dimensions`, or a dimension of its own."""
        if dimensions is None:
            self._file.dimensions[name] = len(np.atleast_1d(values))
        self._file.create_variable(
            name, (name,) if dimensions is None else dimensions, data=values
        ).attrs.update(attributes)

    def _define_all(self, axes: Axes, end: str, channel: Channel) -> None:
        """Define the variables of one channel, or of all that share an axis."""
        about = {"standard_name": channel.standard_name, "units": channel.unit}
        about = {key: text for key, text in about.items() if text}
        if axes.members == 1:
            self._define("forecast", end, channel, about)
        else:
            self._define("members", end, channel, about)
            self._define("mean", end, channel, {**about, "cell_methods": "realization: mean"})
        if axes.thresholds:
            self._define("probability_of_exceedance", end, channel, {"units": "1"})
        if axes.quantiles:
            self._define("quantiles", end, channel, about)

    def _define(self, name: str, end: str, channel: Channel, attributes: Mapping[str, str]) -> None:
        """Define a variable of frames, each a chunk."""
        first = [FIRST_AXES[name]] if name in FIRST_AXES else []
        last = [*(["channel"] if self._several else []), *self._frame_axes]
        sizes = [self._file.dimensions[axis].size for axis in self._frame_axes]
        of_what = f" of {channel.name}" if channel.name else ""
        variable = self._file.create_variable(
            f"{name}{end}",
            (*first, "lead", *last),
            np.float32,
            fillvalue=np.float32("nan"),
            chunks=(*(1 for _ in (*first, "lead", *last[:-2])), *sizes),
            compression="gzip",
            compression_opts=GZIP_LEVEL,
            shuffle=True,
            fletcher32=True,
        )
        long_name = {"long_name": NAMES[name] + of_what}
        variable.attrs.update({**long_name, **self._about_places, **attributes})


def _kept(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes of the input without those that name other variables or ways of storing."""
    kept = {
        key: np.array(own) if isinstance(own, tuple) else own
        for key, own in attributes.items()
        if key not in DROPPED
    }
    return {key: own for key, own in kept.items() if np.asarray(own).dtype.kind in "iufU"}


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
        h5netcdf.File(raw, "w") as file,
    ):
        file.attrs.update({"Conventions": CONVENTIONS, **about})
        yield New(raw, file, axes)
