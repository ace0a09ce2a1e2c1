"""The CF conventions: what attributes say of numbers, of axes and of times.

Sources: the Climate and Forecast conventions 1.11, sections 2.5 (missing data), 4 (coordinates) and
8.1 (packed data); the NetCDF Users Guide, appendix A, for `_Unsigned` and packed `valid_range`.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Num, Shaped

from convlstm.runtime.errors import BadInput
from convlstm.storage.meaning import Channel

Attributes = Mapping[str, Any]

NUMBER_KEYS = (
    "scale_factor",
    "add_offset",
    "_FillValue",
    "missing_value",
    "_Unsigned",
    "valid_min",
    "valid_max",
    "valid_range",
    "units",
)
NAME_KEYS = ("standard_name", "long_name")
LATITUDE = {"standard_name": "latitude", "units": "degrees_north"}
LONGITUDE = {"standard_name": "longitude", "units": "degrees_east"}
OTHER = "other"  # an axis that is none of a frame: of a level, a member, the ends of a cell
_BY_AXIS = {"T": "T", "Y": "H", "X": "W", "Z": OTHER, "E": OTHER}
_BY_STANDARD_NAME = {
    "time": "T",
    "latitude": "H",
    "projection_y_coordinate": "H",
    "grid_latitude": "H",
    "longitude": "W",
    "projection_x_coordinate": "W",
    "grid_longitude": "W",
    "realization": OTHER,
    "forecast_reference_time": OTHER,
    "forecast_period": OTHER,
}
_BY_NAME = {
    "T": "time t times datetime date valid_time frame frames time_step timestep tstep nt",
    "H": "y h lat latitude row rows rlat yc nav_lat south_north northing nj j ny nlat line lines",
    "W": "x w lon longitude col cols column columns rlon xc nav_lon west_east easting ni i nx nlon",
    "C": "channel channels band bands variable variables feature features",
    OTHER: "z level levels lev plev pressure depth height altitude isobaric member members number "
    "ensemble realization station sample batch step lead lead_time leadtime bnds bounds nv vertex "
    "vertices nvertex nbnds bnd",
}
_PLACES = {"lat", "lon", "latitude", "longitude", "xlat", "xlong", "nav_lat", "nav_lon", "x", "y"}
_LETTERS = {name: letter for letter, names in _BY_NAME.items() for name in names.split()}
_DEGREES = {
    **dict.fromkeys(("degrees_north", "degree_north", "degrees_n", "degree_n", "degreesn"), "H"),
    **dict.fromkeys(("degrees_east", "degree_east", "degrees_e", "degree_e", "degreese"), "W"),
}
_SINCE = re.compile(r"\s*(\w+)\s+since\s+\S", re.IGNORECASE)
_NETCDF_FILL = (9.969209968386869e36,)  # of floats that were never written; netcdf.h
END_TOLERANCE = 1e-3  # of stored integers: ends of a valid range are decimals, divided by a scale
MOST_VALUES = 10**8  # of a coordinate, which is read as a whole
_FIRST, _LAST = -62135596800 * 10**6, 253402300800 * 10**6  # the years 1 to 9999


def text(value: Any) -> str:
    """Return an attribute as text: bytes are decoded, and of an array the first is taken."""
    first = np.asarray(value, dtype=object).ravel()[:1]
    value = first[0] if first.size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def numbers(value: Any) -> list[float]:
    """Return an attribute as numbers; texts such as "-999.0" count, others do not."""
    found = []
    for one in np.asarray(value, dtype=object).ravel():
        try:
            found.append(float(one))
        except (TypeError, ValueError):
            continue
    return found


def stored_dtype(attributes: Attributes, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type by which stored integers are to be taken, by `_Unsigned`."""
    said = text(attributes.get("_Unsigned", "")).lower()
    kind = {"true": "u", "false": "i"}.get(said, "") if dtype.kind in "iu" else ""
    return np.dtype(f"{kind or dtype.kind}{dtype.itemsize}")


def channel(name: str, attributes: Attributes, dtype: np.dtype[Any]) -> Channel:
    """Return what attributes say of numbers that are stored in `dtype`.

    NaN is missing, as are floats that nobody wrote. An end of the valid range that is not given is
    infinite; integers outside of it that nothing else marks get a mark of their own, for
    `within_valid_range`.

    Raises:
        ValueError: `scale_factor` or `add_offset` is no number.
    """
    scale = _factor(attributes, "scale_factor", 1.0)
    offset = _factor(attributes, "add_offset", 0.0)
    if scale == 0:
        raise ValueError("scale_factor = 0")
    said = Channel(
        name=name,
        unit=text(attributes.get("units", "")).strip(),
        scale=scale,
        offset=offset,
        missing=_missing(attributes, dtype),
        valid_range=_valid_range(attributes, dtype, scale, offset),
        standard_name=text(attributes.get("standard_name", "")).strip(),
    )
    if said.missing or dtype.kind not in "iu":
        return said
    ends = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)
    return said._replace(missing=tuple(ends[_is_invalid(ends, said)][:1].astype(float).tolist()))


