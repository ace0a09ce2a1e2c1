"""Experiments stand in the order of a score, with what was changed and what each forecasts."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from convlstm.plot import comparison
from convlstm.plot.comparison import Experiment
from convlstm.storage.meaning import Quantity

TRUTH = np.zeros((3, 1, 8, 9), np.float32)
CURVE = pd.DataFrame({"lead": [1, 2], "model": [3.0, 4.0], "advection": [5.0, 6.0]})


def experiment(name: str, scores: dict[str, float], **params: Any) -> Experiment:
    """Return an experiment with one curve, whose forecast is the truth."""
    return Experiment(name, scores, {"seed": 0, **params}, {"mse_by_lead": CURVE}, TRUTH)


@pytest.mark.parametrize(
    ("score", "order"),
    [("mse", "abc"), ("csi", "cba"), ("spread", "bac"), ("vs_adv", "abc")],
)
def test_the_best_experiment_comes_first(score: str, order: str) -> None:
    """CSI is better the higher, the spread near 1; where a score is missing, the order stays."""
    found = [
        experiment("c", {"mse": 3.0, "csi": 0.9, "spread": 0.5}),
        experiment("a", {"mse": 1.0, "csi": 0.1, "spread": 1.2, "vs_adv": 0.1}),
        experiment("b", {"mse": 2.0, "csi": 0.5, "spread": 1.1, "vs_adv": 0.0}),
    ]
    assert "".join(own.name for own in comparison.by_score(found, score)) == order


def test_of_several_channels_the_first_one_decides() -> None:
    found = [
        experiment("a", {"rain.mse": 2.0, "rain.csi": 0.5, "t.mse": 9.0}),
        experiment("b", {"rain.mse": 1.0, "t.mse": 10.0}),
    ]
    assert [own.name for own in comparison.by_score(found, "mse")] == ["b", "a"]


def test_the_page_shows_scores_and_the_params_that_differ() -> None:
    found = [
        experiment("one", {"mse": 325.82}, lr=0.01, hidden_channels=[16]),
        experiment("<b>two", {"mse": 400.0, "csi": 0.5}, lr=0.02, hidden_channels=[16]),
    ]
    text = comparison.text(found, TRUTH, Quantity(value_range=(0.0, 1.0)), "a & b")
    cells = [re.findall(r"<t[hd]>([^<]*)</t[hd]>", row) for row in text.split("<tr>")[1:]]
    assert cells == [
        ["experiment", "mse", "csi", "lr"],
        ["one", "325.8", "-", "0.01"],
        ["&lt;b&gt;two", "400", "0.5", "0.02"],
    ]
    assert "a &amp; b" in text
    assert text.count('src="data:image/png;base64,') == 2


def test_what_no_experiment_changes_is_drawn_once() -> None:
    found = [experiment("one", {}), experiment("two", {})]
    axes = comparison.curves(found).axes[0]
    assert [line.get_label() for line in axes.lines] == ["advection", "one", "two"]
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [3, 4])
