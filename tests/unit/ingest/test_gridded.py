"""NetCDF and zarr as users have them: axes by their names, times by their units, places kept."""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
import zarr

from convlstm.ingest import chunks, decoding, groups, readers, sources
from convlstm.runtime.errors import BadInput, Faults
from convlstm.storage.frames import Frame
from tests.builders import MINUTE, file_pages_bytes, reading_of

HOUR = 60 * MINUTE
Y2000 = 946_684_800_000_000


def frames(path: Path, **reading: object) -> list[Frame]:
    return list(readers.frames(path, reading_of(**reading)))


def saved(path: Path, dataset: xr.Dataset) -> Path:
    """Write a dataset as what the suffix says."""
    match path.suffix:
        case ".nc3":
            dataset.to_netcdf(path, engine="scipy")
        case ".nc":
            dataset.to_netcdf(path, engine="h5netcdf")
        case _:
            with warnings.catch_warnings():  # zarr 3 has no standard for some types
                warnings.simplefilter("ignore")
                dataset.to_zarr(path, zarr_format=2 if path.suffix == ".zarr2" else 3)
    return path


def hourly(numbers: Any, **variables: Any) -> xr.Dataset:
    """Return frames (time, y, x) whose pixels are the number of their hour."""
    hours = np.asarray(numbers)
    values = np.broadcast_to(hours[:, None, None], (hours.size, 8, 9)).astype(np.float32)
    about = {"units": "hours since 2000-01-01"}
    return xr.Dataset(
        {"sst": (("time", "y", "x"), values), **variables}, coords={"time": ("time", hours, about)}
    )


KINDS = (".nc3", ".nc", ".zarr2", ".zarr")


