"""Params of the evaluate stage that would be scored without a meaning are refused."""

import pytest
from pydantic import ValidationError

from convlstm.evaluate.params import Evaluate
from tests.builders import params_of


@pytest.mark.parametrize(
    "changes",
    [
        {"thresholds": None},
        {"thresholds": [0.5, 12]},
        {"thresholds": [-32.0]},  # a value range may lie below 0
        {"fss_scales": [1]},
        {"sample_windows": 1},
    ],
    ids=str,
)
def test_values_that_can_be_scored_are_taken(changes: dict[str, object]) -> None:
    params = params_of(Evaluate, **changes)
    for key, value in changes.items():
        assert getattr(params, key) == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(
    "changes",
    [
        {"thresholds": []},
        {"thresholds": [float("nan")]},
        {"thresholds": [float("inf")]},
        {"thresholds": 0.5},
        {"thresholds": ["0.5"]},
        {"fss_scales": []},
        {"fss_scales": [0]},
        {"fss_scales": [1, 2.5]},
        {"fss_scales": None},
        {"sample_windows": 0},
        {"sample_windows": 1.5},
        {"sample_windows": True},
        {"sample_window": 3},
    ],
    ids=str,
)
def test_values_without_a_meaning_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(changes))):
        params_of(Evaluate, **changes)


@pytest.mark.parametrize("key", Evaluate.model_fields)
def test_no_key_has_a_default(key: str) -> None:
    values = params_of(Evaluate).model_dump()
    del values[key]
    with pytest.raises(ValidationError, match=key):
        Evaluate.model_validate(values)
