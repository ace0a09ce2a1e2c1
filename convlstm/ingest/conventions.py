"""Conventions of HDF5 files: what stands beside a dataset says what its numbers mean.

ODIM_H5, of OPERA and most weather radars: groups `what`, `where` and `how`, each valid for all that
lies below it (Michelson et al., EUMETNET OPERA weather radar information model, version 2.4).
KNMI: a formula in `calibration`, times in `overview`, the projection in `geographic` (Roozekrans
and Holleman, KNMI HDF5 data format specification, version 3.5). Elsewhere the attributes of CF.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5a, h5o, h5t

from convlstm.ingest import cf, projections
from convlstm.ingest.cf import numbers, text
from convlstm.storage.meaning import Channel, Coordinate, Grid

_NUMBER = r"([-+]?\s*(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_FORMULA = re.compile(rf"GEO\s*=\s*{_NUMBER}\s*\*\s*PV\s*(?:\+?\s*{_NUMBER})?\s*$")
_KNMI_TIME = "%d-%b-%Y;%H:%M:%S.%f"
_KNMI_UNITS = {"DBZ": "dBZ", "MM": "mm", "MM/H": "mm/h", "M/S": "m/s", "KM": "km"}
_KNMI_EDGES = ("geo_row_offset", "geo_pixel_size_y", "geo_column_offset", "geo_pixel_size_x")
_ODIM_UNITS = {
    **dict.fromkeys(("TH", "TV", "DBZ", "DBZH", "DBZV", "DBZC"), "dBZ"),
    **dict.fromkeys(("VRAD", "VRADH", "VRADV", "VRADDH", "WRAD", "WRADH", "WRADV"), "m/s"),
    **{"ZDR": "dB", "LDR": "dB", "KDP": "degree/km", "PHIDP": "degree"},
    **{"RATE": "mm/h", "ACRR": "mm", "HGHT": "km", "VIL": "kg/m2"},
}
_WHERE = ("LL_lon", "LL_lat", "UL_lon", "UL_lat", "UR_lon", "UR_lat", "LR_lon", "LR_lat")
_DATASET = re.compile(r"dataset\d+/data\d+/data|image\d+/image_data")
_QUALITY = re.compile(r"(^|/)quality\d+/data$")


class About(NamedTuple):
    """The words of a file about one dataset: its channel if anything, its time and its grid.

    `nominal` is the time of the whole file, by which files follow each other.
    """

    channel: Channel | None = None
    time: int | None = None
    nominal: int | None = None
    grid: Grid | None = None
    dtype: np.dtype[Any] | None = None


def about(file: h5py.File, name: str) -> About:
    """Return what the file says of a dataset, by its convention.

    Raises:
        ValueError: what it says cannot be understood.
    """
    dataset, folder = file[name], name.rpartition("/")[0]
    if folder and h5a.exists(file.id, b"image_geo_parameter", obj_name=folder.encode()):
        return _knmi(file, folder, dataset)
    groups = [file, *(file[path] for path in _folders(name))]
    if any("what" in group for group in groups[1:]) or _is_odim(file):
        return _odim(groups, dataset)
    return _cf(groups, dataset)


def usual(file: h5py.File, names: list[str]) -> list[str]:
    """Return the datasets that the conventions mean for frames, or all that are no palette."""
    meant = [name for name in names if _DATASET.fullmatch(name)]
    return meant or [
        name
        for name in names
        if not _QUALITY.search(name) and text(file[name].attrs.get("CLASS", "")) != "PALETTE"
    ]


def _folders(name: str) -> list[str]:
    """Return the paths of all groups on the way to a dataset, but the root."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _cf(groups: list[h5py.Group], dataset: h5py.Dataset) -> About:
    """Return what CF's attributes say; those of numbers also count for all in their group."""
    inherited = {
        key: group.attrs[key] for group in groups for key in cf.NUMBER_KEYS if key in group.attrs
    }
    own = dict(dataset.attrs)
    said = {key for key in (*inherited, *own) if key in (*cf.NUMBER_KEYS, *cf.NAME_KEYS)}
    gains = {"gain", "offset", "nodata", "undetect"} & set(own)
    dtype = cf.stored_dtype(own, dataset.dtype)
    if gains:
        return About(_gained(_base(dataset.name), own, dtype))
    if not said:
        return About()
    return About(cf.channel(_base(dataset.name), {**inherited, **own}, dtype), dtype=dtype)


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _gained(name: str, said: dict[str, Any], dtype: np.dtype[Any]) -> Channel:
    """Return the channel that ODIM's words mean; a number for both is missing."""
    quantity = text(said.get("quantity", name))
    gain, offset = (
        (numbers(said.get(key, ())) or [default])[0]
        for key, default in (("gain", 1.0), ("offset", 0.0))
    )
    if not gain or not np.isfinite([gain, offset]).all():
        raise ValueError(f"gain = {gain}, offset = {offset}")
    missing = cf.as_stored(numbers(said.get("nodata", ())), dtype)
    undetected = cf.as_stored(numbers(said.get("undetect", ())), dtype)
    unit = text(said.get("units", _ODIM_UNITS.get(quantity, "")))
    nan = (float("nan"),) if dtype.kind == "f" and not np.isnan(missing).any() else ()
    return Channel(
        name=quantity,
        unit=unit,
        scale=gain,
        offset=offset,
        missing=(*missing, *nan),
        undetected=tuple(number for number in undetected if number not in missing),
    )


