"""Charts show the numbers of their tables."""

from pathlib import Path

import numpy as np
import pandas as pd

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
BY_LEAD = pd.DataFrame({"lead": [1, 2], **{name: [1.0, 2.0] for name in SCORES}})
BASELINES = pd.concat(
    [
        BY_LEAD.assign(forecaster=name, mse=[k, k + 1])
        for k, name in ((5, "zeros"), (3, "persistence"))
    ]
)


def test_the_six_curves_are_the_reports() -> None:
    charts = figures.training_curves(TRAINING)
    assert list(charts) == ["loss", "valid_loss", "ssim", "psnr", "fmae", "sharpness"]
    columns = ["train_mse", *(f"valid_{name}" for name in ("mse", "ssim", "psnr", "fmae"))]
    for chart, column in zip(charts.values(), [*columns, "valid_sharpness"], strict=True):
        (line,) = chart.axes[0].lines
        np.testing.assert_array_equal(line.get_xdata(), TRAINING["epoch"])
        np.testing.assert_array_equal(line.get_ydata(), TRAINING[column])


def test_lead_time_shows_the_model_beside_what_it_must_beat() -> None:
    chart = figures.lead_times(BY_LEAD, BASELINES)
    lines = {str(line.get_label()): line for line in chart.axes[0].lines}
    assert list(lines) == ["model", "zeros", "persistence"]
    np.testing.assert_array_equal(lines["zeros"].get_ydata(), [5, 6])
    np.testing.assert_array_equal(lines["persistence"].get_ydata(), [3, 4])
    sharpness = [str(line.get_label()) for line in chart.axes[4].lines]
    assert "truth" in sharpness


def test_a_chart_is_the_same_bytes_twice(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        figures.save(tmp_path / name, figures.lead_times(BY_LEAD, BASELINES))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
