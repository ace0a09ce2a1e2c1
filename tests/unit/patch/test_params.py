"""The shares of a split add up, names are chosen once, and a patch fits into its tile."""

import pytest

from convlstm.patch.params import Patch
from tests.builders import faults_of, params_of


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"value_range": [5, 5]},
            "here: value_range = [5, 5]: the first number must be the smaller one",
        ),
        (
            {"split": [0.5, 0.5, 0.5]},
            "here: split = [0.5, 0.5, 0.5]: the three shares must add up to 1",
        ),
        (
            {"tile_size": 8, "patch_size": 9},
            "here: patch_size = 9: must be at most tile_size = 8",
        ),
        ({"tile_size": 6}, "here: tile_size = 6: should be greater than or equal to 7"),
        (
            {"test_sequences": ["a"]},
            "here: valid_sequences = []: must be named like test_sequences, or leave both empty",
        ),
        (
            {"valid_sequences": ["a"]},
            "here: test_sequences = []: must be named like valid_sequences, or leave both empty",
        ),
        (
            {"test_sequences": ["a", "b"], "valid_sequences": ["a", "c"]},
            "here: test_sequences: ['a'] must not be in valid_sequences too",
        ),
        (
            {"test_sequences": ["a"], "valid_sequences": ["b"], "split_by": "time"},
            "here: split_by = 'time': valid_sequences and test_sequences must be empty",
        ),
    ],
)
def test_params_that_do_not_fit_together_are_refused(changes: dict[str, object], line: str) -> None:
    assert faults_of(Patch, **changes) == [line]


@pytest.mark.parametrize(
    "changes",
    [
        {"split": [0.7, 0.2, 0.1]},  # 0.7 + 0.2 + 0.1 is 0.9999999999999999 in binary
        {"tile_size": 8, "patch_size": 8},
        {"tile_size": None, "patch_size": 99},
        {"test_sequences": ["a"], "valid_sequences": ["b"]},
        {"split_by": "time"},
    ],
)
def test_params_that_just_fit_are_taken(changes: dict[str, object]) -> None:
    params_of(Patch, **changes)


@pytest.mark.parametrize(
    ("given", "read"), [(None, ()), (255, (255.0,)), ([0, 255], (0.0, 255.0)), ([], ())]
)
def test_missing_values_are_none_one_or_several(given: object, read: tuple[float, ...]) -> None:
    assert params_of(Patch, missing_value=given).missing_value == read


def test_nan_can_be_a_missing_value() -> None:
    (value,) = params_of(Patch, missing_value=float("nan")).missing_value
    assert value != value
