"""Readers of NetCDF and zarr, whose dimensions, coordinates and attributes follow CF, by xarray.

The numbers stay as stored; what scales them, and when and where they were taken, goes with them.
xarray is loaded when the first such file is met.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convlstm.ingest import cf
from convlstm.ingest.arrays import named
from convlstm.ingest.blocks import (
    Content,
    Variable,
    agreed,
    axes_of,
    check_order,
    check_same,
    chunk_of,
    in_order,
    in_steps,
    matching,
)
from convlstm.ingest.groups import File, nodes
from convlstm.ingest.params import Reading, unreadable
from convlstm.storage.frames import Frame
from convlstm.storage.meaning import Channel, Coordinate, Grid

if TYPE_CHECKING:
    import xarray as xr

SUFFIXES = (".nc3", ".cdf", ".zarr")
SIGNATURE = re.compile(rb"CDF[\x01\x02]")
_POINTERS = ("coordinates", "bounds", "climatology", "grid_mapping", "ancillary_variables")
_OF_A_COORDINATE = ("standard_name", "long_name", "units", "axis", "positive")


def extent(path: Path, reading: Reading) -> tuple[int, int]:
    """Return the number of sequences in the file (axis N) and of frames in each (axis T)."""
    with _opened(path, reading) as content:
        return content.extent


def frames(path: Path, reading: Reading, sequence: int = 0, first: int = 0) -> Iterator[Frame]:
    """Yield the frames of one sequence from the first one on, with what the file says of them.

    They are in the order of time.

    Raises:
        BadInput: the file cannot be read, or holds no such variables, or dimensions that are none
            of a frame.
    """
    with _opened(path, reading) as content:
        yield from content.frames(sequence, first)


@contextmanager
def _opened(path: Path, reading: Reading) -> Iterator[Content]:
    with unreadable(path, "an array file"):
        if path.is_dir():
            groups, unnamed = nodes(path)
            with opened(path, "zarr", groups, reading, unnamed) as content:
                yield content
        else:
            with opened(path, "scipy", [""], reading) as content:
                yield content


@contextmanager
def opened(
    path: Path, engine: Any, groups: list[str], reading: Reading, unnamed: Sequence[str] = ()
) -> Iterator[Content]:
    """Open a file by an engine of xarray, and choose the variables that `raw_dataset` names.

    Args:
        path: of the file.
        engine: h5netcdf, scipy (NetCDF-3) or zarr.
        groups: the paths of its groups.
        reading: how it is read.
        unnamed: the paths of arrays of zarr whose dimensions have no names.

    Raises:
        BadInput: as by `frames`.
    """
    with File(path, engine, groups, unnamed) as file:
        picked = _chosen(file, path, reading)
        variables = [_variable(file, steps, path, reading) for steps in picked]
        first = picked[0][0]
        found = agreed(variables, [steps[0] for steps in picked], path)
        content = Content(found, _grid(file, first))
        moments, dated = _moments(file, picked[0], path, reading)
        yield in_order(content, moments, path, dated=dated)


def _chosen(file: File, path: Path, reading: Reading) -> list[list[str]]:
    """Return the variables of each channel, one a time step.

    Raises:
        BadInput: `raw_dataset` names none, or several were found and none is named.
    """
    if reading.raw_dataset is None:
        found = _candidates(file)
        if len(found) != 1:
            hint = "; name one, or several with commas between them, which become channels"
            raise named(found, path, reading, hint if found else "")
        return [found]
    names = file.names()
    channels = []
    for wanted in reading.datasets_among(names):
        steps = matching(wanted, names)
        inner = [name for name in names if name.rpartition("/")[2] == wanted]
        channels.append(steps or (inner if len(inner) == 1 else []))
    if not all(channels):
        raise named(_candidates(file), path, reading)
    return channels


def _candidates(file: File) -> list[str]:
    """Return the variables that have rows and columns and describe no other variable.

    Where the rows and columns of some are known by their coordinates or names, only these count.
    """
    sure: list[str] = []
    unsure: list[str] = []
    for group in file.groups:
        variables = file.group(group)
        pointed = {
            word.rstrip(":")
            for variable in variables.values()
            for key in _POINTERS
            for word in cf.text(variable.attrs.get(key, "")).split()
        }
        for own, variable in variables.items():
            name = f"{group}/{own}".strip("/")
            about = _abouts(file, name)
            letters = {cf.letter(dim, about[dim]) for dim in about}
            describes = own in pointed or own in variable.dims or cf.places(own, variable.attrs)
            if variable.ndim < 2 or variable.dtype.kind not in "buif" or describes:
                continue
            (sure if set("HW") <= letters else unsure).append(name)
    return sure or unsure + file.unnamed


def _abouts(file: File, name: str) -> dict[str, Mapping[str, Any]]:
    """Return for each dimension of a variable the attributes of the coordinate that tells most."""
    return {str(dim): _about(file, name, str(dim)) for dim in file[name].dims}


def _about(file: File, name: str, dim: str) -> Mapping[str, Any]:
    along = _along(file, name, dim)
    for _, variable in along:
        if cf.text(variable.attrs.get("standard_name", "")) == "time":
            return variable.attrs
    told = [one for own, one in along if own == dim or cf.letter("", one.attrs)]
    return told[0].attrs if told else {}


def _along(file: File, name: str, dim: str) -> "list[tuple[str, xr.Variable]]":
    """Return the variables along one dimension only, the one of its name first."""
    found = [(own, one) for own, one in file.upwards(name) if one.dims == (dim,)]
    return sorted(found, key=lambda item: item[0] != dim)


def _variable(file: File, steps: list[str], path: Path, reading: Reading) -> Variable:
    """Return one variable, or several of a time step each, as arrays with their channels."""
    name, several = steps[0], len(steps) > 1
    source = file[name]
    array: Any = source
    own = name.rpartition("/")[2]
    axes = _axes(file, name, path, reading, several=several)
    if several:
        array, axes = in_steps([file[one] for one in steps], steps, path, axes)
    elif axes == "THW" and name not in file.unnamed:
        array = file.array(name)
    stored = cf.stored_dtype(source.attrs, source.dtype)
    channel = cf.channel(own, source.attrs, stored)
    for other in steps[1:]:
        check_same(channel, cf.channel(own, file[other].attrs, stored), (name, other), path)
    taken = None if stored == source.dtype.newbyteorder("=") else stored
    chunks = None if several else _chunks(source)
    variable = Variable(array, axes, (channel,), taken, chunk_of(chunks, axes))
    variable.check(path, reading)
    says_nothing = name in file.unnamed and not source.attrs
    return replace(variable, channels=() if says_nothing else _channels(file, name, variable))


def _axes(file: File, name: str, path: Path, reading: Reading, *, several: bool) -> str:
    """Return the letters of one variable; `several` says that it is one of several steps."""
    dims = file[name].dims if name not in file.unnamed else ()
    if all(str(dim).startswith("phony_dim") for dim in dims):
        return axes_of(file[name].shape, path, reading, steps=several)
    sizes = {str(dim): int(size) for dim, size in file[name].sizes.items()}
    try:
        return cf.axes(sizes, _abouts(file, name), reading.raw_axes)
    except ValueError as error:
        raise cf.refused(name, sizes, path, error) from None


def _chunks(source: Any) -> tuple[int, ...] | None:
    encoding = getattr(source, "encoding", {})
    return encoding.get("chunksizes") or encoding.get("chunks") or getattr(source, "chunks", None)


def _channels(file: File, name: str, variable: Variable) -> tuple[Channel, ...]:
    """Return a channel for each place along axis C, with the names that a coordinate gives them."""
    (channel,), count = variable.channels, variable.length("C")
    if count == 1:
        return (channel,)
    numbers = [f"{channel.name} {number + 1}" for number in range(count)]
    if name not in file.unnamed and "C" in variable.axes:
        dim = str(file[name].dims[variable.axes.index("C")])
        for own, one in _along(file, name, dim):
            if own == dim and one.dtype.kind in "OSU":
                numbers = [cf.text(label) for label in np.asarray(one)]
    return tuple(channel._replace(name=number) for number in numbers)


def _moments(
    file: File, steps: list[str], path: Path, reading: Reading
) -> "tuple[np.ndarray | None, bool]":
    """Return the times of the frames, or numbers that order them, and whether they are times.

    Raises:
        BadInput: neither the times of several steps nor their names tell the order.
    """
    found = [_moments_of(file, name, path, reading, several=len(steps) > 1) for name in steps]
    if len(found) == 1:
        return found[0]
    known = [moments for moments, _ in found if moments is not None]
    dated = len(known) == len(steps) and all(each for _, each in found)
    if dated:
        return np.concatenate(known), True
    check_order(steps, path)
    if len(known) < len(steps):
        return None, False
    starts = np.cumsum([0, *map(len, known)])
    ranks = [np.unique(moments, return_inverse=True)[1] for moments in known]
    return np.concatenate([start + rank for start, rank in zip(starts, ranks, strict=False)]), False


def _moments_of(
    file: File, name: str, path: Path, reading: Reading, *, several: bool
) -> "tuple[np.ndarray | None, bool]":
    """Return the times of one variable, as `_moments` does."""
    if name in file.unnamed:
        return None, False
    axes = _axes(file, name, path, reading, several=several)
    if "T" not in axes:
        for own, one in file.upwards(name):
            if one.size == 1 and _is_moment(own, one.attrs):
                times = cf.microseconds(_physical(one).ravel(), one.attrs)
                return times, True
        return None, False
    dim = str(file[name].dims[axes.index("T")])
    along = _along(file, name, dim)
    timed = [one for own, one in along if own == dim or _is_moment("time", one.attrs)]
    for one in sorted(timed, key=lambda one: not cf.is_time(one.attrs)):
        times = cf.microseconds(_physical(one), one.attrs)
        return (_physical(one), False) if times is None else (times, True)
    return None, False


def _is_moment(name: str, about: Mapping[str, Any]) -> bool:
    """Return whether a variable is a time of frames, not one of the start of a forecast."""
    standard = cf.text(about.get("standard_name", ""))
    return cf.is_time(about) and (
        standard == "time" or (not standard and cf.letter(name, {}) == "T")
    )


def _physical(variable: "xr.Variable") -> np.ndarray:
    """Return the values of a coordinate, scaled, with NaN where none was written."""
    if variable.size > cf.MOST_VALUES:
        raise ValueError(f"a coordinate of {variable.size:,} values")
    values = np.asarray(variable)
    if values.dtype.kind not in "iuf":
        return values
    stored = cf.stored_dtype(variable.attrs, values.dtype)
    values = values.astype(values.dtype.newbyteorder("="), copy=False).view(stored)
    said = cf.channel("", variable.attrs, stored)
    missing = np.isin(values, [number for number in said.missing if np.isfinite(number)])
    if (said.scale, said.offset) == (1, 0) and not missing.any():
        return values
    return np.where(missing, np.nan, values * said.scale + said.offset)


def _grid(file: File, name: str) -> Grid | None:
    """Return the coordinates of rows and columns, and the projection that the variable names."""
    if name in file.unnamed:
        return None
    about = _abouts(file, name)
    own = {dim: cf.letter(dim, about[dim]) for dim in about}
    axes = {dim: {"H": "y", "W": "x"}[axis] for dim, axis in own.items() if axis in ("H", "W")}
    if set(axes.values()) != {"y", "x"}:
        return None
    said = cf.text(file[name].attrs.get("coordinates", "")).split()
    coordinates: dict[str, Coordinate] = {}
    mapping: dict[str, Any] = {}
    projection = cf.text(file[name].attrs.get("grid_mapping", "")).split()[:1]
    for other, one in file.upwards(name):
        if other in [word.rstrip(":") for word in projection]:
            mapping = cf.plain(one.attrs)
        dims = [str(dim) for dim in one.dims]
        is_place = other in axes or other in said or cf.places(other, one.attrs)
        fits = bool(dims) and set(dims) <= set(axes) and len(set(dims)) == len(dims)
        if is_place and fits and one.dtype.kind in "iuf" and other not in coordinates:
            coordinates[other] = _coordinate(one, tuple(axes[dim] for dim in dims))
    return Grid(coordinates, mapping) if coordinates or mapping else None


def _coordinate(variable: "xr.Variable", axes: tuple[str, ...]) -> Coordinate:
    values = _physical(variable)
    if axes == ("x", "y"):
        values, axes = np.ascontiguousarray(values.T), ("y", "x")
    about = cf.plain(variable.attrs)
    return Coordinate(axes, values, {key: about[key] for key in about if key in _OF_A_COORDINATE})
