"""Tags of GDAL and ImageJ become scale, unit, missing numbers and place; references by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from convlstm.ingest import tiffs
from convlstm.runtime.errors import BadInput
from convlstm.storage.meaning import NOTHING_SAID, Channel, Meaning
from tests.builders import reading_of

PIXELS = np.arange(6, dtype=np.uint8).reshape(2, 3)
SCALE = (33550, "d", 3, (1000.0, 500.0, 0.0), True)
CORNER = (33922, "d", 6, (0.0, 0.0, 0.0, 200_000.0, 6_000_000.0, 0.0), True)


def said(path: Path, *tags: tuple[Any, ...], pixels: np.ndarray = PIXELS, **more: Any) -> Meaning:
    tifffile.imwrite(path, pixels, extratags=tags, metadata=None, **more)
    return next(tiffs.frames(path, reading_of())).meaning


def text(code: int, words: str) -> tuple[Any, ...]:
    return code, "s", 0, words, True


def keys(model: int, *others: tuple[int, int], raster: int = 1) -> tuple[Any, ...]:
    """A GeoKeyDirectory of short codes."""
    listed = [(1024, 0, 1, model), (1025, 0, 1, raster), *((a, 0, 1, b) for a, b in others)]
    flat = [1, 1, 0, len(listed), *(number for key in listed for number in key)]
    return 34735, "H", len(flat), flat, True


def test_a_file_that_says_nothing_means_nothing(tmp_path: Path) -> None:
    assert said(tmp_path / "a.tif") is NOTHING_SAID


@pytest.mark.parametrize(
    ("dtype", "words", "missing"),
    [
        ("u1", "255", (255.0,)),
        ("u1", "-9999", ()),  # no pixel can be that
        ("u1", "0.5", ()),
        ("i2", "-9999", (-9999.0,)),
        ("f4", "-9999", (-9999.0,)),
        ("f4", "-3.4028234663852886e+38", (-3.4028234663852886e38,)),
        ("f4", "0.1", (float(np.float32(0.1)),)),
    ],
)
def test_gdals_nodata_is_missing_as_the_type_can_hold_it(
    tmp_path: Path, dtype: str, words: str, missing: tuple[float, ...]
) -> None:
    found = said(tmp_path / "a.tif", text(42113, words), pixels=PIXELS.astype(dtype))
    assert found.channels == ((Channel(missing=missing),) if missing else ())


def test_gdals_nodata_may_be_nan(tmp_path: Path) -> None:
    (channel,) = said(
        tmp_path / "a.tif", text(42113, "nan"), pixels=PIXELS * np.float32(1)
    ).channels
    assert np.isnan(channel.missing).all()


def test_a_nodata_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="could not convert string to float: 'none'"):
        said(tmp_path / "a.tif", text(42113, "none"))


def test_gdals_scale_offset_unit_and_description_are_the_channels(tmp_path: Path) -> None:
    # as gdal_translate -a_scale 0.5 -a_offset -32 writes it, and band descriptions and units
    words = (
        '<GDALMetadata>\n  <Item name="OFFSET" sample="0" role="offset">-32</Item>\n'
        '  <Item name="SCALE" sample="0" role="scale">0.5</Item>\n'
        '  <Item name="UNITTYPE" sample="0" role="unittype">dBZ</Item>\n'
        '  <Item name="DESCRIPTION" sample="0" role="description">reflectivity</Item>\n'
        '  <Item name="Creation time">today</Item>\n</GDALMetadata>'
    )
    found = said(tmp_path / "a.tif", text(42112, words), text(42113, "255"))
    assert found.channels == (Channel("reflectivity", "dBZ", 0.5, -32.0, (255.0,)),)


def test_imagej_says_sign_and_unit_by_a_straight_line(tmp_path: Path) -> None:
    # ImageJ stores int16 as uint16, with the line -32768 + 1 x
    more = {"cf": 0, "c0": -32768.0, "c1": 1.0, "vunit": "mm"}
    wide = PIXELS.astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", wide, imagej=True, metadata={"axes": "YX", **more})
    frame = next(tiffs.frames(tmp_path / "a.tif", reading_of()))
    assert frame.meaning.channels == (Channel(unit="mm", scale=1.0, offset=-32768.0),)
    tifffile.imwrite(
        tmp_path / "a.tif", wide, imagej=True, metadata={"axes": "YX", **more, "cf": 4}
    )
    with pytest.raises(BadInput, match="function 4 of ImageJ, which is no straight line"):
        next(tiffs.frames(tmp_path / "a.tif", reading_of()))


def test_coordinates_are_those_of_the_centres_of_pixels(tmp_path: Path) -> None:
    grid = said(tmp_path / "a.tif", SCALE, CORNER, keys(1, (3072, 3067))).grid
    assert grid is not None
    x, y = grid.coordinates["x"], grid.coordinates["y"]
    assert (x.axes, y.axes) == (("x",), ("y",))
    np.testing.assert_array_equal(x.values, [200_500, 201_500, 202_500])
    np.testing.assert_array_equal(y.values, [5_999_750, 5_999_250])
    assert x.attributes == {"standard_name": "projection_x_coordinate", "units": "m"}
    assert grid.mapping["epsg_code"] == "EPSG:3067"
    assert grid.mapping["ProjectedCSTypeGeoKey"] == 3067


def test_a_pixel_that_is_a_point_is_its_own_centre(tmp_path: Path) -> None:
    grid = said(tmp_path / "a.tif", SCALE, CORNER, keys(1, (3072, 3067), raster=2)).grid
    assert grid is not None
    np.testing.assert_array_equal(grid.coordinates["x"].values, [200_000, 201_000, 202_000])


def test_degrees_are_latitude_and_longitude(tmp_path: Path) -> None:
    corner = (33922, "d", 6, (1.0, 1.0, 0.0, 5.0, 50.0, 0.0), True)  # of the second pixel
    scale = (33550, "d", 3, (0.25, 0.5, 0.0), True)
    grid = said(tmp_path / "a.tif", scale, corner, keys(2, (2048, 4326))).grid
    assert grid is not None
    np.testing.assert_array_equal(grid.coordinates["lon"].values, [4.875, 5.125, 5.375])
    np.testing.assert_array_equal(grid.coordinates["lat"].values, [50.25, 49.75])
    assert grid.coordinates["lat"].attributes["units"] == "degrees_north"
    assert grid.mapping["grid_mapping_name"] == "latitude_longitude"
    assert grid.mapping["epsg_code"] == "EPSG:4326"


def test_a_turned_grid_has_a_place_for_each_pixel(tmp_path: Path) -> None:
    # x = 10 + 2 row, y = 20 + 3 col
    matrix = (0.0, 2.0, 0, 10.0, 3.0, 0.0, 0, 20.0, 0, 0, 0, 0, 0, 0, 0, 1.0)
    grid = said(tmp_path / "a.tif", (34264, "d", 16, matrix, True), keys(1)).grid
    assert grid is not None
    assert grid.coordinates["x"].axes == ("y", "x")
    np.testing.assert_array_equal(grid.coordinates["x"].values, [[11] * 3, [13] * 3])
    np.testing.assert_array_equal(grid.coordinates["y"].values, [[21.5, 24.5, 27.5]] * 2)


def test_numbers_and_texts_of_geo_keys_are_kept(tmp_path: Path) -> None:
    directory = [1, 1, 0, 2, 3080, 34736, 1, 1, 1026, 34737, 5, 0]
    found = said(
        tmp_path / "a.tif",
        SCALE,
        CORNER,
        (34735, "H", len(directory), directory, True),
        (34736, "d", 2, (0.0, 52.5), True),
        text(34737, "mine|"),
    )
    assert found.grid is not None
    assert found.grid.mapping == {"ProjNatOriginLongGeoKey": 52.5, "GTCitationGeoKey": "mine"}


def test_equal_pages_share_one_meaning(tmp_path: Path) -> None:
    a = said(tmp_path / "a.tif", SCALE, CORNER, keys(1, (3072, 3067)))
    b = said(tmp_path / "b.tif", SCALE, CORNER, keys(1, (3072, 3067)))
    assert a is b
    other = (33922, "d", 6, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0), True)
    assert said(tmp_path / "c.tif", SCALE, other, keys(1, (3072, 3067))).differences(a) == ["grid"]


def test_a_damaged_tag_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"a\.tif: cannot be read as an image \(unclosed token"):
        said(tmp_path / "a.tif", text(42112, "<GDALMetadata"))
