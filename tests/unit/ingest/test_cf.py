"""Attributes of CF are read as the conventions say; the references are computed by hand."""

from typing import Any

import numpy as np
import pytest

from convlstm.ingest import cf

DAY = 86_400 * 10**6


def missing_of(dtype: str, **said: Any) -> tuple[float, ...]:
    return cf.channel("v", said, np.dtype(dtype)).missing


def test_numbers_are_scaled_by_the_factors_of_the_file() -> None:
    said = {"scale_factor": np.array([0.5]), "add_offset": "-32", "units": b"dBZ "}
    channel = cf.channel("v", said | {"standard_name": "rain"}, np.dtype("u1"))
    assert channel[:4] == ("v", "dBZ", 0.5, -32.0)
    assert channel.standard_name == "rain"


@pytest.mark.parametrize("factor", ["x", [0.1, 0.2], np.nan, 0.0])
def test_a_factor_that_is_no_number_is_an_error(factor: Any) -> None:
    with pytest.raises(ValueError, match="scale_factor ="):
        cf.channel("v", {"scale_factor": factor}, np.dtype("i2"))


@pytest.mark.parametrize(
    ("dtype", "said", "missing"),
    [
        ("i2", {"_FillValue": np.int16(-1)}, (-1.0,)),
        ("i2", {"_FillValue": np.int16(-1), "missing_value": np.array([-2, -1], "i2")}, (-1, -2)),
        ("i2", {"missing_value": "-999.0"}, (-999.0,)),
        ("i2", {"missing_value": -1e30}, ()),  # no int16 is that
        ("i2", {"missing_value": 0.5}, ()),
        ("u1", {"_FillValue": np.int8(-1)}, (255.0,)),  # the byte that a signed -1 is
        ("u2", {"_FillValue": np.int16(-2)}, (65534.0,)),
        ("f4", {"missing_value": np.float64(1e20)}, (float(np.float32(1e20)), np.nan)),
        ("f4", {"_FillValue": np.float32(np.nan)}, (np.nan,)),
        ("f8", {"_FillValue": "text"}, (np.nan,)),
    ],
)
def test_missing_are_the_numbers_that_the_type_can_have(
    dtype: str, said: dict[str, Any], missing: tuple[float, ...]
) -> None:
    found = [number for number in missing_of(dtype, **said) if number != cf._NETCDF_FILL[0]]
    np.testing.assert_array_equal(found, missing)


@pytest.mark.parametrize(
    ("dtype", "said", "values", "valid"),
    [
        # packed: 0 to 100 are -32 to 18
        ("i2", {"valid_range": np.array([0, 100], "i2")}, [-1, 0, 100, 101], [0, 1, 1, 0]),
        # as wide as the factors: physical, and 95 is 254
        ("i2", {"valid_range": [-32.0, 95.0]}, [-1, 0, 254, 255], [0, 1, 1, 0]),
        ("u1", {"valid_max": np.int8(-6)}, [249, 250, 251, 255], [1, 1, 0, 0]),  # -6 is 250
        ("i1", {"valid_min": np.int8(-5)}, [-6, -5, 127], [0, 1, 1]),
        ("f4", {"valid_min": -1.0, "valid_max": 0.1}, [-1.5, -1, np.float32(0.1), 1], [0, 1, 1, 0]),
        ("f8", {"valid_range": [0.0, 10.0]}, [np.nan, -np.inf, 10, np.inf], [0, 0, 1, 0]),
        ("i2", {"valid_range": "none"}, [-32768, 32767], [1, 1]),
    ],
)
def test_numbers_outside_the_valid_range_are_missing(
    dtype: str, said: dict[str, Any], values: list[float], valid: list[int]
) -> None:
    """CF 1.11, section 2.5.1; the type of the attribute tells whether it is packed."""
    said = {"scale_factor": 0.5, "add_offset": -32.0} | said
    channel = cf.channel("v", said, np.dtype(dtype))
    stored = np.array(values, dtype)
    found = cf.within_valid_range(stored, channel)
    assert found.dtype == dtype
    measured = ~np.isin(found, channel.missing) & (found == found)
    np.testing.assert_array_equal(measured, np.array(valid, bool))
    np.testing.assert_array_equal(found[measured], stored[measured])


