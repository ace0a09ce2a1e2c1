"""Each channel has a range and a curve; params name one for all, or one for each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.forecast.params import Forecast
from convlstm.patch.params import Patch
from convlstm.patch.scaling import Scaling, ranges_fit_float32
from convlstm.runtime.errors import BadInput
from tests.builders import faults_of, params_of

RANGES = ((200.0, 320.0), (0.0, 0.03))


def test_each_channel_has_its_own_range() -> None:
    unit = np.full((2, 2, 1, 3), 0.5, np.float32)
    values = Scaling(RANGES, ("none", "none")).from_unit(unit)
    np.testing.assert_allclose(values[:, 0], 260)  # 200 + 120 / 2
    np.testing.assert_allclose(values[:, 1], 0.015)


def test_one_range_and_one_transform_hold_for_all_channels() -> None:
    one = params_of(Patch, value_range=[0, 60], transform="dbz")
    assert one.scaling(2) == Scaling(((0.0, 60.0),) * 2, ("dbz", "dbz"))
    several = params_of(Patch, value_range=[[200, 320], [0, 0.03]], transform=["none", "log"])
    assert several.scaling(2) == Scaling(RANGES, ("none", "log"))


def test_a_range_that_was_found_stands_in_for_null() -> None:
    params = params_of(Patch, value_range=None)
    assert params.scaling(2, RANGES) == Scaling(RANGES, ("none",) * 2)


def test_more_ranges_than_channels_are_refused() -> None:
    with pytest.raises(BadInput, match=r"value_range: 2 are given, but frames have 3 channel"):
        params_of(Patch, value_range=[[200, 320], [0, 0.03]]).scaling(3)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"value_range": [[0, 1], [2, 1]]}, "value_range = [2, 1]: the first number must be"),
        ({"value_range": [[0, 1], [2]]}, "value_range = [[0, 1], [2]]: number 2 "),
        ({"value_range": [-1, 1], "transform": "log"}, "value_range = [-1, 1]: transform = log"),
        ({"value_range": [[0, 1]] * 3, "transform": ["log"] * 2}, "transform = ['log', 'log']: "),
        ({"transform": "ln"}, "transform = 'ln': number 1 should be 'none', 'log' or 'dbz'"),
    ],
)
def test_ranges_and_transforms_that_do_not_fit_are_one_line(
    changes: dict[str, object], line: str
) -> None:
    (fault,) = faults_of(Patch, **changes)
    assert fault.startswith(f"here: {line}")


FLOAT32 = "float32, in which all is calculated,"


@pytest.mark.parametrize(
    ("value_range", "why"),
    [
        ([0, 1e39], "ends at 3.4e+38; "),
        ([-3e38, 3e38], "ends at 3.4e+38; "),  # its width does
        ([1e9, 1e9 + 1], "has steps of 64 there; "),  # 2^30 is above, and 2^(29 - 23) = 64
        ([-1e9 - 1, -1e9], "has steps of 64 there; "),
        ([16777216, 16777300], "has steps of 2 there; "),  # 84 is less than 255 * 2
        ([0, 1e-46], "has steps of 1.4e-45 there; "),
    ],
)
def test_a_range_in_which_float32_tells_few_numbers_apart_is_one_line(
    value_range: list[float], why: str
) -> None:
    (fault,) = faults_of(Patch, value_range=value_range)
    low, high = map(float, value_range)
    assert fault.startswith(f"here: value_range = [{low!r}, {high!r}]: {FLOAT32} {why}")
    with pytest.raises(BadInput, match="float32, in which all is calculated"):
        params_of(Patch, value_range=None).scaling(1, ((low, high),))


@given(st.floats(-1e30, 1e30), st.floats(1e-30, 1e30))
def test_a_range_that_is_taken_keeps_numbers_apart(low: float, width: float) -> None:
    """Of 128 even steps none is the same number as the one before."""
    high = low + width
    if high > low and ranges_fit_float32([low, high]) is None:
        steps = np.linspace(low, high, 128).astype(np.float32)
        assert np.isfinite(steps).all()
        assert (np.diff(steps) > 0).all()


@pytest.mark.parametrize(
    "value_range", [[0, 255], [200, 320], [0, 3e38], [100000, 110000], [0, 1e-9]]
)
def test_usual_ranges_are_taken(value_range: list[float]) -> None:
    params_of(Patch, value_range=value_range)


def test_a_forecast_needs_the_range_of_training() -> None:
    assert faults_of(Forecast, value_range=None) == ["here: value_range = None: must be given"]
