"""A forecast is asked how frames are read and scaled, and nothing of how a network is trained."""

from convlstm.forecast.params import Forecast
from convlstm.ingest.params import Reading
from convlstm.patch.scaling import Scaling, Values
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
    assert params.scaling() == Scaling((-1.0, 1.0), (9.0,), "clip")
