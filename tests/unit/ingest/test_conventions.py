"""ODIM and KNMI files mean the physical values, times and places that their conventions say."""

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convlstm.ingest import readers
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame
from convlstm.storage.meaning import Channel
from tests.builders import MINUTE, reading_of

DATA = Path(os.environ.get("CONVLSTM_TEST_DATA", "absent"))
NOON = 1_625_400_000_000_000  # 2021-07-04 12:00 UTC
OPERA = b"+proj=laea +lat_0=55.0 +lon_0=10.0 +x_0=1950000.0 +y_0=-2100000.0 +units=m +ellps=WGS84"
COUNTS = np.array([[0, 1, 254, 255], [64, 65, 66, 67], [10, 20, 30, 40]], np.uint8)


def odim(path: Path, datasets: int = 1, *, root: bool = True, **what: Any) -> Path:
    """Write a composite like those of OPERA; `what` goes to the group of the first data."""
    with h5py.File(path, "w") as file:
        if root:
            file.attrs["Conventions"] = b"ODIM_H5/V2_2"
            about = {"object": b"COMP", "date": b"20210704", "time": b"120000"}
            file.create_group("what").attrs.update(about)
            place = {"projdef": OPERA, "xscale": 2000.0, "yscale": 2000.0, "LL_lon": -10.4}
            file.create_group("where").attrs.update(place)
        for number in range(1, datasets + 1):
            file[f"dataset{number}/data1/data"] = COUNTS
            file[f"dataset{number}/data1/quality1/data"] = COUNTS
            minutes = b"12%02d00" % (5 * (number - 1))
            said: dict[str, Any] = {"quantity": b"DBZH", "starttime": minutes}
            said["startdate"] = b"20210704"
            file.create_group(f"dataset{number}/what").attrs.update(said)
            said = {"gain": 0.5, "offset": -32.0, "nodata": 255.0, "undetect": 0.0, **what}
            file.create_group(f"dataset{number}/data1/what").attrs.update(said)
    return path


def knmi(path: Path, formula: bytes, missing: int = 0, **image: Any) -> Path:
    """Write a composite like those of KNMI."""
    with h5py.File(path, "w") as file:
        file["image1/image_data"] = COUNTS
        file["image1"].attrs.update({"image_geo_parameter": b"REFLECTIVITY_[DBZ]", **image})
        file.create_group("image1/calibration").attrs.update(
            {
                "calibration_formulas": formula,
                "calibration_out_of_image": np.array([255]),
                "calibration_missing_data": np.array([missing]),
            }
        )
        times = {"product_datetime_end": np.array([b"04-JUL-2021;12:00:00.000"])}
        file.create_group("overview").attrs.update(times)
        file["visualisation1/color_palette"] = np.zeros((256, 3), np.uint8)
    return path


def one(path: Path, **reading: object) -> Frame:
    (frame,) = readers.frames(path, reading_of(**reading))
    return frame


def test_odim_counts_are_scaled_by_gain_and_offset(tmp_path: Path) -> None:
    frame = one(odim(tmp_path / "a.h5"))
    np.testing.assert_array_equal(frame.values, COUNTS[None])
    expected = Channel("DBZH", "dBZ", 0.5, -32.0, missing=(255.0,), undetected=(0.0,))
    assert frame.meaning.channels == (expected,)
    assert frame.time == NOON


def test_odim_needs_no_word_at_the_root(tmp_path: Path) -> None:
    """As in the report of WISER 791, where only `dataset1/data1/what` is there."""
    path = odim(tmp_path / "a.h5", root=False)
    (channel,) = one(path, raw_dataset="dataset1/data1/data").meaning.channels
    assert (channel.scale, channel.offset, channel.missing) == (0.5, -32.0, (255.0,))


