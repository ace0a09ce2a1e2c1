"""Readers of NetCDF and zarr, whose dimensions, coordinates and attributes follow CF, by xarray.

The numbers stay as stored; what scales them, and when and where they were taken, goes with them.
xarray is loaded when the first such file is met.
"""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
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
from convlstm.ingest.params import Reading, unreadable
from convlstm.runtime import system
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame
from convlstm.storage.meaning import Channel, Coordinate, Grid

if TYPE_CHECKING:
    import xarray as xr

SUFFIXES = (".nc3", ".cdf", ".zarr")
SIGNATURE = re.compile(rb"CDF[\x01\x02]")
STORE_FILES = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")  # one is in each folder of zarr
MOST_CHUNK_VALUES = 2**30  # a chunk is unpacked as a whole
_CODECS = ("codecs", "filters", "compressor")
_POINTERS = ("coordinates", "bounds", "climatology", "grid_mapping", "ancillary_variables")
_OF_A_COORDINATE = ("standard_name", "long_name", "units", "axis", "positive")


def is_store(path: Path) -> bool:
    """Return whether a folder is a file of zarr."""
    return any(system.is_file(path / name) for name in STORE_FILES)


def extent(path: Path, reading: Reading) -> tuple[int, int]:
    """Return the number of sequences in the file (axis N) and of frames in each (axis T)."""
    with _opened(path, reading) as content:
        return content.extent


def frames(path: Path, reading: Reading, sequence: int = 0) -> Iterator[Frame]:
    """Yield the frames of one sequence of the file in the order of time, with what it says of them.

    Raises:
        BadInput: the file cannot be read, or holds no such variables, or dimensions that are none
            of a frame.
    """
    with _opened(path, reading) as content:
        yield from content.frames(sequence)


@contextmanager
def _opened(path: Path, reading: Reading) -> Iterator[Content]:
    with unreadable(path, "an array file"):
        if path.is_dir():
            groups, unnamed = _nodes(path)
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
    with _File(path, engine, groups, unnamed) as file:
        picked = _chosen(file, path, reading)
        variables = [_variable(file, steps, path, reading) for steps in picked]
        first = picked[0][0]
        found = agreed(variables, [steps[0] for steps in picked], path)
        content = Content(found, _grid(file, first))
        moments, dated = _moments(file, picked[0], path, reading)
        yield in_order(content, moments, path, dated=dated)


def _nodes(path: Path) -> tuple[list[str], list[str]]:
    """Return the paths of a store's groups, and of its arrays whose dimensions have no names.

    Raises:
        BadInput: a part of it is a link, or a codec of it runs what it reads.
    """
    if (link := next(_links_in(path), None)) is not None:
        raise BadInput(f"{path}: {link.relative_to(path)} is a link; copy the store without links")
    groups, unnamed, open_folders = [], [], [path]
    while open_folders:
        folder = open_folders.pop()
        name = "" if folder == path else str(folder.relative_to(path))
        about = _metadata(folder)
        if about["is_array"]:
            _check_array(about, name or "its array", path)
            if about["dimensions"] is None:
                unnamed.append(name)
            continue
        groups.append(name)
        for inner in sorted(folder.iterdir()):
            if inner.is_dir() and is_store(inner):
                open_folders.append(inner)
    return groups, unnamed


