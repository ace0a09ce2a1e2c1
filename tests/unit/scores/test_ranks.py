"""The deviation of a rank histogram from a flat one, by hand."""

import numpy as np

from convlstm.scores import ranks


def test_the_deviation_by_hand() -> None:
    counts = np.array([[2.0, 2, 2, 2], [8, 0, 0, 0], [3, 1, 1, 3], [0, 0, 0, 0]])
    # 3/4 too much and three times 1/4 too little; four times 1/8
    np.testing.assert_array_equal(ranks.rank_deviation(counts), [0, 1.5, 0.5, np.nan])
