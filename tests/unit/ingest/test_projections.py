"""Parameters of PROJ become the attributes that CF's appendix F gives for them."""

from typing import Any

import pytest

from convlstm.ingest import projections

WGS84 = {"semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563}


@pytest.mark.parametrize(
    ("proj", "attributes"),
    [
        (
            # KNMI, with lengths in kilometres
            "+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6378.14 +b=6356.75 +x_0=0 y_0=0",
            {
                "grid_mapping_name": "polar_stereographic",
                "latitude_of_projection_origin": 90.0,
                "straight_vertical_longitude_from_pole": 0.0,
                "standard_parallel": 60.0,
                "false_easting": 0.0,
                "false_northing": 0.0,
                "semi_major_axis": 6378140.0,
                "semi_minor_axis": 6356750.0,
            },
        ),
        (
            # OPERA
            "+proj=laea +lat_0=55.0 +lon_0=10.0 +x_0=1950000.0 +y_0=-2100000.0 +ellps=WGS84",
            {
                "grid_mapping_name": "lambert_azimuthal_equal_area",
                "latitude_of_projection_origin": 55.0,
                "longitude_of_projection_origin": 10.0,
                "false_easting": 1950000.0,
                "false_northing": -2100000.0,
                **WGS84,
            },
        ),
        (
            "+proj=lcc +lat_1=30 +lat_2=60 +lat_0=45 +lon_0=10 +R=6371000",
            {
                "grid_mapping_name": "lambert_conformal_conic",
                "standard_parallel": (30.0, 60.0),
                "latitude_of_projection_origin": 45.0,
                "longitude_of_central_meridian": 10.0,
                "earth_radius": 6371000.0,
            },
        ),
        (
            "+proj=stere +lat_0=46 +lon_0=7 +k=0.99 +x_0=1 +units=km +datum=WGS84",
            {
                "grid_mapping_name": "stereographic",
                "latitude_of_projection_origin": 46.0,
                "longitude_of_projection_origin": 7.0,
                "scale_factor_at_projection_origin": 0.99,
                "false_easting": 1000.0,
                **WGS84,
            },
        ),
        ("+proj=longlat +ellps=WGS84", {"grid_mapping_name": "latitude_longitude", **WGS84}),
        ("+proj=somerc +lat_0=46.9 +no_defs", {}),
    ],
)
def test_a_projection_keeps_its_parameters(proj: str, attributes: dict[str, Any]) -> None:
    assert projections.mapping(proj) == {**attributes, "proj4_params": proj}