def _is_odim(file: h5py.File) -> bool:
    return text(file.attrs.get("Conventions", "")).upper().startswith("ODIM")


def _odim(groups: list[h5py.Group], dataset: h5py.Dataset) -> About:
    root, *inner = (_attributes(group, "what") for group in groups)
    what = {key: value for said in (root, *inner) for key, value in said.items()}
    places = (_attributes(group, "where") for group in groups)
    where = {key: value for said in places for key, value in said.items()}
    own = _odim_time(what, "startdate", "starttime")
    nominal = _odim_time(root, "date", "time")
    return About(
        _gained(_base(dataset.name), what, dataset.dtype),
        own if own is not None else nominal,
        nominal if nominal is not None else own,
        _odim_grid(tuple(sorted(cf.plain(where).items())), dataset.shape[-2:]),
    )


def _odim_time(said: dict[str, Any], date: str, time: str) -> int | None:
    if date not in said or time not in said:
        return None
    return _microseconds(text(said[date]).strip() + text(said[time]).strip()[:6], "%Y%m%d%H%M%S")


def _microseconds(moment: str, form: str) -> int:
    parsed = datetime.strptime(moment, form).replace(tzinfo=UTC)
    return round(parsed.timestamp()) * 10**6 + parsed.microsecond


@lru_cache(maxsize=16)
def _odim_grid(said: tuple[tuple[str, Any], ...], shape: tuple[int, int]) -> Grid | None:
    """Return the grid of a projected image; that of a polar volume is not kept.

    Only of a projection by latitude and longitude are the corners enough for coordinates.
    """
    where = dict(said)
    proj = str(where.get("projdef", ""))
    if not proj:
        return None
    kept = (*_WHERE, "xscale", "yscale")
    attributes = projections.mapping(proj) | {key: where[key] for key in kept if key in where}
    coordinates = {}
    if attributes.get("grid_mapping_name") == "latitude_longitude":
        corners = [where.get(key) for key in ("UR_lat", "LL_lat", "LL_lon", "UR_lon")]
        if all(isinstance(corner, int | float) for corner in corners):
            top, bottom, left, right = (float(corner) for corner in corners)  # type: ignore[arg-type] # as checked
            coordinates = {
                "lat": Coordinate(("y",), _centres(top, bottom, shape[0]), cf.LATITUDE),
                "lon": Coordinate(("x",), _centres(left, right, shape[1]), cf.LONGITUDE),
            }
    return Grid(coordinates, attributes)


def _centres(start: float, stop: float, count: int) -> np.ndarray:
    """Return the centres of `count` equal cells between two edges."""
    return start + (np.arange(count) + 0.5) * ((stop - start) / count)


