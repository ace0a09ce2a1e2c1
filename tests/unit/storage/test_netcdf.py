"""A forecast in NetCDF is read by xarray as it was written, with the axes that CF asks for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray

from convlstm.runtime.errors import BadInput
from convlstm.storage import netcdf
from convlstm.storage.meaning import Channel, Coordinate, Grid
from convlstm.storage.netcdf import Axes
from tests.builders import MINUTE

RNG = np.random.default_rng(0)
START = 1_767_225_600_000_000  # 1 January 2026, 0 UTC


def frames_of(*shape: int) -> np.ndarray:
    """Return numbers of which one is missing in every frame."""
    frames = RNG.uniform(-32, 64, shape).astype(np.float32)
    frames[..., 1, 2] = np.nan
    return frames


@contextmanager
def opened(path: Path) -> Iterator[xarray.Dataset]:
    with xarray.open_dataset(path, engine="h5netcdf") as dataset:
        yield dataset


@pytest.mark.parametrize("channels", [1, 3])
def test_an_ensemble_comes_back_with_missing_values_axes_and_times(
    tmp_path: Path, channels: int
) -> None:
    times = (START + 5 * MINUTE, START + 10 * MINUTE)
    axes = Axes((2, channels, 4, 5), 3, (25.0,), (0.1, 0.9), times, START)
    members, mean = frames_of(3, 2, channels, 4, 5), frames_of(2, channels, 4, 5)
    shares, quantiles = frames_of(1, 2, channels, 4, 5), frames_of(2, 2, channels, 4, 5)
    with netcdf.create(tmp_path / "a.nc", axes, {"seed": 7, "title": "ü"}) as file:
        for number, member in enumerate(members):
            file.write("members", member, at=(number,))
        np.testing.assert_array_equal(file.members(1), members[:, 1])
        file.write("mean", mean, at=(slice(None),))
        for lead in range(2):
            file.write("probability_of_exceedance", shares[:, lead], at=(slice(None), lead))
            file.write("quantiles", quantiles[:, lead], at=(slice(None), lead))
    of_frame = ("lead", "channel", "y", "x") if channels > 1 else ("lead", "y", "x")
    expected = {
        "members": (("realization", *of_frame), members),
        "mean": (of_frame, mean),
        "probability_of_exceedance": (("threshold", *of_frame), shares),
        "quantiles": (("quantile", *of_frame), quantiles),
    }
    with opened(tmp_path / "a.nc") as found:
        assert set(found.data_vars) == set(expected)
        for name, (dimensions, values) in expected.items():
            assert found[name].dims == dimensions
            np.testing.assert_array_equal(found[name].values.reshape(values.shape), values)
        assert found["realization"].values.tolist() == [1, 2, 3]
        assert found["threshold"].values.tolist() == [25]
        assert found["quantile"].values.tolist() == [0.1, 0.9]
        assert found["lead"].values.tolist() == [300, 600]
        assert found["time"].dims == ("lead",)
        assert str(found["time"].values[1]).startswith("2026-01-01T00:10:00.0")
        assert str(found["forecast_reference_time"].values).startswith("2026-01-01T00:00:00.0")
        assert found.attrs == {"Conventions": "CF-1.11", "seed": 7, "title": "ü"}


def test_one_forecast_has_no_axis_of_members_and_without_times_counts_frames(
    tmp_path: Path,
) -> None:
    forecast = frames_of(2, 1, 4, 5)
    with netcdf.create(tmp_path / "a.nc", Axes((2, 1, 4, 5)), {}) as file:
        file.write("forecast", forecast, at=(slice(None),))
    with opened(tmp_path / "a.nc") as found:
        assert set(found.data_vars) == {"forecast"}
        assert set(found.coords) == {"lead", "y", "x"}
        np.testing.assert_array_equal(found["forecast"], forecast[:, 0])
        assert found["lead"].values.tolist() == [1, 2]


def test_the_attributes_are_those_of_the_conventions(tmp_path: Path) -> None:
    """Reference: CF 1.11, sections 2.5.1, 3.3, 4.4, 5.7 and 7.3, and its table of names."""
    times = (START + 5 * MINUTE,)
    with netcdf.create(tmp_path / "a.nc", Axes((1, 1, 4, 5), 2, (25.0,), (), times, START), {}):
        pass
    with h5py.File(tmp_path / "a.nc") as file:
        members = file["members"]
        assert np.isnan(members.attrs["_FillValue"])
        assert members.attrs["_FillValue"].dtype == members.dtype
        assert members.attrs["coordinates"] == "time forecast_reference_time"
        assert file["mean"].attrs["cell_methods"] == "realization: mean"
        names = {"realization": "realization", "lead": "forecast_period", "time": "time"}
        for name in ("realization", "lead", "time", "forecast_reference_time"):
            assert file[name].attrs["standard_name"] == names.get(name, name)
        units = [file[name].attrs["units"] for name in ("lead", "time", "realization")]
        assert units == ["s", "seconds since 1970-01-01 00:00:00", "1"]
        assert file["probability_of_exceedance"].attrs["units"] == "1"
        assert all("long_name" in file[name].attrs for name in ("members", "mean", "x", "y"))
        assert [axis.keys()[0] for axis in members.dims] == ["realization", "lead", "y", "x"]
        assert np.isnan(members[:]).all()  # nothing was written to it


def test_a_file_that_is_not_finished_is_absent(tmp_path: Path) -> None:
    def broken() -> None:
        with netcdf.create(tmp_path / "a.nc", Axes((1, 1, 4, 5)), {}) as file:
            file.write("forecast", frames_of(1, 1, 4, 5), at=(slice(None),))
            raise BadInput("enough")

    with pytest.raises(BadInput, match="enough"):
        broken()
    assert list(tmp_path.iterdir()) == []


def test_equal_forecasts_are_equal_bytes(tmp_path: Path) -> None:
    forecast = frames_of(2, 1, 4, 5)
    for name in "ab":
        with netcdf.create(tmp_path / f"{name}.nc", Axes((2, 1, 4, 5)), {"title": "t"}) as file:
            file.write("forecast", forecast, at=(slice(None),))
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    with netcdf.create(tmp_path / "a.nc", Axes((1, 1, 64, 64)), {}) as file:
        file.write("forecast", frames_of(1, 1, 64, 64), at=(slice(None),))
    with h5py.File(tmp_path / "a.nc") as file:
        place = file["forecast"].id.get_chunk_info(0).byte_offset
    content = bytearray((tmp_path / "a.nc").read_bytes())
    content[place + 1000] ^= 4
    (tmp_path / "a.nc").write_bytes(content)
    with h5py.File(tmp_path / "a.nc") as file, pytest.raises(OSError, match="Can't"):
        file["forecast"][:]


def test_channels_of_their_own_units_are_variables_of_their_own(tmp_path: Path) -> None:
    channels = (
        Channel("t2m", "K", standard_name="air_temperature"),
        Channel("specific humidity", "kg kg-1"),
    )
    axes = Axes((2, 2, 4, 5), 3, (280.0,), channels=channels)
    members = frames_of(3, 2, 2, 4, 5)
    with netcdf.create(tmp_path / "a.nc", axes, {}) as file:
        for number, member in enumerate(members):
            file.write("members", member, at=(number,))
        np.testing.assert_array_equal(file.members(1), members[:, 1])
    with opened(tmp_path / "a.nc") as found:
        temperature, humidity = found["members_t2m"], found["members_specific_humidity"]
        assert temperature.dims == ("realization", "lead", "y", "x")
        np.testing.assert_array_equal(humidity, members[:, :, 1])
        assert temperature.attrs["standard_name"] == "air_temperature"
        assert (temperature.attrs["units"], humidity.attrs["units"]) == ("K", "kg kg-1")
        assert "standard_name" not in humidity.attrs
        assert found["probability_of_exceedance_t2m"].attrs["units"] == "1"
        assert "units" not in found["threshold"].attrs


def test_rows_and_columns_have_the_coordinates_and_the_projection_of_the_input(
    tmp_path: Path,
) -> None:
    """Reference: CF 1.11, sections 5.2 and 5.6, example 5.6."""
    lat = np.linspace(47, 55, 20).reshape(4, 5)
    grid = Grid(
        {
            "y": Coordinate(("y",), np.arange(4) * -1000.0, {"units": "m", "bounds": "y_bnds"}),
            "xc": Coordinate(("x",), np.arange(5) * 1000.0, {"units": "m"}),
            "lat": Coordinate(("y", "x"), lat, {"units": "degrees_north"}),
        },
        {"grid_mapping_name": "lambert_conformal_conic", "standard_parallel": (25.0, 30.0)},
    )
    forecast = frames_of(2, 1, 4, 5)
    rain = Channel("rain", "mm h-1", standard_name="rainfall_rate")
    axes = Axes((2, 1, 4, 5), channels=(rain,), grid=grid)
    with netcdf.create(tmp_path / "a.nc", axes, {}) as file:
        file.write("forecast", forecast, at=(slice(None),))
    with opened(tmp_path / "a.nc") as found:
        own = found["forecast"]
        assert own.dims == ("lead", "y", "xc")
        assert own.attrs["units"] == "mm h-1"
        assert own.attrs["grid_mapping"] == "crs"
        assert found["xc"].values.tolist() == [0, 1000, 2000, 3000, 4000]
        assert found["y"].attrs == {"units": "m"}
        np.testing.assert_array_equal(own["lat"], lat)
        assert found["crs"].attrs["grid_mapping_name"] == "lambert_conformal_conic"
        assert found["crs"].attrs["standard_parallel"].tolist() == [25, 30]
