"""NetCDF-3, NetCDF-4, zarr and HDF5 with drawn metadata mean what xarray itself decodes of them."""

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cftime
import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convlstm.ingest import readers
from convlstm.storage.frames import Frame
from tests.builders import reading_of

ROWS, COLS = 3, 4
NAMES = (
    ("time", "lat", "lon"),
    ("time", "latitude", "longitude"),
    ("t", "y", "x"),
    ("Time", "south_north", "west_east"),
    ("valid_time", "row", "col"),
)
CALENDARS = (
    "standard",
    "gregorian",
    "proleptic_gregorian",
    "noleap",
    "360_day",
    "all_leap",
    "julian",
)
EPOCH = "microseconds since 1970-01-01"
SETTINGS = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@contextmanager
def quietly() -> Iterator[None]:
    """Let xarray warn, while it writes and reads what is asked of it here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@st.composite
def attributes(draw: st.DrawFn, dtype: np.dtype[Any]) -> dict[str, Any]:
    """What a file may say of numbers of this type."""
    said: dict[str, Any] = {}
    native = dtype.newbyteorder("=")
    if dtype.kind in "iu" and draw(st.booleans()):
        factor = draw(st.sampled_from((np.float32, np.float64)))
        said["scale_factor"] = factor(draw(st.sampled_from((0.5, 0.01, 2.0, -0.25))))
        if draw(st.booleans()):
            said["add_offset"] = factor(draw(st.sampled_from((-32.0, 273.15, 0.0))))
    # xarray 2026.9 swaps the bytes of the _FillValue of unsigned numbers that are big-endian
    if dtype in ("i1", "<i2") and draw(st.booleans()):
        said["_Unsigned"] = "true"
    if draw(st.booleans()):
        said["_FillValue"] = native.type(draw(st.sampled_from((0, 7, 100))))
    if draw(st.booleans()):
        several = draw(st.lists(st.sampled_from((1, 9, 101)), min_size=1, max_size=2, unique=True))
        said["missing_value"] = (
            np.array(several, native) if len(several) > 1 else native.type(several[0])
        )
    if draw(st.booleans()):  # at least 0, for those of unsigned numbers are then the same
        ends = sorted(draw(st.tuples(st.integers(0, 50), st.integers(0, 120))))
        said["valid_range"] = np.array(ends, native)
    said["units"] = draw(st.sampled_from(("K", "mm/h", "1")))
    return said


@st.composite
def moments(draw: st.DrawFn) -> xr.Variable:
    """Times of any calendar in some unit, not always in order."""
    numbers = np.array(draw(st.lists(st.integers(0, 400), min_size=2, max_size=5, unique=True)))
    dtype = draw(st.sampled_from(("i4", "f8", "f4", "i2")))
    unit = draw(st.sampled_from(("days", "hours", "minutes", "seconds")))
    start = draw(st.sampled_from(("1950-01-01", "2000-02-28 12:00:00", "1-1-1 00:00:0.0")))
    if start.startswith("1-") and unit in ("days", "hours") and dtype in ("i4", "f8"):
        numbers += 726_000 * {"days": 1, "hours": 24}[unit]  # in the 20th century
    elif start.startswith("1-"):
        start = "1900-01-01"
    calendar = draw(st.sampled_from((*CALENDARS, None)))
    about = {"units": f"{unit} since {start}"} | ({"calendar": calendar} if calendar else {})
    return xr.Variable(("t",), numbers.astype(dtype), about)


@st.composite
def datasets(draw: st.DrawFn, dtypes: tuple[str, ...]) -> xr.Dataset:
    """One variable of frames with its coordinates, nothing of it decoded."""
    time = draw(moments())
    names = draw(st.sampled_from(NAMES))
    sizes = dict(zip(names, (time.size, ROWS, COLS), strict=True))
    dims = draw(st.permutations(names))
    if draw(st.booleans()):
        dims = [*dims[:1], "level", *dims[1:]]
        sizes["level"] = 1
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    shape = tuple(sizes[dim] for dim in dims)
    numbers = np.random.default_rng(draw(st.integers(0, 99))).integers(-120, 121, shape)
    values = (abs(numbers) if dtype.kind == "u" else numbers).astype(dtype)
    if dtype.kind == "f" and draw(st.booleans()):
        values.flat[0] = np.nan
    return xr.Dataset(
        {"v": (tuple(dims), values, draw(attributes(dtype)))},
        coords={
            names[0]: ((names[0],), time.values, time.attrs),
            names[1]: ((names[1],), np.linspace(50, 40, ROWS), {}),
            names[2]: ((names[2],), np.linspace(0, 9, COLS), {}),
        },
    )


def expected(decoded: xr.Dataset) -> tuple[np.ndarray, list[int]]:
    """Return the frames (time, row, col) and the times in order, as xarray decodes them."""
    variable = decoded["v"].squeeze("level") if "level" in decoded["v"].dims else decoded["v"]
    names = next(names for names in NAMES if set(names) == set(variable.dims))
    dates = decoded[names[0]].values
    calendar = decoded[names[0]].values[0].calendar
    times = np.array([int(cftime.date2num(date, EPOCH, calendar=calendar)) for date in dates])
    order = np.argsort(times)
    values = variable.transpose(*names).values[order]
    return values.astype(np.float64), times[order].tolist()


def invalid(stored: xr.Dataset) -> np.ndarray:
    """Return where numbers lie outside the valid range, which xarray leaves to its user."""
    about = stored["v"].attrs
    numbers, _ = expected(stored)
    if "valid_range" not in about:
        return np.zeros(numbers.shape, bool)
    if about.get("_Unsigned") == "true":
        numbers %= 2 ** (8 * stored["v"].dtype.itemsize)
    low, high = about["valid_range"]
    return np.asarray((numbers < low) | (numbers > high))


def physical(frame: Frame) -> np.ndarray:
    """Return the values of a frame by what it says: scaled, NaN where missing."""
    (channel,) = frame.meaning.channels
    numbers = frame.values[0].astype(np.float64)
    missing = np.isnan(numbers)
    for number in channel.missing:
        missing |= numbers == number
    return np.where(missing, np.nan, channel.scale * numbers + channel.offset)


def check(path: Path, engine: Any) -> None:
    """Compare what is read of a file with what xarray decodes of it."""
    reading = reading_of(raw_dataset="v")
    frames = list(readers.frames(path, reading))
    options: dict[str, Any] = {"consolidated": False} if engine == "zarr" else {}
    with quietly():
        coder = xr.coders.CFDatetimeCoder(use_cftime=True)
        options["decode_times"] = coder
        decoded = xr.open_dataset(path, engine=engine, **options)
        stored = xr.open_dataset(path, engine=engine, mask_and_scale=False, **options)
    with decoded, stored:
        values, times = expected(decoded)
        values[invalid(stored)] = np.nan
        unit = decoded["v"].attrs["units"]
    assert readers.extent(path, reading) == (1, len(times))
    found = np.stack([physical(frame) for frame in frames])
    # xarray computes in float32 where it thinks that this will do
    np.testing.assert_allclose(found, values, rtol=2e-6, atol=4e-5)
    found_times = [frame.time or 0 for frame in frames]
    np.testing.assert_allclose(found_times, times, rtol=0, atol=1)  # microseconds
    assert all(frame.meaning.channels[0].unit == unit for frame in frames)
    assert frames[0].meaning is frames[-1].meaning


def to_netcdf3(dataset: xr.Dataset, path: Path) -> Any:
    dataset.to_netcdf(path, engine="scipy")
    return "scipy"


def to_netcdf4(dataset: xr.Dataset, path: Path) -> Any:
    dataset.to_netcdf(path, engine="h5netcdf")
    return "h5netcdf"


def to_zarr2(dataset: xr.Dataset, path: Path) -> Any:
    dataset.to_zarr(path, zarr_format=2)
    return "zarr"


def to_zarr3(dataset: xr.Dataset, path: Path) -> Any:
    dataset.to_zarr(path, zarr_format=3)
    return "zarr"


def to_hdf5(dataset: xr.Dataset, path: Path) -> Any:
    """Write dimension scales and attributes by h5py, which makes of each an array of length 1."""
    with h5py.File(path, "w") as file:
        for name, variable in dataset.variables.items():
            file.create_dataset(name, data=variable.values, chunks=True, compression="gzip")
            for key, value in variable.attrs.items():
                file[name].attrs[key] = value if isinstance(value, str) else np.atleast_1d(value)
            if name in dataset.coords:
                file[name].make_scale(name)
        for number, dim in enumerate(dataset["v"].dims):
            if dim in file:
                file["v"].dims[number].attach_scale(file[dim])
            else:
                file[dim] = np.zeros(dataset.sizes[dim])
                file[dim].make_scale(dim)
                file["v"].dims[number].attach_scale(file[dim])
    return "h5netcdf"


OLD = ("i1", "i2", "i4", "f4", "f8")
WRITERS: dict[str, tuple[Callable[[xr.Dataset, Path], Any], tuple[str, ...]]] = {
    "NetCDF-3": (to_netcdf3, OLD),
    "NetCDF-4": (to_netcdf4, (*OLD, "u1", "u2", "i8", ">i2", ">f4")),
    "zarr 2": (to_zarr2, (*OLD, "u1", "u2", ">i4", ">f4")),
    "zarr 3": (to_zarr3, (*OLD, "u1", "u2")),
    "HDF5": (to_hdf5, (*OLD, "u1", "u2", ">i2", ">u2", ">f8")),
}


def compare(kind: str, data: st.DataObject) -> None:
    write, dtypes = WRITERS[kind]
    dataset = data.draw(datasets(dtypes))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        with quietly():
            engine = write(dataset, path)
        check(path, engine)


@pytest.mark.parametrize("kind", WRITERS)
@given(data=st.data())
@settings(SETTINGS, max_examples=6)
def test_frames_are_what_xarray_decodes(kind: str, data: st.DataObject) -> None:
    compare(kind, data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRITERS)
@given(data=st.data())
@settings(SETTINGS, max_examples=500)
def test_frames_are_what_xarray_decodes_in_500_draws(kind: str, data: st.DataObject) -> None:
    compare(kind, data)