def _knmi(file: h5py.File, image: str, dataset: h5py.Dataset) -> About:
    formula = text(_attribute(file, f"{image}/calibration", "calibration_formulas")).strip()
    channel = _knmi_channel(
        text(_attribute(file, image, "image_geo_parameter")),
        formula or text(_attribute(file, f"{image}/calibration", "calibration_flag")),
        tuple(numbers(_attribute(file, f"{image}/calibration", "calibration_out_of_image"))),
        tuple(numbers(_attribute(file, f"{image}/calibration", "calibration_missing_data"))),
        dataset.dtype,
    )
    time = _knmi_time(_attribute(file, image, "image_datetime_valid"))
    if time is None:  # of the product, which is what most files give
        time = _knmi_time(_attribute(file, "overview", "product_datetime_end"))
    proj = text(_attribute(file, "geographic/map_projection", "projection_proj4_params"))
    grid = None
    if proj:
        edges = (tuple(numbers(_attribute(file, "geographic", key))[:1]) for key in _KNMI_EDGES)
        grid = _knmi_grid(proj, tuple(edges), dataset.shape[-2:])
    return About(channel, time, time, grid)


def _attribute(file: h5py.File, where: str, key: str) -> Any:
    """Return an attribute, empty if there is none."""
    try:
        return _value(h5a.open(file.id, key.encode(), obj_name=where.encode()))
    except KeyError:
        return ()


def _attributes(group: h5py.Group, name: str) -> dict[str, Any]:
    """Return the attributes of a group in this one, none if there is no such group."""
    if not group.id.links.exists(name.encode()):
        return {}
    inner, keys = h5o.open(group.id, name.encode()), list[bytes]()
    h5a.iterate(inner, lambda key, *_: keys.append(key))
    return {key.decode("utf-8", "replace"): _value(h5a.open(inner, key)) for key in keys}


def _value(attribute: h5a.AttrID) -> np.ndarray:
    """Return the numbers or the bytes of an attribute, in half of the time of `attrs`."""
    kind = attribute.get_type()
    dtype: Any
    if attribute.shape is None:  # an attribute without a value
        return np.empty(0)
    if kind.get_class() in (h5t.INTEGER, h5t.FLOAT):
        dtype = np.float64
    elif kind.get_class() == h5t.STRING and not kind.is_variable_str():
        dtype = f"S{kind.get_size()}"
    else:
        dtype = attribute.dtype
    value: np.ndarray = np.empty(attribute.shape, dtype)
    attribute.read(value)
    return value


@lru_cache(maxsize=64)
def _knmi_channel(
    parameter: str,
    formula: str,
    outside: tuple[float, ...],
    blank: tuple[float, ...],
    dtype: np.dtype[Any],
) -> Channel:
    match = _FORMULA.match(formula)
    if match is None and formula != "N":
        raise ValueError(f"calibration_formulas = {formula!r} is not of the form GEO = a * PV + b")
    # KNMI calls the silence of a radar missing data, and stores it as 0.
    silent = [number for number in blank if number == 0 and number not in outside]
    name, _, unit = parameter.partition("_[")
    unit = unit.rstrip("]")
    return Channel(
        name=name.lower(),
        unit=_KNMI_UNITS.get(unit, unit),
        scale=float(match[1]) if match else 1.0,
        offset=float((match[2] or "0").replace(" ", "")) if match else 0.0,
        missing=cf.as_stored([*outside, *(set(blank) - set(silent))], dtype),
        undetected=cf.as_stored(silent, dtype),
    )


def _knmi_time(said: Any) -> int | None:
    moment = text(said).strip()
    return _microseconds(moment, _KNMI_TIME) if moment and moment != "NA" else None


@lru_cache(maxsize=16)
def _knmi_grid(proj: str, edges: tuple[tuple[float, ...], ...], shape: tuple[int, int]) -> Grid:
    """Return the centres of the pixels, from the corner and the size of a pixel in km."""
    mapping = projections.mapping(proj)
    if not all(edges):
        return Grid({}, mapping)
    in_degrees = mapping.get("grid_mapping_name") == "latitude_longitude"
    coordinates = {}
    (top,), (height,), (left,), (width,) = edges
    for axis, start, size, count in (("y", top, height, shape[0]), ("x", left, width, shape[1])):
        centres = (start + np.arange(count) + 0.5) * size
        if in_degrees:
            name, about = ("lat", cf.LATITUDE) if axis == "y" else ("lon", cf.LONGITUDE)
            coordinates[name] = Coordinate((axis,), centres, about)
        else:
            about = {"standard_name": f"projection_{axis}_coordinate", "units": "m"}
            coordinates[axis] = Coordinate((axis,), 1000 * centres, about)
    return Grid(coordinates, mapping)
