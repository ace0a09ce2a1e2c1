"""Charts show the numbers of their tables."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from convlstm import figures

TRAINING = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "train_mse": [9.0, 5.0, 4.0],
        "valid_mse": [8.0, 6.0, 7.0],
        "valid_ssim": [0.1, 0.2, 0.3],
        "valid_psnr": [20.0, 21.0, 22.0],
        "valid_fmae": [3.0, 2.0, 1.0],
        "valid_sharpness": [10.0, 11.0, 12.0],
    }
)
SCORES = ["mse", "fmae", "ssim", "psnr", "sharpness", "truth_sharpness"]
SHOWN = ["MSE", "FMAE", "SSIM", "PSNR", "sharpness"]


def scores_from(first: float) -> pd.DataFrame:
    """Two lead times; no number stands in two columns."""
    columns = {name: [first + 10 * k, first + 10 * k + 1] for k, name in enumerate(SCORES)}
    return pd.DataFrame({"lead": [1, 2], **columns})


FORECASTERS = {
    "model": scores_from(0.0),
    "zeros": scores_from(100.0),
    "persistence": scores_from(200.0),
}
BASELINES = pd.concat(
    [FORECASTERS[name].assign(forecaster=name) for name in ("zeros", "persistence")]
)


def lead_times() -> Figure:
    return figures.lead_times(FORECASTERS["model"], BASELINES)


def test_the_six_curves_are_the_reports() -> None:
    charts = figures.training_curves(TRAINING)
    assert list(charts) == ["loss", "valid_loss", "ssim", "psnr", "fmae", "sharpness"]
    columns = ["train_mse", *(f"valid_{name}" for name in ("mse", "ssim", "psnr", "fmae"))]
    for chart, column in zip(charts.values(), [*columns, "valid_sharpness"], strict=True):
        (line,) = chart.axes[0].lines
        np.testing.assert_array_equal(line.get_xdata(), TRAINING["epoch"])
        np.testing.assert_array_equal(line.get_ydata(), TRAINING[column])


@pytest.mark.parametrize(
    ("name", "score", "line"),
    [
        ("loss", "MSE", "training, all next frames"),
        ("valid_loss", "MSE", "validation"),
        ("ssim", "SSIM", "validation"),
        ("psnr", "PSNR", "validation"),
        ("fmae", "FMAE", "validation"),
        ("sharpness", "sharpness", "validation"),
    ],
)
def test_a_curve_says_what_it_shows(name: str, score: str, line: str) -> None:
    (axes,) = figures.training_curves(TRAINING)[name].axes
    assert axes.get_xlabel() == "epoch"
    assert axes.get_ylabel().split()[0] == score
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [line]


@pytest.mark.parametrize(("panel", "column"), list(enumerate(SCORES[:5])))
def test_lead_time_shows_the_model_beside_what_it_must_beat(panel: int, column: str) -> None:
    lines = {str(line.get_label()): line for line in lead_times().axes[panel].lines}
    assert list(lines) == [*FORECASTERS, *(["truth"] if column == "sharpness" else [])]
    for name, table in FORECASTERS.items():
        np.testing.assert_array_equal(lines[name].get_xdata(), [1, 2])
        np.testing.assert_array_equal(lines[name].get_ydata(), table[column])


def test_sharpness_stands_beside_the_truths() -> None:
    (truth,) = [line for line in lead_times().axes[4].lines if line.get_label() == "truth"]
    np.testing.assert_array_equal(truth.get_xdata(), [1, 2])
    np.testing.assert_array_equal(truth.get_ydata(), FORECASTERS["model"]["truth_sharpness"])


@pytest.mark.parametrize(("panel", "score"), list(enumerate(SHOWN)))
def test_a_panel_says_what_it_shows(panel: int, score: str) -> None:
    axes = lead_times().axes[panel]
    assert axes.get_xlabel() == "lead time (frames)"
    assert axes.get_ylabel().split()[0] == score
    assert axes.get_legend() is not None


@pytest.mark.parametrize("draw", [lead_times, lambda: figures.training_curves(TRAINING)["loss"]])
def test_a_chart_is_the_same_bytes_twice(tmp_path: Path, draw: Callable[[], Figure]) -> None:
    for name in ("a.png", "b.png"):
        figures.save(tmp_path / name, draw())
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
