"""The fractions skill score of sums, by hand."""

import numpy as np

from convlstm.scores.spatial import scores as scores_of


def test_the_score_of_sums_by_hand() -> None:
    sums = np.array([[3.0, 6, 7], [0, 2, 2], [4, 3, 1], [0, 0, 0]])
    np.testing.assert_array_equal(scores_of(sums)["fss"], [1 - 3 / 13, 1, 0, np.nan])
