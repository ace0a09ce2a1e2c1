"""Stored numbers become physical values and [0, 1] as their channel says, and return."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.patch.conversion import Conversion
from convlstm.patch.curves import Transform
from convlstm.patch.scaling import OutOfRange, Scaling
from convlstm.runtime.errors import BadInput
from convlstm.storage.meaning import Channel

NAN = float("nan")
ODIM = Channel("DBZH", "dBZ", 0.5, -32.0, missing=(255.0,), undetected=(0.0,))


def conversion(
    channel: Channel,
    value_range: tuple[float, float],
    dtype: Any,
    missing_value: tuple[float, ...] = (),
    out_of_range: OutOfRange = "error",
    transform: Transform = "none",
) -> Conversion:
    """Return the conversion of one channel."""
    scaling = Scaling((value_range,), (transform,), missing_value, out_of_range)
    return Conversion(scaling, (channel,), np.dtype(dtype))


def frame(*values: float, dtype: Any) -> np.ndarray:
    """Return a frame of one row."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array(values).astype(dtype).reshape(1, 1, -1)


def units(made: Conversion, values: np.ndarray) -> tuple[list[float], list[bool]]:
    """Return numbers in [0, 1] and the mask of a frame."""
    unit, mask = made.to_unit(values)
    return unit.ravel().tolist(), mask.ravel().tolist()


def test_the_ends_of_the_range_become_0_and_1() -> None:
    found = units(conversion(Channel(), (-10.0, 30.0), "i2"), frame(-10, 0, 30, dtype="i2"))
    assert found == ([0, 0.25, 1], [True] * 3)  # 10 / 40 = 0.25


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2"])
def test_the_range_of_a_type_becomes_0_to_1(dtype: str) -> None:
    limits = np.iinfo(dtype)
    values = np.arange(limits.min, limits.max + 1).astype(dtype).reshape(1, 1, -1)
    made = conversion(Channel(), (float(limits.min), float(limits.max)), dtype)
    unit, _ = made.to_unit(values)
    np.testing.assert_allclose(unit.ravel(), np.linspace(0, 1, values.size), atol=1e-7)
    assert (unit.min(), unit.max()) == (0, 1)


@pytest.mark.parametrize("span", [(0.0, 254.0), (1.0, 255.0), (-1.0, 255.0), (0.0, 256.0)])
def test_near_the_range_of_a_type_values_are_clipped_too(span: tuple[float, float]) -> None:
    values = np.arange(256).astype(np.uint8).reshape(1, 1, -1)
    unit, _ = conversion(Channel(), span, "u1").to_unit(values)
    np.testing.assert_allclose(unit.ravel(), np.interp(values.ravel(), span, (0, 1)), atol=1e-7)


def test_odim_counts_are_dbz_as_by_hand() -> None:
    # 0.5 count - 32: 92 is 14, 164 is 50; 255 is no data, 0 no echo
    made = conversion(ODIM, (-10.0, 60.0), "u1")
    values = frame(0, 44, 92, 184, 255, dtype="u1")
    unit, mask = units(made, values)
    assert unit == pytest.approx([0, 0, 24 / 70, 1, 0], abs=1e-7)
    assert mask == [True, True, True, True, False]
    assert made.physical(values).ravel().tolist()[:4] == [-10, -10, 14, 60]


@pytest.mark.parametrize("dtype", ["i2", "i4", "f4", "f8"])
def test_packed_kelvin_of_two_files_are_the_same_kelvin(dtype: str) -> None:
    # case B1: each month has its own scale and offset; 280 K is another number in each
    for scale, offset in ((0.002, 283.5), (0.0005, 300.0)):
        made = conversion(Channel("t2m", "K", scale, offset), (250.0, 330.0), dtype)
        stored = (280 - offset) / scale
        if abs(stored) < 32000 or dtype != "i2":
            unit, _ = made.to_unit(frame(stored, dtype=dtype))
            np.testing.assert_allclose(unit, 30 / 80, atol=2e-6 if dtype == "f4" else 1e-7)


@settings(max_examples=100, deadline=None)
@given(
    dtype=st.sampled_from(["u1", "i1", "u2", "i2", "i4", "u4", "f4", "f8"]),
    scale=st.floats(1e-4, 10),
    offset=st.floats(-1e4, 1e4),
    seed=st.integers(0, 1000),
    transform=st.sampled_from(["none", "log", "dbz"]),
)
def test_numbers_in_0_to_1_are_those_of_float64_rounded_once(
    dtype: str, scale: float, offset: float, seed: int, transform: Transform
) -> None:
    made = conversion(Channel("x", "", scale, offset), (0.0, 500.0), dtype, (), "clip", transform)
    limits = np.iinfo(dtype) if dtype[0] in "ui" else None
    low, high = (limits.min, limits.max) if limits else (-1e5, 1e5)
    values = np.random.default_rng(seed).uniform(low, high, (1, 1, 50)).astype(dtype)
    physical = scale * values.astype(np.float64) + offset
    expected = made.scaling.curves[0].to_unit(physical).astype(np.float32)
    unit, mask = made.to_unit(values)
    np.testing.assert_array_equal(unit, expected)
    assert mask.all()


