"""An entry says which of two values is better; an undefined ratio is NaN."""

import math

import numpy as np
import pytest

from convlstm.scores.score import Better, Score, ratio


def score_with(better: Better | None) -> Score:
    return Score("x", "X", "", better, "a meaning", "a source", lambda: 0.0)


@pytest.mark.parametrize(
    ("better", "from_best_to_worst"),
    [
        ("low", [-2.0, 0.0, 1.0, 5.0]),
        ("high", [5.0, 1.0, 0.0, -2.0]),
        ("near 0", [0.0, -0.5, 1.0, -2.0]),
        ("near 1", [1.0, 1.5, 0.0, -1.0, 4.0]),
        ("near the truth's", [7.0, 6.5, 8.0, 1.0, 20.0]),
    ],
)
def test_badness_grows_from_the_best_value_to_the_worst(
    better: Better, from_best_to_worst: list[float]
) -> None:
    row = {"truth_x": 7.0}
    badness = [score_with(better).badness(value, row) for value in from_best_to_worst]
    assert badness == sorted(badness)
    assert len(set(badness)) == len(badness)


@pytest.mark.parametrize(
    ("better", "one", "other"),
    [("near 0", -2.0, 2.0), ("near 1", 0.5, 1.5), ("near the truth's", 6.0, 8.0)],
)
def test_two_values_as_far_from_the_best_are_equally_bad(
    better: Better, one: float, other: float
) -> None:
    row, score = {"truth_x": 7.0}, score_with(better)
    assert score.badness(one, row) == score.badness(other, row)


def test_of_a_value_that_is_no_score_none_is_worse() -> None:
    assert {score_with(None).badness(value, {}) for value in (-3.0, 0.0, 9.0)} == {0.0}


@pytest.mark.parametrize("better", ["low", "high", "near 0", "near 1"])
def test_only_a_score_beside_the_truths_needs_the_truth(better: Better) -> None:
    assert math.isfinite(score_with(better).badness(2.0, {}))
    with pytest.raises(KeyError, match="truth_x"):
        score_with("near the truth's").badness(2.0, {})


def test_a_ratio_is_undefined_where_nothing_is_divided_by() -> None:
    found = ratio(np.array([[1.0, 0.0], [3.0, -1.0]]), np.array([[2.0, 0.0], [0.0, 4.0]]))
    np.testing.assert_array_equal(found, [[0.5, np.nan], [np.nan, -0.25]])