def _links_in(folder: Path) -> Iterator[Path]:
    """Yield the symbolic links below a folder, also among its chunks; they may lead anywhere."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield Path(entry)
            elif entry.is_dir():
                yield from _links_in(Path(entry))


def _check_array(about: Mapping[str, Any], name: str, path: Path) -> None:
    """Check that an array of zarr can be unpacked without harm.

    Raises:
        BadInput: a codec runs programs, or a chunk is larger than most memories.
    """
    if re.search(r"pickle", json.dumps([about.get(key) for key in _CODECS]), re.IGNORECASE):
        raise BadInput(f"{path}: {name} is packed by pickle, which can run programs; remove it")
    grid = about.get("chunk_grid", {}).get("configuration", {})
    chunk = about.get("chunks") or grid.get("chunk_shape", ())
    if math.prod(chunk) > MOST_CHUNK_VALUES:
        raise BadInput(f"{path}: {name} has chunks of {math.prod(chunk):,} values; rechunk it")


def _metadata(folder: Path) -> dict[str, Any]:
    """Return what the files of zarr in a folder say, of format 2 or 3."""
    found: dict[str, Any] = {}
    for name in ("zarr.json", ".zarray", ".zattrs"):
        if (folder / name).is_file():
            found |= json.loads((folder / name).read_text(encoding="utf-8"))
    is_array = found.get("node_type") == "array" or (folder / ".zarray").is_file()
    dimensions = found.get("dimension_names") or found.get("_ARRAY_DIMENSIONS")
    return found | {"is_array": is_array, "dimensions": dimensions}


class _File:
    """A file's groups, each opened by xarray when it is needed, and its variables by path."""

    def __init__(
        self, path: Path, engine: Any, groups: Sequence[str], unnamed: Sequence[str]
    ) -> None:
        self._path, self._engine, self.unnamed = path, engine, list(unnamed)
        self.groups = sorted(groups)
        self._open: dict[str, Mapping[str, xr.Variable]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def group(self, name: str) -> "Mapping[str, xr.Variable]":
        """Return the variables of one group, none of them read."""
        if name not in self._open:
            self._open[name] = self._opened(name) if name in self.groups else {}
        return self._open[name]

    def upwards(self, name: str) -> "Iterator[tuple[str, xr.Variable]]":
        """Yield the variables that a variable can refer to: of its group, then of those above."""
        while name:
            name = name.rpartition("/")[0]
            yield from ((str(own), found) for own, found in self.group(name).items())

    def names(self) -> list[str]:
        """Return the paths of all variables."""
        return [
            f"{group}/{name}".strip("/") for group in self.groups for name in self.group(group)
        ] + self.unnamed

    def __getitem__(self, name: str) -> Any:
        if name in self.unnamed:
            import zarr

            return zarr.open_array(self._path, path=name, mode="r")
        group, _, own = name.rpartition("/")
        return self.group(group)[own]

    def _opened(self, name: str) -> "Mapping[str, xr.Variable]":
        try:
            import xarray as xr

            if self._engine == "zarr":
                import zarr  # noqa: F401 - xarray's own message would name its engines
        except ModuleNotFoundError as error:
            raise BadInput(
                f"{self._path}: to read zarr, install the extra `zarr` (pip install zarr) first"
            ) from error
        options: dict[str, Any] = {} if self._engine == "scipy" else {"group": name or "/"}
        if self._engine == "h5netcdf":
            options["phony_dims"] = "access"
        if self._engine == "zarr":
            options |= {"consolidated": False, "group": name or None}
        dataset = xr.open_dataset(
            self._path,
            engine=self._engine,
            decode_cf=False,
            cache=False,
            create_default_indexes=False,
            drop_variables=[own for up, _, own in map(_parted, self.unnamed) if up == name],
            **options,
        )
        self._stack.enter_context(dataset)
        return {str(own): variable for own, variable in dataset.variables.items()}


def _parted(name: str) -> tuple[str, str, str]:
    return name.rpartition("/")


def _chosen(file: _File, path: Path, reading: Reading) -> list[list[str]]:
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


def _candidates(file: _File) -> list[str]:
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


def _abouts(file: _File, name: str) -> dict[str, Mapping[str, Any]]:
    """Return for each dimension of a variable the attributes of the coordinate that tells most."""
    return {str(dim): _about(file, name, str(dim)) for dim in file[name].dims}


def _about(file: _File, name: str, dim: str) -> Mapping[str, Any]:
    along = _along(file, name, dim)
    for _, variable in along:
        if cf.text(variable.attrs.get("standard_name", "")) == "time":
            return variable.attrs
    told = [one for own, one in along if own == dim or cf.letter("", one.attrs)]
    return told[0].attrs if told else {}


def _along(file: _File, name: str, dim: str) -> "list[tuple[str, xr.Variable]]":
    """Return the variables along one dimension only, the one of its name first."""
    found = [(own, one) for own, one in file.upwards(name) if one.dims == (dim,)]
    return sorted(found, key=lambda item: item[0] != dim)


def _variable(file: _File, steps: list[str], path: Path, reading: Reading) -> Variable:
    """Return one variable, or several of a time step each, as arrays with their channels."""
    name, several = steps[0], len(steps) > 1
    array = source = file[name]
    own = name.rpartition("/")[2]
    axes = _axes(file, name, path, reading, several=several)
    if several:
        array, axes = in_steps([file[one] for one in steps], steps, path, axes)
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


def _axes(file: _File, name: str, path: Path, reading: Reading, *, several: bool) -> str:
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


def _channels(file: _File, name: str, variable: Variable) -> tuple[Channel, ...]:
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
    file: _File, steps: list[str], path: Path, reading: Reading
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
    file: _File, name: str, path: Path, reading: Reading, *, several: bool
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


def _grid(file: _File, name: str) -> Grid | None:
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