def test_large_integers_lose_nothing_without_a_scale_either() -> None:
    # 2^30 + 100 in float32 is 2^30 + 128
    made = conversion(Channel(), (2.0**30, 2.0**30 + 200), "i4")
    assert units(made, frame(2**30 + 100, dtype="i4"))[0] == [0.5]


def test_a_missing_value_is_zero_and_false_in_the_mask() -> None:
    made = conversion(Channel(), (0.0, 200.0), "u1", (254.0, 255.0))
    found = units(made, frame(0, 100, 254, 255, dtype="u1"))
    assert found == ([0, 0.5, 0, 0], [True, True, False, False])


def test_missing_is_what_the_file_says_and_what_params_say() -> None:
    made = conversion(Channel("x", "", 0.5, -32.0, missing=(255.0,)), (-32.0, 96.0), "u1", (95.0,))
    # 95 is the physical value of 254, which params name; 255 is the stored number of the file
    assert units(made, frame(253, 254, 255, dtype="u1"))[1] == [True, False, False]


def test_a_missing_value_is_found_by_its_decimals() -> None:
    # case B1: -32767 x 0.0003 + 280.1 is 270.2699
    made = conversion(Channel("x", "K", 0.0003, 280.1), (260.0, 300.0), "i2", (270.2699,))
    assert units(made, frame(-32768, -32767, -32766, dtype="i2"))[1] == [True, False, True]


@pytest.mark.parametrize("mark", [-999.9, 1e20, 0.1])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_a_missing_value_is_found_in_any_precision(mark: float, dtype: str) -> None:
    # -999.9 in float32 is -999.9000244140625
    values = frame(0.5, mark, dtype=dtype)
    for channel, params in ((Channel(), (mark,)), (Channel(missing=(mark,)), ())):
        made = conversion(channel, (0.0, 1.0), dtype, params)
        assert made.is_missing(values).ravel().tolist() == [False, True]


@pytest.mark.parametrize("missing", [(), (1.7e308,)])
def test_a_number_too_large_for_float32_warns_of_nothing(missing: tuple[float, ...]) -> None:
    unit, _ = units(conversion(Channel(), (0.0, 1.0), "f8", missing), frame(1.7e308, dtype="f8"))
    assert unit == [0 if missing else 1]


def test_nan_is_missing_if_it_is_listed() -> None:
    made = conversion(Channel(), (0.0, 2.0), "f4", (NAN,))
    assert units(made, frame(NAN, 1, dtype="f4")) == ([0, 0.5], [False, True])


def test_channels_are_converted_each_by_its_own_rule_along_any_axis() -> None:
    scaling = Scaling(((200.0, 320.0), (0.0, 0.03)), ("none", "none"))
    channels = (Channel("t", "K", 0.5, 200.0), Channel("q", "kg/kg", 0.001, 0.0, missing=(9.0,)))
    made = Conversion(scaling, channels, np.dtype(np.uint8))
    frames = np.array([[[60, 9]], [[15, 9]]], np.uint8)
    unit, mask = made.to_unit(frames)
    np.testing.assert_allclose(unit, [[[0.25, 4.5 / 120]], [[0.5, 0]]], rtol=1e-6)
    assert mask.tolist() == [[[True, True]], [[True, False]]]
    last, mask_last = made.to_unit(np.ascontiguousarray(np.moveaxis(frames, 0, -1)), axis=-1)
    np.testing.assert_array_equal(np.moveaxis(last, -1, 0), unit)
    np.testing.assert_array_equal(np.moveaxis(mask_last, -1, 0), mask)


@pytest.mark.parametrize("bad", [-1.0, 300.0, NAN, np.inf])
def test_a_value_out_of_range_is_an_error_that_names_it(bad: float) -> None:
    made = conversion(Channel(), (0.0, 255.0), "f4")
    with pytest.raises(BadInput, match=r"here: .* lies outside value_range \[0, 255\]"):
        made.check(frame(1, bad, dtype="f4"), where="here")


def test_an_error_names_the_physical_value_its_channel_and_its_unit() -> None:
    made = conversion(ODIM._replace(missing=()), (-10.0, 60.0), "u1")
    with pytest.raises(BadInput, match=r"here: DBZH = 95\.5 dBZ lies outside value_range"):
        made.check(frame(92, 255, dtype="u1"), where="here")


def test_a_value_that_rounding_puts_outside_is_inside() -> None:
    # 0.1 x 3 is 0.30000000000000004 in float64
    made = conversion(Channel("x", "", 0.1), (0.0, 0.3), "u1")
    made.check(frame(3, dtype="u1"), where="here")
    assert not made.outside(frame(3, dtype="u1")).any()


def test_clipping_takes_the_nearer_end() -> None:
    made = conversion(Channel(), (0.0, 10.0), "f8", (), "clip")
    made.check(frame(-5, 20, dtype="f8"), where="here")
    assert units(made, frame(-5, 20, dtype="f8")) == ([0, 1], [True] * 2)


