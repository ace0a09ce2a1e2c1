"""Scores of probabilities from their frequencies, by hand."""

import numpy as np
import pytest

from convlstm.scores.probability import Frequencies, scores


def test_scores_by_hand() -> None:
    found = scores(np.array([[[1.0, 2, 2], [0, 1, 1]]]))
    # errors 0; 1/2 twice; 0 and 1 of 5 pixels
    assert found["brier"] == pytest.approx([(0 + 0.25 + 0.25 + 0 + 1) / 5])
    # events at 1/2 and 1, others at 0, 1/2 and 1: 1 + 1/2 + 0 and 1 + 1 + 1/2 of 6 pairs
    assert found["roc_area"] == pytest.approx([4 / 6])


def test_probabilities_are_shares_of_members() -> None:
    f = Frequencies(np.zeros((3, 5)), np.zeros((3, 5)))
    assert f.probabilities.tolist() == [0, 0.25, 0.5, 0.75, 1]
