"""The tags of a TIFF file about its numbers, its place and its times: GDAL, ImageJ, OME.

Sources: TIFF 6.0; OGC GeoTIFF 1.1; the tags GDAL_METADATA and GDAL_NODATA of GDAL's GTiff driver;
the calibration function of ImageJ; the OME data model of 2016-06.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from xml.etree import ElementTree as Xml

import numpy as np
from tifffile import TIFF, TiffFile, TiffPage

from convlstm.ingest.time_format import EPOCH
from convlstm.storage.meaning import NOTHING_SAID, Channel, Coordinate, Grid, Meaning

GDAL_METADATA, GDAL_NODATA = 42112, 42113
TIEPOINTS, PIXEL_SCALE, TRANSFORMATION = 33922, 33550, 34264
GEO_KEYS, GEO_DOUBLES, GEO_TEXTS = 34735, 34736, 34737
GEO_CODES = (TIEPOINTS, PIXEL_SCALE, TRANSFORMATION, GEO_KEYS, GEO_DOUBLES, GEO_TEXTS)
CODES = (GDAL_METADATA, GDAL_NODATA, *GEO_CODES)
NO_PLACE: tuple[tuple[Any, ...], ...] = ((),) * len(GEO_CODES)
MODEL_TYPE, RASTER_TYPE, GEOGRAPHIC, PROJECTED, LINEAR_UNIT = 1024, 1025, 2048, 3072, 3076
PIXEL_IS_POINT, LATITUDE_LONGITUDE, USER_DEFINED = 2, 2, 32767
LINEAR_UNITS = {9001: "m", 9002: "foot", 9003: "US_survey_foot", 9036: "km"}
STRAIGHT_LINE, NO_CALIBRATION = 0, 20  # functions of ImageJ
SECONDS = {"d": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
"""The units of time of OME."""


class Calibration(NamedTuple):
    """How ImageJ turns stored numbers into values."""

    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""


class Said(NamedTuple):
    """The tags that bear on the meaning of a page, as they stand in the file."""

    dtype: str
    rows: int
    cols: int
    nodata: str
    gdal: str
    geo: tuple[tuple[Any, ...], ...]


class Experiment(NamedTuple):
    """One image as OME describes it: names of channels, and times in microseconds since 1970."""

    names: tuple[str, ...] = ()
    times: tuple[int, ...] = ()


NOT_CALIBRATED, NO_EXPERIMENT = Calibration(), Experiment()


def said(page: TiffPage) -> Said:
    """Return what the tags of a page say."""
    tags, size = page.tags, (str(page.dtype), page.imagelength, page.imagewidth)
    if not any(code in tags for code in CODES):
        return Said(*size, "", "", NO_PLACE)
    values = [tags.valueof(code) for code in GEO_CODES]
    geo = tuple((value,) if isinstance(value, str) else _tuple(value) for value in values)
    return Said(
        *size,
        str(tags.valueof(GDAL_NODATA) or "").strip(" \0"),
        str(tags.valueof(GDAL_METADATA) or ""),
        geo,
    )


def _tuple(value: Any) -> tuple[Any, ...]:
    return () if value is None else tuple(np.ravel(value).tolist())


@lru_cache(maxsize=64)
def meaning(
    said: Said, channel: Channel, names: tuple[str, ...], calibration: Calibration, count: int
) -> Meaning:
    """Return the meaning of a frame, the same object for the same words.

    Args:
        said: of a page.
        channel: what is known of each of the channels besides.
        names: of the channels, as OME has them.
        calibration: of ImageJ.
        count: of channels.

    Raises:
        ValueError: a tag holds no number where it must.
    """
    channel = channel._replace(
        missing=(*channel.missing, *nodata(said)),
        scale=calibration.scale,
        offset=calibration.offset,
        unit=calibration.unit,
        white=channel.white if calibration == NOT_CALIBRATED else 0,
    )
    bands = _gdal(said.gdal)
    channels = tuple(
        Channel(**(channel._asdict() | ({"name": name} if name else {}) | bands.get(number, {})))
        for number, name in enumerate((*names, *[""] * count)[:count])
    )
    grid = _grid(said)
    if grid is None and set(channels) == {Channel()}:
        return NOTHING_SAID
    return Meaning(channels, grid)


def nodata(said: Said) -> tuple[float, ...]:
    """Return the number that GDAL calls missing, if the type of the page can hold it."""
    if not said.nodata:
        return ()
    value, dtype = float(said.nodata), np.dtype(said.dtype)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return (float(dtype.type(value)),)
    limits = np.iinfo(np.uint8 if dtype.kind == "b" else dtype)
    return (value,) if value.is_integer() and limits.min <= value <= limits.max else ()


def _gdal(text: str) -> dict[int, dict[str, Any]]:
    """Return the fields of the channels that GDAL describes, by the number of the band."""
    bands: dict[int, dict[str, Any]] = {}
    for item in Xml.fromstring(text) if text else ():
        field = {"scale": "scale", "offset": "offset", "unittype": "unit", "description": "name"}
        name = field.get((item.get("role") or "").lower())
        if name is None or item.get("sample") is None:
            continue
        value = (item.text or "").strip()
        number = int(item.get("sample", 0))
        bands.setdefault(number, {})[name] = float(value) if name in ("scale", "offset") else value
    return bands


def _grid(said: Said) -> Grid | None:
    """Return the place of the centres of the pixels, if the file tells it.

    Ground control points, which tell the place of single pixels only, are not used.
    """
    tiepoints, pixel_scale, matrix, directory, doubles, texts = said.geo
    keys = _geo_keys(directory, doubles, texts)
    shift = 0.0 if keys.get(RASTER_TYPE) == PIXEL_IS_POINT else 0.5
    col, row = np.arange(said.cols) + shift, np.arange(said.rows) + shift
    if len(matrix) == 16:
        a, b, _, d, e, f, _, h = matrix[:8]
    elif len(tiepoints) == 6 and len(pixel_scale) >= 2:
        i, j, _, x, y, _ = tiepoints
        a, b, e, f = pixel_scale[0], 0.0, 0.0, -pixel_scale[1]
        d, h = x - a * i, y - f * j
    else:
        return None
    kinds = _coordinates(keys)
    mapping = _mapping(keys)
    places: tuple[tuple[tuple[str, ...], np.ndarray], ...]
    if b == 0 and e == 0:
        places = ((("y",), f * row + h), (("x",), a * col + d))
    else:
        turned = e * col[None] + f * row[:, None] + h, a * col[None] + b * row[:, None] + d
        places = ((("y", "x"), turned[0]), (("y", "x"), turned[1]))
    return Grid(
        {
            name: Coordinate(axes, values, attributes)
            for (name, attributes), (axes, values) in zip(kinds, places, strict=True)
        },
        mapping,
    )


def _geo_keys(
    directory: tuple[Any, ...], doubles: tuple[Any, ...], texts: tuple[Any, ...]
) -> dict[int, Any]:
    """Return the geo keys by number: codes, numbers and texts."""
    keys: dict[int, Any] = {}
    for place in range(4, len(directory) - 3, 4):
        key, tag, count, value = directory[place : place + 4]
        if tag == 0:
            keys[key] = value
        elif tag == GEO_DOUBLES:
            some = doubles[value : value + count]
            keys[key] = some[0] if len(some) == 1 else some
        elif tag == GEO_TEXTS and texts:
            keys[key] = str(texts[0])[value : value + count].rstrip("|\0")
    return keys


def _coordinates(keys: Mapping[int, Any]) -> tuple[tuple[str, dict[str, str]], ...]:
    """Return name and attributes of the coordinate along rows, and of that along columns."""
    if keys.get(MODEL_TYPE) == LATITUDE_LONGITUDE:
        return (
            ("lat", {"standard_name": "latitude", "units": "degrees_north"}),
            ("lon", {"standard_name": "longitude", "units": "degrees_east"}),
        )
    unit = LINEAR_UNITS.get(keys.get(LINEAR_UNIT, 9001))
    units = {"units": unit} if unit and keys else {}
    named = {name: f"projection_{name}_coordinate" for name in ("y", "x")} if keys else {}
    return tuple(
        (name, {**({"standard_name": named[name]} if named else {}), **units})
        for name in ("y", "x")
    )


def _mapping(keys: Mapping[int, Any]) -> dict[str, Any]:
    """Return the geo keys by their names in GeoTIFF, and the EPSG code where there is one."""
    names = {int(key): key.name for key in TIFF.GEO_KEYS}
    mapping = {names.get(key, f"GeoKey{key}"): value for key, value in sorted(keys.items())}
    code = keys.get(PROJECTED, keys.get(GEOGRAPHIC))
    if code not in (None, 0, USER_DEFINED):
        mapping["epsg_code"] = f"EPSG:{code}"
    if keys.get(MODEL_TYPE) == LATITUDE_LONGITUDE:
        mapping["grid_mapping_name"] = "latitude_longitude"
    return mapping


def calibration(tif: TiffFile) -> Calibration:
    """Return the calibration of an ImageJ file.

    Raises:
        ValueError: it is no straight line.
    """
    about = (tif.imagej_metadata or {}) if tif.is_imagej else {}
    function = about.get("cf", NO_CALIBRATION)
    if function == NO_CALIBRATION:
        return NOT_CALIBRATED
    if function != STRAIGHT_LINE:
        raise ValueError(
            f"calibrated by function {function} of ImageJ, which is no straight line; save it as "
            f"32-bit"
        )
    unit = str(about.get("vunit", "")).strip()
    unit = "" if unit.lower() == "gray value" else unit
    return Calibration(float(about.get("c1", 1.0)), float(about.get("c0", 0.0)), unit)


def experiments(text: str) -> list[Experiment]:
    """Return what the OME-XML of a file says of each of its images.

    Times are those of the planes (DeltaT), or else of a constant step (TimeIncrement), from the
    AcquisitionDate on. Without a date a constant step tells nothing, and times of planes count
    from 1970-01-01.
    """
    return [
        Experiment(_names(image), _times(image))
        for image in Xml.fromstring(text)
        if image.tag.endswith("}Image")
    ]


def _names(image: Xml.Element) -> tuple[str, ...]:
    return tuple(channel.get("Name", "") for channel in image.iterfind("./{*}Pixels/{*}Channel"))


def _times(image: Xml.Element) -> tuple[int, ...]:
    """Return the time of each T of an image, or none if one is not known."""
    about, date = image.find("./{*}Pixels"), image.find("./{*}AcquisitionDate")
    if about is None:
        return ()
    begin = datetime.fromisoformat(date.text) if date is not None and date.text else None
    count, delays = int(about.get("SizeT", 1)), dict[int, float]()
    for plane in about.iterfind("./{*}Plane"):
        if (delay := _seconds(plane, "DeltaT")) is not None:
            number = int(plane.get("TheT", 0))
            delays[number] = min(delay, delays.get(number, delay))
    step = _seconds(about, "TimeIncrement")
    if set(delays) != set(range(count)):
        if begin is None or (step is None and count > 1):
            return ()
        delays = {number: number * (step or 0.0) for number in range(count)}
    begin = EPOCH if begin is None else begin if begin.tzinfo else begin.replace(tzinfo=UTC)
    first = round((begin - EPOCH).total_seconds() * 1e6)
    return tuple(first + round(delays[number] * 1e6) for number in range(count))


def _seconds(element: Xml.Element, name: str) -> float | None:
    """Return an attribute that is a duration, in seconds; its unit may stand beside it."""
    value, unit = element.get(name), element.get(f"{name}Unit", "s")
    return None if value is None or unit not in SECONDS else float(value) * SECONDS[unit]