def within_valid_range(
    values: Num[np.ndarray, "*shape"], channel: Channel
) -> Num[np.ndarray, "*shape"]:
    """Return stored numbers, of which those outside the valid range have the mark of missing."""
    if not channel.valid_range or not channel.missing:
        return values
    return np.where(_is_invalid(values, channel), values.dtype.type(channel.missing[0]), values)


def _is_invalid(values: Num[np.ndarray, "*shape"], channel: Channel) -> Bool[np.ndarray, "*shape"]:
    """Return which stored numbers lie outside the valid range; NaN never does."""
    if not channel.valid_range:
        return np.zeros(values.shape, bool)
    ends = ((end - channel.offset) / channel.scale for end in channel.valid_range)
    low, high = sorted(ends)
    if values.dtype.kind == "f":
        rounding = 4 * float(np.finfo(values.dtype).eps)
        near = (rounding * abs(low), rounding * abs(high))
    else:
        near = (END_TOLERANCE, END_TOLERANCE)
    return np.asarray((values < low - near[0]) | (values > high + near[1]))


def as_stored(values: Iterable[float], dtype: np.dtype[Any]) -> tuple[float, ...]:
    """Return those of the values that numbers of this type can have, once each."""
    found: dict[str, float] = {}
    for value in values:
        with np.errstate(all="ignore"):  # what does not fit is left out below
            stored = float(np.float64(value).astype(dtype))
        bits = 8 * dtype.itemsize
        if dtype.kind == "u" and -(2 ** (bits - 1)) <= value < 0:
            stored = value = float(int(value) + 2**bits)  # as a signed byte means an unsigned one
        near = dtype.kind == "f" and np.isfinite(stored) == np.isfinite(value)
        if near or stored == value:
            found.setdefault(repr(stored), stored)
    return tuple(found.values())


def letter(name: str, about: Attributes) -> str:
    """Return the letter of an axis by its coordinate, else by its name; empty if nothing tells.

    Args:
        name: of the dimension.
        about: the attributes of its coordinate.
    """
    units = text(about.get("units", "")).lower()
    by_units = "T" if _SINCE.match(units) else _DEGREES.get(units, "")
    return (
        _BY_STANDARD_NAME.get(text(about.get("standard_name", "")))
        or _BY_AXIS.get(text(about.get("axis", "")).upper())
        or (OTHER if text(about.get("positive", "")) else "")
        or by_units
        or _LETTERS.get(name.lower(), "")
    )


def places(name: str, about: Attributes) -> bool:
    """Return whether a variable says where rows or columns lie: latitudes, longitudes, x or y."""
    bare = {key: about[key] for key in ("standard_name", "units") if key in about}
    return letter("", bare) in ("H", "W") or name.lower() in _PLACES


def axes(sizes: Mapping[str, int], about: Mapping[str, Attributes], raw_axes: str | None) -> str:
    """Return the letters of the dimensions of a variable, `-` for one of length 1 that is left out.

    Two dimensions of which nothing is known are rows and columns, if no others are.

    Args:
        sizes: of the dimensions, in their order, by name.
        about: the attributes of their coordinates.
        raw_axes: letters for all dimensions, or for all that are longer than 1.

    Raises:
        ValueError: a dimension is none of a frame, or two are the same.
    """
    long = [name for name, size in sizes.items() if size > 1]
    if raw_axes is not None:
        for named in (list(sizes), long):
            if len(named) == len(raw_axes):
                given = dict(zip(named, raw_axes, strict=True))
                return "".join(given.get(name, "-") for name in sizes)
        raise ValueError(f"raw_axes = {raw_axes!r} does not fit its dimensions")
    found = {name: letter(name, about.get(name, {})) for name in sizes}
    if {"height", "width"} <= set(found):
        found |= {"height": "H", "width": "W"}
    unknown = [name for name in long if not found[name]]
    rest = [axis for axis in "HW" if axis not in found.values()]
    if len(unknown) == len(rest):
        found |= dict(zip(unknown, rest, strict=True))
    letters = "".join(
        "-" if size == 1 and found[name] not in set("HWTC") else (found[name] or OTHER)[:1]
        for name, size in sizes.items()
    )
    real = letters.replace("-", "")
    if len(set(real)) < len(real) or not set("HW") <= set(real) <= set("TCHW"):
        hidden = "-" in letters and not set("HW") <= set(real)
        left_out = ", for those of length 1 whose names say nothing are left out" if hidden else ""
        raise ValueError(f"its dimensions are not those of time, channel, row and column{left_out}")
    return letters


def refused(name: str, sizes: Mapping[str, int], path: Path, error: ValueError) -> BadInput:
    """Return the error for a variable whose dimensions `axes` could not name."""
    listed = ", ".join(f"{dim} {size}" for dim, size in sizes.items())
    return BadInput(
        f"{path}: {name} has the dimensions {listed} ({error}); name each in raw_axes with a "
        f"letter of NTCHW, as TCHW"
    )