def test_nan_cannot_be_clipped() -> None:
    made = conversion(Channel(), (0.0, 10.0), "f8", (), "clip")
    with pytest.raises(BadInput, match=r"here: nan lies outside.*NaN cannot be clipped"):
        made.check(frame(30, NAN, dtype="f8"), where="here")


@pytest.mark.parametrize("missing_value", [(), (255.0,), (-1.0, 3.5, NAN)])
@pytest.mark.parametrize(
    ("channel", "dtype"),
    [(Channel(), "u1"), (Channel(), "i4"), (Channel("x", "", 0.5, -2.0), "u2"), (Channel(), "f8")],
)
def test_a_value_out_of_range_can_become_missing_whatever_marks_there_are(
    channel: Channel, dtype: str, missing_value: tuple[float, ...]
) -> None:
    # -2, 4 and 10 are inside [-2, 10], 10.5 and 125.5 are not; with a scale those are 0 to 255
    made = conversion(channel, (-2.0, 10.0), dtype, missing_value, "missing")
    values = frame(4, 10, 25, 255, dtype=dtype)
    if channel.name:
        values = frame(12, 24, 25, 255, dtype=dtype)
    made.check(values, where="here")
    assert units(made, values) == ([0.5, 1, 0, 0], [True, True, False, False])
    assert made.is_missing(values).ravel().tolist() == [False, False, True, True]
    assert made.above(values, [4.0]).ravel().tolist() == [False, True, False, False]


def test_nan_and_infinity_are_out_of_range_and_can_become_missing() -> None:
    made = conversion(Channel(), (0.0, 10.0), "f4", (), "missing")
    values = frame(5, NAN, np.inf, -np.inf, dtype="f4")
    made.check(values, where="here")
    assert units(made, values) == ([0.5, 0, 0, 0], [True, False, False, False])


@pytest.mark.parametrize("out_of_range", ["error", "clip"])
def test_otherwise_a_value_out_of_range_is_measured(out_of_range: OutOfRange) -> None:
    made = conversion(Channel(), (0.0, 10.0), "u1", (), out_of_range)
    assert made.is_missing(frame(5, 24, dtype="u1")).ravel().tolist() == [False, False]


def test_physical_values_return_to_the_numbers_of_the_input() -> None:
    made = conversion(ODIM, (-10.0, 60.0), "u1")
    # 14.2 dBZ is nearest to 92, the low end stands for no echo
    values = frame(14.2, -10, 60, dtype="f4")
    assert made.to_stored(values).ravel().tolist() == [92, 0, 184]


@pytest.mark.parametrize(
    ("value", "dtype", "stored"),
    [
        (3.5, "u1", 4),
        (4.5, "u1", 4),
        (-7, "u1", 0),
        (300, "u1", 255),
        (70_000, "u2", 65_535),
        (-40_000, "i2", -32_768),
        (0.25, "f4", 0.25),
        (3e9, "i4", 2**31 - 1),
    ],
)
def test_integers_are_rounded_and_kept_in_their_range(
    value: float, dtype: str, stored: float
) -> None:
    made = conversion(Channel(), (-1e9, 1e10), dtype)
    result = made.to_stored(frame(value, dtype="f4"))
    assert (result.item(), result.dtype) == (stored, np.dtype(dtype))


def test_a_forecast_never_becomes_a_number_that_means_missing() -> None:
    made = conversion(Channel(missing=(0.0, 1.0, 254.0, 255.0)), (0.0, 255.0), "u1")
    values = frame(0, 0.9, 2, 253, 254, 255, dtype="f4")
    assert made.to_stored(values).ravel().tolist() == [2, 2, 2, 253, 253, 253]


@settings(max_examples=100, deadline=None)
@given(
    dtype=st.sampled_from(["u1", "i1", "u2", "i2", "i4"]),
    scale=st.sampled_from([0.01, 0.5, -0.25, 3.0]),
    offset=st.sampled_from([0.0, -32.0, 273.15]),
    seed=st.integers(0, 1000),
)
def test_stored_numbers_come_back(dtype: str, scale: float, offset: float, seed: int) -> None:
    limits = np.iinfo(dtype)
    stored = np.random.default_rng(seed).integers(
        max(limits.min, -30_000), min(limits.max, 30_000), (1, 1, 40), dtype
    )
    made = conversion(Channel("x", "", scale, offset), (-1e6, 1e6), dtype)
    np.testing.assert_array_equal(made.to_stored(made.physical(stored)), stored)


@pytest.mark.parametrize(("scale", "offset"), [(0.0, 1.0), (NAN, 0.0), (1.0, np.inf)])
def test_a_scale_that_makes_no_values_is_refused(scale: float, offset: float) -> None:
    with pytest.raises(BadInput, match="set apply_scale to false"):
        conversion(Channel("x", "", scale, offset), (0.0, 1.0), "u1")
