"""Projections: from the parameters of PROJ, which radar files hold, to the attributes of CF.

Source: the CF conventions 1.11, appendix F, and the table of its "PROJ equivalents".
"""

from collections.abc import Callable
from typing import Any

_COMMON = {"x_0": "false_easting", "y_0": "false_northing"}
_CENTRE = {"lat_0": "latitude_of_projection_origin", "lon_0": "longitude_of_projection_origin"}
_CENTRAL = {"lat_0": "latitude_of_projection_origin", "lon_0": "longitude_of_central_meridian"}
_SCALED = {"k": "scale_factor_at_projection_origin", "k_0": "scale_factor_at_projection_origin"}
_NAMES: dict[str, tuple[str, dict[str, str]]] = {
    "aea": ("albers_conical_equal_area", _CENTRAL),
    "aeqd": ("azimuthal_equidistant", _CENTRE),
    "laea": ("lambert_azimuthal_equal_area", _CENTRE),
    "lcc": ("lambert_conformal_conic", _CENTRAL),
    "merc": ("mercator", {"lon_0": _CENTRE["lon_0"], "lat_ts": "standard_parallel", **_SCALED}),
    "stere": ("stereographic", {**_CENTRE, **_SCALED}),
    "tmerc": (
        "transverse_mercator",
        {
            **_CENTRAL,
            "k": "scale_factor_at_central_meridian",
            "k_0": "scale_factor_at_central_meridian",
        },
    ),
}
_POLAR = {
    "lat_0": "latitude_of_projection_origin",
    "lon_0": "straight_vertical_longitude_from_pole",
    "lat_ts": "standard_parallel",
    **_SCALED,
}
_ELLIPSOIDS = {
    "WGS84": (6378137.0, 298.257223563),
    "GRS80": (6378137.0, 298.257222101),
    "bessel": (6377397.155, 299.1528128),
    "intl": (6378388.0, 297.0),
    "sphere": (6370997.0, 0.0),
}
LEAST_RADIUS_METRES = 1e5  # an earth that is smaller than this is given in kilometres


def mapping(proj: str) -> dict[str, Any]:
    """Return the attributes of a CF grid mapping; of an unknown projection only `proj4_params`.

    Lengths become metres, also where the radius of the earth is given in kilometres.

    Args:
        proj: as "+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6378.14 +b=6356.75".
    """
    words = (word.lstrip("+").partition("=") for word in proj.split())
    given = {key: value for key, _, value in words}
    known = {key: number for key, value in given.items() if (number := _number(value)) is not None}
    kind = given.get("proj", "")
    attributes: dict[str, Any] = {}
    if kind in ("longlat", "latlong", "lonlat", "latlon"):
        attributes["grid_mapping_name"] = "latitude_longitude"
    elif kind in _NAMES:
        name, keys = _NAMES[kind]
        if kind == "stere" and abs(known.get("lat_0", 0.0)) == 90:
            name, keys = "polar_stereographic", _POLAR
        metres = metres_of(proj)
        attributes["grid_mapping_name"] = name
        attributes |= {said: known[key] for key, said in keys.items() if key in known}
        attributes |= {said: metres(known[key]) for key, said in _COMMON.items() if key in known}
        parallels = tuple(known[key] for key in ("lat_1", "lat_2") if key in known)
        if parallels and kind in ("lcc", "aea"):
            attributes["standard_parallel"] = parallels if len(parallels) > 1 else parallels[0]
    return {**attributes, **_earth(given, known, metres_of(proj)), "proj4_params": proj}


def metres_of(proj: str) -> Callable[[float], float]:
    """Return the function that turns lengths of a projection's text into metres."""
    words = dict(word.lstrip("+").split("=", 1) for word in proj.split() if "=" in word)
    radius = _number(words.get("a", words.get("R", "")))
    in_km = words.get("units") == "km" or (radius is not None and radius < LEAST_RADIUS_METRES)
    return lambda length: round(1000 * length, 6) if in_km else length


def _earth(
    given: dict[str, str], known: dict[str, float], metres: Callable[[float], float]
) -> dict[str, float]:
    if "R" in known:
        return {"earth_radius": metres(known["R"])}
    if "a" in known and "b" in known:
        return {"semi_major_axis": metres(known["a"]), "semi_minor_axis": metres(known["b"])}
    name = given.get("ellps", given.get("datum", ""))
    if name in _ELLIPSOIDS:
        major, flattening = _ELLIPSOIDS[name]
        return {"semi_major_axis": major, "inverse_flattening": flattening}
    return {}


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
