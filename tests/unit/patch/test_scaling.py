"""Data units become [0, 1] and return; missing or outlying values are never cast in silence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.patch.scaling import Scaling
from convlstm.runtime.errors import BadInput


def test_the_ends_of_the_range_become_0_and_1() -> None:
    values = np.array([-10, 0, 30], np.int16)
    unit, mask = Scaling((-10.0, 30.0)).to_unit(values)
    np.testing.assert_array_equal(unit, np.array([0, 0.25, 1], np.float32))  # 10 / 40 = 0.25
    assert mask.all()


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2"])
def test_the_range_of_a_type_becomes_0_to_1(dtype: str) -> None:
    limits = np.iinfo(dtype)
    values = np.arange(limits.min, limits.max + 1).astype(dtype)
    unit, _ = Scaling((float(limits.min), float(limits.max))).to_unit(values)
    np.testing.assert_allclose(unit, np.linspace(0, 1, len(values)), atol=1e-7)
    assert unit.min() == 0
    assert unit.max() == 1


@pytest.mark.parametrize("span", [(0.0, 254.0), (1.0, 255.0), (-1.0, 255.0), (0.0, 256.0)])
def test_near_the_range_of_a_type_values_are_clipped_too(span: tuple[float, float]) -> None:
    values = np.arange(256).astype(np.uint8)
    unit, _ = Scaling(span).to_unit(values)
    np.testing.assert_allclose(unit, np.interp(values, span, (0, 1)), atol=1e-7)


@settings(max_examples=60, deadline=None)
@given(
    low=st.floats(-1000, 1000, width=32),
    width=st.floats(0.125, 1000, width=32),
    places=st.lists(st.floats(0, 1, width=32), min_size=1),
)
def test_values_come_back_from_the_unit_range(
    low: float, width: float, places: list[float]
) -> None:
    scaling = Scaling((low, low + width))
    values = (low + width * np.array(places)).astype(np.float32)
    unit, _ = scaling.to_unit(values)
    back = scaling.from_unit(unit)
    np.testing.assert_allclose(back, values, rtol=0, atol=1e-6 * (abs(low) + width))


def test_a_missing_value_is_zero_and_false_in_the_mask() -> None:
    values = np.array([0, 100, 254, 255], np.uint8)
    unit, mask = Scaling((0.0, 200.0), (254.0, 255.0)).to_unit(values)
    np.testing.assert_array_equal(unit, np.array([0, 0.5, 0, 0], np.float32))
    np.testing.assert_array_equal(mask, [True, True, False, False])


@pytest.mark.parametrize("mark", [-999.9, 1e20, 0.1])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_a_missing_value_is_found_in_any_precision(mark: float, dtype: str) -> None:
    # -999.9 in float32 is -999.9000244140625
    with np.errstate(over="ignore"):
        values = np.array([0.5, mark]).astype(dtype)
    assert Scaling((0.0, 1.0), (mark,)).is_missing(values).tolist() == [False, True]


@pytest.mark.parametrize("missing", [(), (1.7e308,)])
def test_a_number_too_large_for_float32_warns_of_nothing(missing: tuple[float, ...]) -> None:
    unit, _ = Scaling((0.0, 1.0), missing).to_unit(np.array([1.7e308]))
    assert unit.tolist() == [0 if missing else 1]


def test_nan_is_missing_if_it_is_listed() -> None:
    values = np.array([np.nan, 1.0], np.float32)
    unit, mask = Scaling((0.0, 2.0), (float("nan"),)).to_unit(values)
    np.testing.assert_array_equal(unit, np.array([0, 0.5], np.float32))
    np.testing.assert_array_equal(mask, [False, True])


@pytest.mark.parametrize("bad", [-1.0, 300.0, np.nan, np.inf])
def test_a_value_out_of_range_is_an_error_that_names_it(bad: float) -> None:
    values = np.array([1.0, bad], np.float32)
    with pytest.raises(BadInput, match=r"here: .* lies outside value_range \[0, 255\]"):
        Scaling((0.0, 255.0)).check(values, where="here")


def test_clipping_takes_the_nearer_end() -> None:
    scaling = Scaling((0.0, 10.0), out_of_range="clip")
    unit, mask = scaling.to_unit(scaling.check(np.array([-5.0, 20.0]), where="here"))
    np.testing.assert_array_equal(unit, np.array([0, 1], np.float32))
    assert mask.all()


def test_nan_cannot_be_clipped() -> None:
    with pytest.raises(BadInput, match=r"here: nan lies outside.*NaN cannot be clipped"):
        Scaling((0.0, 10.0), out_of_range="clip").check(np.array([30, np.nan]), where="here")


def test_a_value_out_of_range_can_become_missing() -> None:
    scaling = Scaling((0.0, 10.0), (255.0,), out_of_range="missing")
    checked = scaling.check(np.array([5, 20, 255], np.uint8), where="here")
    np.testing.assert_array_equal(checked, np.array([5, 255, 255], np.uint8))


@pytest.mark.parametrize("mark", [-1.0, 256.0, 3.5, float("nan")])
def test_bytes_cannot_hold_every_missing_mark(mark: float) -> None:
    # a bare cast would make 255 of -1, a value like any other
    with pytest.raises(BadInput, match="that uint8 can hold"):
        Scaling((0.0, 10.0), (mark,), out_of_range="missing").check(
            np.array([20], np.uint8), where="here"
        )
