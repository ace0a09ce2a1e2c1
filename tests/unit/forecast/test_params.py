"""A forecast is asked how frames are read and scaled, and nothing of how a network is trained."""

import pytest

from convlstm.forecast.params import Ensemble, Forecast
from convlstm.ingest.params import Reading
from convlstm.params import loading
from convlstm.patch.scaling import Scaling, Values
from convlstm.runtime.errors import BadInput
from tests.builders import faults_of, params_of


def test_the_keys_are_those_of_reading_and_scaling() -> None:
    assert set(Forecast.model_fields) == {*Reading.model_fields, *Values.model_fields}


def test_the_rules_are_those_of_reading_and_scaling() -> None:
    assert sorted(faults_of(Forecast, raw_axes="T", value_range=[2, 1])) == [
        "here: raw_axes = 'T': must name each axis once, with H and W among N T C H W",
        "here: value_range = [2, 1]: the first number must be the smaller one",
    ]


def test_the_scaling_is_the_one_that_the_params_name() -> None:
    params = params_of(Forecast, value_range=(-1.0, 1.0), missing_value=9, out_of_range="clip")
    assert params.scaling(1) == Scaling(((-1.0, 1.0),), ("none",), (9.0,), "clip")


ASKED = {"members": 24, "seed": 0, "thresholds": [25, 64.5], "quantiles": [0, 0.5, 1]}


def test_an_ensemble_is_asked_for_by_numbers_and_lists() -> None:
    wanted = loading.check(ASKED, Ensemble, where="here")
    assert (wanted.members, wanted.thresholds, wanted.quantiles) == (24, (25, 64.5), (0, 0.5, 1))
    wanted.check_range([(25.0, 64.5)])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"members": 0}, "members = 0: should be greater than or equal to 1"),
        ({"seed": -1}, "seed = -1: should be greater than or equal to 0"),
        ({"quantiles": [0.1, 1.5]}, "quantiles = [0.1, 1.5]: number 2 should be less than or"),
        ({"quantiles": [0.5, 0.1]}, "quantiles = [0.5, 0.1]: must ascend, each number once"),
        ({"thresholds": [25, 25]}, "thresholds = [25, 25]: must ascend, each number once"),
        ({"thresholds": ["x"]}, "thresholds = ['x']: number 1 should be a valid number"),
        (
            {"members": 1, "thresholds": []},
            "quantiles = [0, 0.5, 1]: is of an ensemble; give members too, such as --members 24",
        ),
        ({"members": 1, "seed": 2, "thresholds": [], "quantiles": []}, "seed = 2: is of an ens"),
    ],
)
def test_what_cannot_be_said_of_an_ensemble_is_refused(
    changes: dict[str, object], line: str
) -> None:
    with pytest.raises(BadInput) as raised:
        loading.check({**ASKED, **changes}, Ensemble, where="here")
    (printed,) = str(raised.value).splitlines()
    assert printed.startswith(f"here: {line}")


@pytest.mark.parametrize("value_range", [(25.5, 65.0), (0.0, 64.0)])
def test_a_threshold_that_no_forecast_can_reach_is_refused(
    value_range: tuple[float, float],
) -> None:
    with pytest.raises(BadInput, match="lies outside value_range"):
        loading.check(ASKED, Ensemble, where="here").check_range([value_range])