@pytest.mark.parametrize("suffix", KINDS)
def test_frames_have_the_times_that_the_file_gives(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a{suffix}", hourly([5, 6, 8]))
    assert readers.extent(path, reading_of()) == (1, 3)
    found = frames(path)
    assert [frame.time for frame in found] == [Y2000 + hour * HOUR for hour in (5, 6, 8)]
    assert [frame.values.shape for frame in found] == [(1, 8, 9)] * 3


def test_frames_that_were_swapped_come_in_order(tmp_path: Path) -> None:
    hours = [*range(60), 61, 60, *range(62, 70)]
    found = frames(saved(tmp_path / "a.nc", hourly(hours)))
    assert [frame.values[0, 0, 0] for frame in found] == list(range(70))


@pytest.mark.parametrize("suffix", KINDS)
def test_a_doubled_time_is_named(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a{suffix}", hourly([0, 1, 1]))
    with pytest.raises(BadInput, match=r"a\..*: holds the time 2000-01-01 01:00:00 twice"):
        frames(path)


def test_time_that_comes_last_is_still_time(tmp_path: Path) -> None:
    """The case of raster 83: (lat, lon, time) by h5py, with dimension scales."""
    values = np.random.default_rng(0).random((44, 52, 30))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["pg"] = values
        for axis, (name, size) in enumerate(zip(("lat", "lon", "time"), values.shape, strict=True)):
            file[name] = np.arange(size)
            file[name].make_scale(name)
            file["pg"].dims[axis].attach_scale(file[name])
        file["time"].attrs["units"] = "days since 2000-01-01"
    found = frames(tmp_path / "a.h5")
    np.testing.assert_array_equal([frame.values[0] for frame in found], np.moveaxis(values, 2, 0))
    assert found[1].time == Y2000 + 24 * HOUR


def test_files_of_one_sequence_whose_scales_differ_are_named(tmp_path: Path) -> None:
    """The case of NCDatasets.jl 109, with a frame in each file."""
    for number, scale in enumerate((0.01, 0.02)):
        packed = {
            "t2m": (("time", "y", "x"), np.ones((1, 8, 9), np.int16), {"scale_factor": scale})
        }
        saved(tmp_path / f"{number}.nc", hourly([number], **packed))
    reading, faults = reading_of(raw_dataset="t2m"), Faults()
    for _, sequence in decoding.read(sources.find(tmp_path, reading, faults), reading, faults):
        list(sequence)
    with pytest.raises(BadInput, match=r"1.nc: another scale than .*0.nc; all frames"):
        faults.check()


@pytest.mark.parametrize("suffix", KINDS)
def test_numbers_outside_the_valid_range_are_missing(tmp_path: Path, suffix: str) -> None:
    """Of 0 to 3, stored as bytes that mean unsigned ones, 1 and 2 are valid: 0.5 and 1 mm."""
    about = {"_Unsigned": "true", "valid_range": np.array([1, 2], "i1"), "scale_factor": 0.5}
    numbers = np.resize(np.arange(4, dtype="i1"), (2, 8, 9))
    path = saved(tmp_path / f"a{suffix}", hourly([0, 1], v=(("time", "y", "x"), numbers, about)))
    frame, _ = frames(path, raw_dataset="v")
    (channel,) = frame.meaning.channels
    hidden = np.isin(frame.values[0], channel.missing)
    np.testing.assert_array_equal(hidden, np.isin(numbers[0], (0, 3)))
    assert set(frame.values[0][~hidden].tolist()) == {1, 2}


@pytest.mark.parametrize("suffix", KINDS)
def test_parts_of_a_film_follow_each_other_by_their_times(tmp_path: Path, suffix: str) -> None:
    about = {"units": "hours since 2000-01-01"}
    parts = {
        f"v{number}": ((f"t{number}", "y", "x"), np.ones((len(hours), 8, 9)) * hours[:, None, None])
        for number, hours in enumerate((np.array([7, 5]), np.array([1, 2, 6])))
    }
    times = {
        name.replace("v", "t"): (dims[:1], values[:, 0, 0].astype(int), about)
        for name, (dims, values) in parts.items()
    }
    path = saved(tmp_path / f"a{suffix}", xr.Dataset(parts, coords=times))
    found = frames(path, raw_dataset="v*")
    assert [frame.values[0, 0, 0] for frame in found] == [1, 2, 5, 6, 7]
    assert [frame.time for frame in found] == [Y2000 + hour * HOUR for hour in (1, 2, 5, 6, 7)]


def test_numbers_without_a_unit_order_the_frames_of_each_part(tmp_path: Path) -> None:
    parts = {
        f"v{number}": ((f"t{number}", "y", "x"), np.ones((2, 8, 9)) * np.array(has)[:, None, None])
        for number, has in ((9, [20, 10]), (10, [30, 40]))
    }
    times = {"t9": ("t9", [5.0, 4.0]), "t10": ("t10", [0.0, 1.0])}
    path = saved(tmp_path / "a.nc", xr.Dataset(parts, coords=times))
    found = frames(path, raw_dataset="v*", raw_axes="THW")
    assert [frame.values[0, 0, 0] for frame in found] == [10, 20, 30, 40]


def test_variables_named_together_are_channels(tmp_path: Path) -> None:
    about = {"units": "m s-1", "standard_name": "eastward_wind"}
    wind = {
        "u": (("time", "y", "x"), np.full((2, 8, 9), 1, np.float32), about),
        "v": (("time", "y", "x"), np.full((2, 8, 9), 2, np.int16), {"scale_factor": 0.1}),
    }
    path = saved(tmp_path / "a.nc", hourly([0, 1], **wind))
    with pytest.raises(BadInput, match=r"there are \['sst', 'u', 'v'\]; name one, or several"):
        frames(path)
    found = frames(path, raw_dataset="v,u")
    assert found[0].values[:, 0, 0].tolist() == [2, 1]
    first, second = found[0].meaning.channels
    assert (first.name, first.scale) == ("v", 0.1)
    assert (second.name, second.unit, second.standard_name) == ("u", *about.values())


def test_what_describes_other_variables_is_no_candidate(tmp_path: Path) -> None:
    others = {
        "time_bnds": (("time", "bnds"), np.zeros((2, 2))),
        "lat": (("y", "x"), np.zeros((8, 9)), {"units": "degrees_north"}),
        "lon": (("y", "x"), np.zeros((8, 9)), {"units": "degrees_east"}),
        "crs": ((), 0, {"grid_mapping_name": "latitude_longitude"}),
    }
    dataset = hourly([0, 1], **others)
    dataset["sst"].attrs.update({"grid_mapping": "crs", "coordinates": "lat lon"})
    found = frames(saved(tmp_path / "a.nc", dataset))
    grid = found[0].meaning.grid
    assert grid is not None
    assert {name: place.axes for name, place in grid.coordinates.items()} == {
        "lat": ("y", "x"),
        "lon": ("y", "x"),
    }
    assert grid.mapping == {"grid_mapping_name": "latitude_longitude"}


def test_latitudes_keep_the_order_of_the_rows(tmp_path: Path) -> None:
    dataset = hourly([0, 1]).rename(y="lat", x="lon")
    dataset = dataset.assign_coords(lat=np.linspace(50, 43, 8), lon=np.arange(9.0))
    dataset["lat"].attrs["units"] = "degrees_north"
    grid = frames(saved(tmp_path / "a.nc3", dataset))[0].meaning.grid
    assert grid is not None
    np.testing.assert_array_equal(grid.coordinates["lat"].values, np.linspace(50, 43, 8))
    assert grid.coordinates["lat"].attributes == {"units": "degrees_north"}


def test_a_dimension_that_is_none_of_a_frame_needs_raw_axes(tmp_path: Path) -> None:
    dataset = hourly([0, 1]).expand_dims(level=[500.0, 850.0, 1000.0])
    path = saved(tmp_path / "a.nc", dataset.transpose("time", "level", "y", "x"))
    with pytest.raises(
        BadInput, match=r"sst has the dimensions time 2, level 3, y 8, x 9 .*raw_ax"
    ):
        frames(path)
    assert frames(path, raw_axes="TCHW")[0].values.shape == (3, 8, 9)
    assert readers.extent(path, reading_of(raw_axes="TNHW")) == (3, 2)


def test_imerg_is_read_from_its_group(tmp_path: Path) -> None:
    """IMERG has (time, lon, lat) in the group Grid, and seconds of a Julian calendar."""
    values = np.arange(36 * 18, dtype=np.float32).reshape(1, 36, 18)
    with h5py.File(tmp_path / "3B-HHR.HDF5", "w") as file:
        grid = file.create_group("Grid")
        grid["time"] = np.array([Y2000 // 10**6], np.int32)
        about = {"units": "seconds since 1970-01-01 00:00:00 UTC", "calendar": "julian"}
        grid["time"].attrs.update(about)
        grid["lon"], grid["lat"] = np.linspace(-179, 179, 36), np.linspace(-89, 89, 18)
        grid["precipitation"] = values
        grid["precipitation"].attrs.update({"units": "mm/hr", "_FillValue": np.float32(-9999.9)})
        for axis, name in enumerate(("time", "lon", "lat")):
            grid[name].make_scale(name)
            grid["precipitation"].dims[axis].attach_scale(grid[name])
    for raw_dataset in (None, "precipitation", "Grid/precipitation"):
        (frame,) = frames(tmp_path / "3B-HHR.HDF5", raw_dataset=raw_dataset)
        np.testing.assert_array_equal(frame.values[0], values[0].T)
        assert frame.time == Y2000
        (channel,) = frame.meaning.channels
        assert (channel.unit, channel.missing[0]) == ("mm/hr", float(np.float32(-9999.9)))


def test_wrf_has_its_times_beside_the_dimension(tmp_path: Path) -> None:
    dims = ("Time", "south_north", "west_east")
    minutes = np.array([0, 60, 120], np.float32)
    dataset = xr.Dataset(
        {
            "RAINC": (dims, np.zeros((3, 8, 9), np.float32), {"coordinates": "XLONG XLAT XTIME"}),
            "XTIME": ("Time", minutes, {"units": "minutes since 2000-01-01 00:00:00"}),
        }
    )
    dataset.to_netcdf(tmp_path / "wrfout_d01", engine="scipy")
    found = frames(tmp_path / "wrfout_d01")
    assert [frame.time for frame in found] == [Y2000, Y2000 + HOUR, Y2000 + 2 * HOUR]


def test_a_file_of_one_frame_has_the_time_of_its_scalar(tmp_path: Path) -> None:
    dataset = hourly([7]).isel(time=0)
    dataset["start"] = ((), 3, {"units": "hours since 2000-01-01"})
    (frame,) = frames(saved(tmp_path / "a.nc", dataset))
    assert frame.time == Y2000 + 7 * HOUR


def test_the_time_of_a_forecast_is_not_its_start(tmp_path: Path) -> None:
    since = {"units": "hours since 2000-01-01"}
    dataset = xr.Dataset(
        {"f": (("step", "y", "x"), np.zeros((3, 8, 9), np.float32))},
        coords={
            "step": ("step", [1, 2, 3], {"standard_name": "forecast_period", "units": "hours"}),
            "valid_time": ("step", [7, 8, 9], {"standard_name": "time", **since}),
            "time": ((), 6, {"standard_name": "forecast_reference_time", **since}),
        },
    )
    found = frames(saved(tmp_path / "a.nc", dataset))
    assert [frame.time for frame in found] == [Y2000 + hour * HOUR for hour in (7, 8, 9)]


def test_numbers_without_a_unit_only_order_the_frames(tmp_path: Path) -> None:
    dataset = hourly([1, 3, 2])
    dataset["time"].attrs.clear()
    found = frames(saved(tmp_path / "a.nc", dataset))
    assert [frame.values[0, 0, 0] for frame in found] == [1, 2, 3]
    assert {frame.time for frame in found} == {None}


def test_packed_coordinates_are_unpacked(tmp_path: Path) -> None:
    """As in GOES-R, whose x and y are counts of radians, and whose bytes are unsigned."""
    about = {"scale_factor": np.float32(0.01), "_Unsigned": "true", "_FillValue": np.int16(-1)}
    axis = {"scale_factor": -0.001, "add_offset": 0.1, "units": "rad"}
    dataset = xr.Dataset(
        {"CMI": (("y", "x"), np.array([[-1, 1, 2, 3, 4]] * 5, np.int16), about)},
        coords={
            "y": ("y", np.arange(5, dtype=np.int16), axis),
            "x": ("x", np.arange(5, dtype=np.int16), {"units": "rad"}),
        },
    )
    (frame,) = frames(saved(tmp_path / "a.nc", dataset))
    assert frame.values[0, 0].tolist() == [65535, 1, 2, 3, 4]
    assert frame.meaning.channels[0].missing == (65535.0,)
    grid = frame.meaning.grid
    assert grid is not None
    np.testing.assert_allclose(grid.coordinates["y"].values, [0.1, 0.099, 0.098, 0.097, 0.096])


def test_bands_are_channels_with_the_names_of_their_coordinate(tmp_path: Path) -> None:
    dataset = xr.Dataset(
        {"r": (("time", "band", "y", "x"), np.zeros((2, 2, 8, 9), np.uint8))},
        coords={"band": ["red", "green"]},
    )
    (first, _) = frames(saved(tmp_path / "a.nc", dataset))
    assert [channel.name for channel in first.meaning.channels] == ["red", "green"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_array_of_zarr_without_names_is_read_as_numpy_is(
    tmp_path: Path, zarr_format: Any
) -> None:
    values = np.random.default_rng(0).random((4, 8, 9))
    array = zarr.create_array(
        tmp_path / "a", shape=values.shape, dtype=values.dtype, zarr_format=zarr_format
    )
    array[:] = values
    found = frames(tmp_path / "a")
    np.testing.assert_array_equal([frame.values[0] for frame in found], values)
    assert found[0].meaning.channels == ()


def test_a_store_of_zarr_is_one_file_of_a_folder(tmp_path: Path) -> None:
    for name in ("may", "june"):
        saved(tmp_path / f"{name}.zarr", hourly([0, 1]))
    found = sources.find(tmp_path, reading_of(), Faults())
    assert [source.name for source in found] == ["june", "may"]
    (alone,) = sources.find(tmp_path / "may.zarr", reading_of(), Faults())
    assert alone.name == "may"


def test_zarr_that_is_packed_by_pickle_is_refused(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a", shape=(8, 9), dtype="f8", zarr_format=2)
    about = json.loads((tmp_path / "a/.zarray").read_text("utf-8"))
    (tmp_path / "a/.zarray").write_text(json.dumps(about | {"filters": [{"id": "pickle"}]}))
    with pytest.raises(BadInput, match="packed by pickle, which can run programs"):
        frames(tmp_path / "a")


def test_zarr_with_chunks_that_fill_the_memory_is_refused(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a", shape=(8, 9), chunks=(2**16, 2**16), dtype="f8")
    with pytest.raises(BadInput, match="chunks of 4,294,967,296 values; rechunk it"):
        frames(tmp_path / "a")


@pytest.mark.parametrize("linked", ["zarr.json", "t", "t/zarr.json", "t/c", "t/c/0/0/0"])
def test_a_link_in_a_store_is_refused_by_name(tmp_path: Path, linked: str) -> None:
    """Metadata, an array, its metadata, its chunks, a chunk: each may lead to any file."""
    group = zarr.create_group(tmp_path / "a")
    group.create_array("t", shape=(3, 8, 9), dtype="u1", compressors=None)[:] = 1
    (tmp_path / "a" / linked).rename(tmp_path / "elsewhere")
    (tmp_path / "a" / linked).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match=rf"a: {linked} is a link; copy the store without links"):
        frames(tmp_path / "a")


def test_a_store_that_was_mostly_never_written_does_not_fill_the_disk(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a", shape=(10**9, 100, 1000), chunks=(1, 100, 1000), dtype="f8")
    with pytest.raises(BadInput, match=r"a: an array of 800,000,000,000,000 bytes, of which most "):
        frames(tmp_path / "a", raw_axes="THW")


def test_without_zarr_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.zarr", hourly([0, 1]))
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(BadInput, match="to read zarr, install the extra `zarr`"):
        frames(path)


@pytest.mark.parametrize("content", [b"", b"CDF\x01", b"CDF\x01" + bytes(50), "half"])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes | str) -> None:
    path = saved(tmp_path / "a.nc3", hourly(range(9)))
    if isinstance(content, str):
        content = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"a.nc3: "):
        frames(path)


def test_too_large_a_frame_is_refused_unread(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nc", hourly([0]))
    with pytest.raises(BadInput, match="more pixels than max_pixels = 70"):
        frames(path, max_pixels=70)


def test_netcdf_3_leaves_no_more_pages_of_its_file_in_memory_than_a_block_has(
    tmp_path: Path,
) -> None:
    """A block has 4 MB, and the file 32; on Linux."""
    film = np.random.default_rng(0).integers(0, 99, (128, 256, 256)).astype(np.float32)
    path = saved(tmp_path / "a.nc3", xr.Dataset({"sst": (("time", "y", "x"), film)}))
    del film
    frames = readers.frames(path, reading_of())
    next(frames)
    before = file_pages_bytes()
    assert max(file_pages_bytes() for _ in frames) - before < 2**23


def test_packed_frames_of_netcdf_4_are_unpacked_outside_of_the_lock_of_hdf5(tmp_path: Path) -> None:
    dataset = hourly(range(5))
    packed = {"sst": {"zlib": True, "shuffle": True, "chunksizes": (1, 8, 9)}}
    dataset.to_netcdf(tmp_path / "a.nc", engine="h5netcdf", encoding=packed)
    with groups.File(tmp_path / "a.nc", "h5netcdf", [""], []) as file:
        array = file.array("sst")
        assert isinstance(array, chunks.Frames)
        np.testing.assert_array_equal(array[:, :, :], dataset.sst.values)
