"""Scores of events from their 2 x 2 tables, by hand."""

import numpy as np
import pytest

from convlstm.scores.categorical import scores as scores_of


def test_scores_by_hand() -> None:
    found = {key: float(value[0]) for key, value in scores_of(np.array([[2.0, 1, 1, 1]])).items()}
    # csi 2/4, pod 2/3, far 1/3, bias 3/3; chance (3*3 + 2*2)/5 = 2.6, hss (3 - 2.6)/(5 - 2.6)
    assert found == pytest.approx(
        {"csi": 0.5, "pod": 2 / 3, "far": 1 / 3, "hss": 1 / 6, "frequency_bias": 1}
    )


def test_scores_do_not_take_misses_for_false_alarms() -> None:
    found = {key: float(value[0]) for key, value in scores_of(np.array([[6.0, 2, 4, 8]])).items()}
    # chance (8*10 + 12*10)/20 = 10, hss (14 - 10)/(20 - 10)
    assert found == pytest.approx(
        {"csi": 6 / 12, "pod": 6 / 8, "far": 4 / 10, "hss": 0.4, "frequency_bias": 10 / 8}
    )