def test_the_nearest_group_of_odim_counts(tmp_path: Path) -> None:
    path = odim(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file["dataset1/data1/what"].attrs["gain"]
        file["dataset1/what"].attrs["gain"] = 2.0
        file["what"].attrs["gain"] = 3.0
        file["dataset1/data1/what"].attrs["quantity"] = b"RATE"
    (channel,) = one(path).meaning.channels
    assert (channel.name, channel.unit, channel.scale) == ("RATE", "mm/h", 2.0)


def test_a_number_that_is_nodata_and_undetect_is_missing(tmp_path: Path) -> None:
    (channel,) = one(odim(tmp_path / "a.h5", undetect=255.0)).meaning.channels
    assert (channel.missing, channel.undetected) == ((255.0,), ())


def test_datasets_of_odim_are_frames_at_their_own_times(tmp_path: Path) -> None:
    path = odim(tmp_path / "a.h5", datasets=11)
    with pytest.raises(BadInput, match=r"raw_dataset=dataset\*/data\*/data if each is a time step"):
        one(path)
    frames = list(readers.frames(path, reading_of(raw_dataset="dataset*/data1/data")))
    assert [frame.time for frame in frames] == [NOON + 5 * MINUTE * step for step in range(11)]


def test_a_dataset_that_means_another_is_named(tmp_path: Path) -> None:
    path = odim(tmp_path / "a.h5", datasets=2)
    with h5py.File(path, "a") as file:
        file["dataset2/data1/what"].attrs["gain"] = 1.0
    with pytest.raises(BadInput, match="dataset2/data1/data has another scale than dataset1"):
        list(readers.frames(path, reading_of(raw_dataset="dataset*/data1/data")))


def test_the_projection_and_the_corners_of_odim_are_kept(tmp_path: Path) -> None:
    grid = one(odim(tmp_path / "a.h5")).meaning.grid
    assert grid is not None
    assert grid.mapping["grid_mapping_name"] == "lambert_azimuthal_equal_area"
    assert (grid.mapping["xscale"], grid.mapping["LL_lon"]) == (2000.0, -10.4)


def test_corners_in_degrees_give_the_centres_of_pixels(tmp_path: Path) -> None:
    path = odim(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        corners = {"LL_lon": 0.0, "UR_lon": 8.0, "LL_lat": 40.0, "UR_lat": 46.0}
        file["where"].attrs.update({"projdef": b"+proj=longlat +ellps=WGS84", **corners})
    grid = one(path).meaning.grid
    assert grid is not None
    np.testing.assert_allclose(grid.coordinates["lon"].values, [1, 3, 5, 7])
    np.testing.assert_allclose(grid.coordinates["lat"].values, [45, 43, 41])  # the top row first


@pytest.mark.parametrize(
    ("formula", "scale", "offset"),
    [
        (b"GEO=0.500000*PV+-32.000000", 0.5, -32.0),
        (b"GEO = 0.500000 * PV + -32.000000", 0.5, -32.0),
        (b"GEO = 0.010000 * PV + 0.000000", 0.01, 0.0),
        (b"GEO=0.01*PV+0.0", 0.01, 0.0),
        (b"GEO=0.5*PV-32", 0.5, -32.0),
        (b"GEO=1.0E-2*PV", 0.01, 0.0),
        (b"GEO = 5.0e-01 * PV + 1.0e+00", 0.5, 1.0),
    ],
)
def test_the_formula_of_knmi_scales_its_counts(
    tmp_path: Path, formula: bytes, scale: float, offset: float
) -> None:
    frame = one(knmi(tmp_path / "a.h5", formula))
    (channel,) = frame.meaning.channels
    assert channel[:4] == ("reflectivity", "dBZ", scale, offset)
    assert (channel.missing, channel.undetected) == ((255.0,), (0.0,))
    assert frame.time == NOON


def test_missing_data_of_knmi_that_are_not_zero_are_missing(tmp_path: Path) -> None:
    (channel,) = one(knmi(tmp_path / "a.h5", b"GEO=1*PV", missing=254)).meaning.channels
    assert (set(channel.missing), channel.undetected) == ({254.0, 255.0}, ())


def test_an_image_of_a_forecast_has_its_own_time(tmp_path: Path) -> None:
    moment = b"04-JUL-2021;12:05:00.000"
    assert one(knmi(tmp_path / "a.h5", b"GEO=1*PV", image_datetime_valid=moment)).time == (
        NOON + 5 * MINUTE
    )


def test_another_formula_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="calibration_formulas = 'GEO=PV\\^2' is not of the form"):
        one(knmi(tmp_path / "a.h5", b"GEO=PV^2"))


real = pytest.mark.skipif(not DATA.is_dir(), reason="CONVLSTM_TEST_DATA names no folder")


@pytest.mark.data
@real
def test_knmi_of_2021_is_dbz_by_its_readme() -> None:
    frame = one(DATA / "radar/knmi2021/2021-01-01/202101012005.hf5")
    expected = Channel("reflectivity", "dBZ", 0.5, -32.0, missing=(255.0,), undetected=(0.0,))
    assert frame.meaning.channels == (expected,)
    assert frame.time == 1_609_531_500_000_000  # 2021-01-01 20:05 UTC, as its name says
    with h5py.File(DATA / "radar/knmi2021/2021-01-01/202101012005.hf5") as file:
        np.testing.assert_array_equal(frame.values[0], file["image1/image_data"])
        highest = file["image1/statistics"].attrs["stat_max_value"][0]
    counts = frame.values[frame.values != 255]
    assert counts.max() * 0.5 - 32 == highest


@pytest.mark.data
@real
def test_knmi_of_2010_is_hundredths_of_a_millimetre() -> None:
    frame = one(DATA / "radar/knmi/RAD_NL25_RAP_5min_201008260035.h5")
    (channel,) = frame.meaning.channels
    assert channel[:5] == ("accumulated_precipitation", "mm", 0.01, 0.0, (65535.0,))
    assert frame.time == 1_282_782_900_000_000  # 2010-08-26 00:35 UTC
    grid = frame.meaning.grid
    assert grid is not None
    # geo_product_corners: the upper left one is 0 E, 55.974 N, in this projection (0, -3650 km)
    np.testing.assert_allclose(grid.coordinates["y"].values[[0, -1]], [-3650.5e3, -4414.5e3])
    np.testing.assert_allclose(grid.coordinates["x"].values[[0, -1]], [0.5e3, 699.5e3])


finite = st.floats(-1e6, 1e6).filter(lambda number: abs(number) > 1e-6)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(gain=finite, offset=finite, nodata=st.integers(0, 255), undetect=st.integers(0, 255))
def test_any_numbers_of_odim_are_those_of_its_group_in_500_draws(
    tmp_path_factory: pytest.TempPathFactory,
    gain: float,
    offset: float,
    nodata: int,
    undetect: int,
) -> None:
    said: dict[str, Any] = {"gain": gain, "offset": offset}
    said |= {"nodata": float(nodata), "undetect": float(undetect)}
    frame = one(odim(tmp_path_factory.mktemp("odim") / "a.h5", **said))
    (channel,) = frame.meaning.channels
    assert (channel.scale, channel.offset) == (gain, offset)
    assert channel.missing == (float(nodata),)
    assert channel.undetected == (() if undetect == nodata else (float(undetect),))
    np.testing.assert_array_equal(frame.values, COUNTS[None])


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    gain=finite,
    offset=finite,
    form=st.sampled_from(("GEO={:f}*PV+{:f}", "GEO = {:e} * PV + {:e}", "GEO={!r}*PV+{!r}")),
    missing=st.integers(0, 254),
)
def test_any_formula_of_knmi_scales_its_counts_in_500_draws(
    tmp_path_factory: pytest.TempPathFactory, gain: float, offset: float, form: str, missing: int
) -> None:
    formula = form.format(gain, offset)
    path = knmi(tmp_path_factory.mktemp("knmi") / "a.h5", formula.encode(), missing)
    if form == "GEO={:f}*PV+{:f}" and float(f"{gain:f}") == 0:
        return  # six decimals show nothing of it, and a scale of 0 is refused later
    (channel,) = one(path).meaning.channels
    written = formula.replace(" ", "").removeprefix("GEO=").split("*PV+")
    assert (channel.scale, channel.offset) == tuple(map(float, written))
    assert set(channel.missing) == {255.0} | ({float(missing)} if missing else set())