def test_a_range_of_all_numbers_of_a_type_needs_no_mark() -> None:
    said = {"valid_range": np.array([0, 255], np.int16)}
    assert missing_of("u1", **said) == ()
    assert missing_of("u1", valid_min=np.uint8(1)) == (0.0,)
    assert missing_of("u1", valid_max=np.uint8(9), _FillValue=np.uint8(200)) == (200.0,)


def test_floats_that_nobody_wrote_are_missing() -> None:
    written_by_nobody = float(np.float32(9.969209968386869e36))  # NC_FILL_FLOAT of netcdf.h
    assert written_by_nobody in missing_of("f4")
    assert written_by_nobody not in missing_of("f4", _FillValue=-1.0)
    assert missing_of("i2") == ()


@pytest.mark.parametrize(
    ("said", "dtype", "stored"),
    [
        ({"_Unsigned": "true"}, ">i2", "u2"),
        ({"_Unsigned": "True"}, "i1", "u1"),
        ({"_Unsigned": "false"}, "u1", "i1"),
        ({"_Unsigned": "true"}, "f4", "f4"),
        ({}, "<i4", "i4"),
    ],
)
def test_unsigned_names_the_sign(said: dict[str, Any], dtype: str, stored: str) -> None:
    assert cf.stored_dtype(said, np.dtype(dtype)) == np.dtype(stored)


@pytest.mark.parametrize(
    ("said", "dtype", "ends"),
    [
        ({"valid_range": np.array([0, 100], "i2")}, "i2", (-32.0, 18.0)),  # packed
        ({"valid_range": [-32.0, 95.0]}, "i2", (-32.0, 95.0)),  # as physical as its type
        ({"valid_min": np.int16(10)}, "i2", (-27.0, np.inf)),
        ({"valid_max": np.int8(-1)}, "u1", (-np.inf, 95.5)),  # 255
        ({"valid_range": [0.0, 10.0]}, "f4", (-32.0, -27.0)),
        ({"valid_range": [0.0]}, "f4", ()),
    ],
)
def test_the_valid_range_becomes_physical(
    said: dict[str, Any], dtype: str, ends: tuple[float, ...]
) -> None:
    said = {"scale_factor": 0.5, "add_offset": -32.0} | said
    assert cf.channel("v", said, np.dtype(dtype)).valid_range == ends


def test_a_negative_scale_turns_the_valid_range() -> None:
    said = {"scale_factor": -2.0, "valid_range": np.array([1, 3], "i2")}
    assert cf.channel("v", said, np.dtype("i2")).valid_range == (-6.0, -2.0)


@pytest.mark.parametrize(
    ("name", "about", "letter"),
    [
        ("a", {"axis": "Y"}, "H"),
        ("a", {"standard_name": "projection_x_coordinate"}, "W"),
        ("a", {"units": "degrees_north"}, "H"),
        ("a", {"units": "Hours since 2000-01-01"}, "T"),
        ("lat", {}, "H"),
        ("Time", {}, "T"),
        ("lon", {"standard_name": "latitude"}, "H"),  # attributes say more than names
        ("time", {"standard_name": "forecast_reference_time", "units": "h since 1-1-1"}, "other"),
        ("x", {"axis": "Z"}, "other"),
        ("a", {"positive": "down"}, "other"),
        ("member", {}, "other"),
        ("bands", {}, "C"),
        ("a", {}, ""),
    ],
)
def test_an_axis_is_told_by_its_coordinate_and_then_by_its_name(
    name: str, about: dict[str, Any], letter: str
) -> None:
    assert cf.letter(name, about) == letter


@pytest.mark.parametrize(
    ("sizes", "raw_axes", "letters"),
    [
        ({"lat": 5, "lon": 6, "time": 7}, None, "HWT"),
        ({"time": 7, "level": 1, "y": 5, "x": 6}, None, "T-HW"),
        ({"time": 7, "a": 5, "b": 6}, None, "THW"),
        ({"time": 7, "y": 5, "b": 6}, None, "THW"),
        ({"frame": 7, "height": 5, "width": 6}, None, "THW"),
        ({"time": 7, "band": 3, "y": 5, "x": 6}, None, "TCHW"),
        ({"time": 7, "level": 3, "y": 5, "x": 6}, "TCHW", "TCHW"),
        ({"time": 7, "level": 1, "y": 5, "x": 6}, "THW", "T-HW"),
        ({"member": 3, "time": 7, "y": 5, "x": 6}, "NTHW", "NTHW"),
        ({"lat": 5, "lon": 6, "time": 7}, "THW", "THW"),  # who names the axes knows
    ],
)
def test_each_dimension_of_a_frame_has_a_letter(
    sizes: dict[str, int], raw_axes: str | None, letters: str
) -> None:
    assert cf.axes(sizes, {}, raw_axes) == letters