def microseconds(
    values: Shaped[np.ndarray, "..."], about: Attributes
) -> Int[np.ndarray, "..."] | None:
    """Return times as microseconds since 1970, in the calendar of the file; None without a unit.

    A calendar in which each year has 360 or 365 days keeps its order and its steps, across files
    too; as a date of the usual calendar such a time is some days off.

    Raises:
        ValueError: the unit or the calendar is unknown, or a time is missing.
    """
    if values.dtype.kind == "M":
        return _within(values.astype("datetime64[us]").astype(np.int64), "numpy.datetime64")
    if values.dtype.kind in "OSU":
        texts = np.array([text(one).replace("_", "T") for one in values.ravel()])
        moments = texts.astype("datetime64[us]").astype(np.int64).reshape(values.shape)
        return _within(moments, "texts")
    units, calendar = text(about.get("units", "")), text(about.get("calendar", "")) or "standard"
    match = _SINCE.match(units)
    if match is None:
        return None
    start, step = _unit(units, match[1].lower(), calendar.lower())
    if values.dtype.kind in "iu" and step == int(step):
        places, step = values, float(int(step))
    else:
        places, step = np.rint(values.astype(np.float64) * step), 1.0
    # Python's integers have no end, so that nothing wraps before it is checked.
    ends = [start + int(one) * int(step) for one in (places.min(), places.max())]  # raises for NaN
    _within(np.array(ends, object), units)
    return start + places.astype(np.int64) * int(step)


def _within(times: np.ndarray, units: str) -> np.ndarray:
    if not _FIRST <= times.min() <= times.max() < _LAST:
        raise ValueError(f"a time in {units!r} is missing or lies outside the years 1 to 9999")
    return times


def is_time(about: Attributes) -> bool:
    """Return whether attributes are those of times that can be read."""
    return _SINCE.match(text(about.get("units", ""))) is not None


def plain(attributes: Attributes) -> dict[str, Any]:
    """Return the attributes that are numbers, texts or tuples of them, as JSON holds them."""
    found: dict[str, Any] = {}
    for name, value in attributes.items():
        array = np.asarray(value)
        if isinstance(value, str | bytes) or array.dtype.kind in "SUO":
            found[name] = text(value)
        elif array.dtype.kind in "buif" and array.size:
            listed = array.ravel().tolist()
            found[name] = listed[0] if array.size == 1 else tuple(listed)
    return found


def _unit(units: str, unit: str, calendar: str) -> tuple[int, float]:
    """Return the start of a unit of time and its length, in microseconds."""
    import cftime

    nanoseconds = unit in ("ns", "nsec", "nanosecond", "nanoseconds")
    if nanoseconds:
        units = "microseconds" + units.strip()[len(unit) :]
    first, second = cftime.num2date([0, 1], units, calendar)
    start = cftime.date2num(first, "microseconds since 1970-01-01", calendar=calendar)
    step = (second - first).total_seconds() * 1e6
    return (round(float(start)), 0.001) if nanoseconds else (int(start), float(round(step)))


def _factor(attributes: Attributes, key: str, default: float) -> float:
    if key not in attributes:
        return default
    found = numbers(attributes[key])
    if len(found) != 1 or not np.isfinite(found[0]):
        raise ValueError(f"{key} = {attributes[key]!r} is not one number")
    return found[0]


def _missing(attributes: Attributes, dtype: np.dtype[Any]) -> tuple[float, ...]:
    said = [
        number
        for key in ("_FillValue", "missing_value")
        if key in attributes
        for number in numbers(attributes[key])
    ]
    if dtype.kind == "f":
        said += [np.nan, *(() if "_FillValue" in attributes else _NETCDF_FILL)]
    return as_stored(said, dtype)


def _valid_range(
    attributes: Attributes, dtype: np.dtype[Any], scale: float, offset: float
) -> tuple[float, ...]:
    """Return the ends of the valid physical values; they are packed if they are integers."""
    ends = [-np.inf, np.inf]
    packed = [True, True]
    for key, places in (("valid_min", [0]), ("valid_max", [1]), ("valid_range", [0, 1])):
        found = numbers(attributes.get(key, ()))
        if len(found) != len(places):
            continue
        is_packed = dtype.kind == "f" or np.asarray(attributes[key]).dtype.kind in "iu"
        for place, number in zip(places, found, strict=True):
            if is_packed and dtype.kind == "u" and number < 0:
                number += 2.0 ** (8 * dtype.itemsize)  # a signed number that means an unsigned one
            ends[place], packed[place] = number, is_packed
    if ends == [-np.inf, np.inf]:
        return ()
    physical = [
        scale * end + offset if is_packed else end
        for end, is_packed in zip(ends, packed, strict=True)
    ]
    return min(physical), max(physical)
