"""A curve maps the range of a channel to [0, 1] and back, as by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.patch.curves import Curve, Transform


def test_a_straight_curve_is_linear_and_clips() -> None:
    curve = Curve((-10.0, 30.0))
    unit = curve.to_unit(np.array([-99.0, -10, 0, 30, np.inf]))
    assert unit.tolist() == [0, 0, 0.25, 1, 1]  # 10 / 40 = 0.25
    assert curve.from_unit(np.array([0, 0.25, 1], np.float32)).tolist() == [-10, 0, 30]


def test_dbz_is_the_reflectivity_of_rain_as_by_hand() -> None:
    # Z = 200 R^1.6: 0.0365 mm/h are 0 dBZ; 1 mm/h 23.01 dBZ; 100 mm/h 55.01 dBZ
    curve = Curve((0.0, 100.0), "dbz")
    unit = curve.to_unit(np.array([0.0, 0.02, 1.0, 100.0, 500.0]))
    np.testing.assert_allclose(unit, [0, 0, 23.0103 / 55.0103, 1, 1], rtol=1e-6)


def test_rain_below_the_floor_comes_back_as_the_low_end() -> None:
    curve = Curve((0.0, 100.0), "dbz")
    unit = curve.to_unit(np.array([0.0, 0.03, 0.04]))
    assert curve.from_unit(unit).tolist()[:2] == [0, 0]
    assert curve.from_unit(unit)[2] == pytest.approx(0.04, rel=1e-6)


def test_log_counts_decades_and_0_is_three_below_the_high_end() -> None:
    unit = Curve((0.0, 100.0), "log").to_unit(np.array([0.0, 0.1, 1.0, 10.0, 100.0]))
    np.testing.assert_allclose(unit, [0, 0, 1 / 3, 2 / 3, 1], atol=1e-12)
    unit = Curve((0.01, 100.0), "log").to_unit(np.array([0.0, 0.01, 1.0]))
    np.testing.assert_allclose(unit, [0, 0, 0.5], atol=1e-12)


@pytest.mark.parametrize("transform", ["none", "log", "dbz"])
def test_a_number_reaches_a_threshold_where_its_physical_value_does(transform: Transform) -> None:
    curve = Curve((0.0, 100.0), transform)
    values = np.array([0.0, 0.2, 1.0, 20.0, 100.0])  # none between 0 and the floor
    limits = np.array([-5.0, 0.0, 0.01, 1.0, 20.0, 100.0, 101.0])
    unit = curve.to_unit(values).astype(np.float32)
    reached = unit >= curve.to_thresholds(limits)[:, None]
    assert (reached == (values >= limits[:, None])).all()


@settings(max_examples=200, deadline=None)
@given(
    transform=st.sampled_from(["none", "log", "dbz"]),
    high=st.floats(1, 1000, width=32),
    part=st.floats(0, 1, width=32),
)
def test_a_value_above_the_floor_comes_back_exactly_in_float32(
    transform: Transform, high: float, part: float
) -> None:
    curve = Curve((0.0, high), transform)
    value = np.array([curve.floor + part * (high - curve.floor)], np.float32)
    value = np.clip(value, np.nextafter(np.float32(curve.floor), np.float32(np.inf)), high)
    back = curve.from_unit(curve.to_unit(value.astype(np.float64)))
    if transform == "none" and value == high:
        assert back == np.float32(high)
    np.testing.assert_array_max_ulp(back, value.astype(np.float32), 1)
    rounded = curve.from_unit(curve.to_unit(value.astype(np.float64)).astype(np.float32))
    np.testing.assert_allclose(rounded, value, rtol=2e-6, atol=1e-7 * high)


@pytest.mark.parametrize("transform", ["none", "log", "dbz"])
def test_a_share_is_linear_in_physical_units(transform: Transform) -> None:
    curve = Curve((0.0, 50.0), transform)
    unit = curve.to_unit(np.array([0.0, 10.0, 25.0, 50.0])).astype(np.float32)
    np.testing.assert_allclose(curve.to_share(unit), [0, 0.2, 0.5, 1], atol=1e-6)
    np.testing.assert_allclose(curve.from_share(curve.to_share(unit)), unit, atol=1e-6)


@pytest.mark.parametrize(
    ("pair", "transform", "words"),
    [
        ((-1.0, 5.0), "log", "needs values of at least 0"),
        ((-1.0, 5.0), "dbz", "needs values of at least 0"),
        ((0.0, 0.01), "dbz", "needs a high end above 0.036"),
    ],
)
def test_a_range_without_a_logarithm_has_a_fault(
    pair: tuple[float, float], transform: Transform, words: str
) -> None:
    fault = Curve(pair, transform).fault
    assert fault is not None
    assert words in fault
    assert Curve(pair).fault is None
