"""Each channel has a range and a curve; params name one for all, or one for each."""

import numpy as np
import pytest

from convlstm.forecast.params import Forecast
from convlstm.patch.params import Patch
from convlstm.patch.scaling import Scaling
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


def test_a_forecast_needs_the_range_of_training() -> None:
    assert faults_of(Forecast, value_range=None) == ["here: value_range = None: must be given"]