@pytest.mark.parametrize(
    ("sizes", "raw_axes"),
    [
        ({"time": 7, "level": 3, "y": 5, "x": 6}, None),
        ({"member": 3, "y": 5, "x": 6}, None),
        ({"a": 7, "b": 5, "c": 6}, None),
        ({"time": 7, "x": 5, "lon": 6}, None),
        ({"time": 7, "y": 5}, None),
        ({"time": 7, "level": 3, "y": 5, "x": 6}, "THW"),
    ],
)
def test_dimensions_that_are_not_those_of_frames_are_an_error(
    sizes: dict[str, int], raw_axes: str | None
) -> None:
    with pytest.raises(ValueError, match="dimensions"):
        cf.axes(sizes, {}, raw_axes)


@pytest.mark.parametrize(
    ("values", "about", "times"),
    [
        ([0, 1], {"units": "days since 1970-01-02"}, [DAY, 2 * DAY]),
        ([0.5], {"units": "days since 1970-01-01"}, [DAY // 2]),
        ([1500], {"units": "nanoseconds since 1970-01-01"}, [2]),
        ([2], {"units": "hours since 1970-01-01 00:00 +02:00"}, [0]),
        # February has 30 days, and each year 360: 1971 begins after 360 days
        ([59, 60], {"units": "days since 1970-01-01", "calendar": "360_day"}, [59 * DAY, 60 * DAY]),
        ([0], {"units": "days since 1971-01-01", "calendar": "360_day"}, [360 * DAY]),
        ([0], {"units": "days since 1973-01-01", "calendar": "noleap"}, [3 * 365 * DAY]),
        ([1], {"units": "months since 1970-01-01", "calendar": "360_day"}, [30 * DAY]),
        # IMERG calls seconds since 1970 julian, and means what Unix does
        ([DAY // 10**6], {"units": "seconds since 1970-01-01 UTC", "calendar": "julian"}, [DAY]),
        (["1970-01-02T00:00"], {}, [DAY]),
        (["1970-01-02_00:00:00"], {}, [DAY]),
        ([np.datetime64("1970-01-02")], {}, [DAY]),
    ],
)
def test_times_are_microseconds_since_1970(
    values: list[Any], about: dict[str, str], times: list[int]
) -> None:
    found = cf.microseconds(np.array(values), about)
    assert found is not None
    assert found.tolist() == times


def test_numbers_without_a_unit_of_time_are_no_times() -> None:
    assert cf.microseconds(np.arange(3), {"units": "days"}) is None


@pytest.mark.parametrize(
    ("values", "units"),
    [
        ([np.nan], "days since 2000-01-01"),
        ([9.97e36], "days since 2000-01-01"),
        ([1], "fortnights since 2000-01-01"),
        ([1], "months since 2000-01-01"),
        ([1], "days since then"),
    ],
)
def test_a_time_that_is_missing_or_of_an_unknown_unit_is_an_error(
    values: list[float], units: str
) -> None:
    with pytest.raises(ValueError, match=r"."):
        cf.microseconds(np.array(values), {"units": units})


def test_attributes_become_what_json_holds() -> None:
    said = {
        "a": b"x",
        "b": np.array([1, 2], "f4"),
        "c": np.int16(3),
        "d": "y",
        "e": np.array(["z"]),
    }
    plain = cf.plain(said | {"f": np.zeros(0), "g": np.array([1j])})
    assert plain == {"a": "x", "b": (1.0, 2.0), "c": 3, "d": "y", "e": "z"}


def test_rows_and_columns_of_one_pixel_that_have_no_name_are_said_to_be_left_out() -> None:
    assert cf.axes({"time": 5, "y": 1, "x": 1}, {}, None) == "THW"
    with pytest.raises(ValueError, match="for those of length 1 whose names say nothing are left"):
        cf.axes({"time": 5, "a": 1, "b": 1}, {}, None)
    with pytest.raises(ValueError, match=r"time, channel, row and column$"):
        cf.axes({"time": 5, "level": 3, "y": 8, "x": 9}, {}, None)
