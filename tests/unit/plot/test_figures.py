"""Charts show the numbers of their tables."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from convlstm.plot import figures
from convlstm.scores import totals

TRAINING = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "sampling_probability": [1.0, 1.0, 1.0],
        "train_mse": [9.0, 5.0, 4.0],
        "valid_mse": [8.0, 6.0, 7.0],
        "valid_ssim": [0.1, 0.2, 0.3],
        "valid_psnr": [20.0, 21.0, 22.0],
        "valid_fmae": [3.0, 2.0, 1.0],
        "valid_sharpness": [10.0, 11.0, 12.0],
    }
)
SCORES = ["mse", "fmae", "ssim", "psnr", "sharpness", "bias", "correlation"]
SCORES += ["spectral_ratio_small", "spectral_ratio_medium", "truth_sharpness"]
SHOWN = ["MSE", "FMAE", "SSIM", "PSNR", "sharpness", "bias", "correlation", "power", "power"]


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


@functools.cache
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


@pytest.mark.parametrize(("panel", "column"), list(enumerate(SCORES[:9])))
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


def test_the_switch_of_the_sampling_is_marked() -> None:
    table = TRAINING.assign(sampling_probability=[0.9, 0.4, 0.0])
    for chart in figures.training_curves(table).values():
        (switch,) = [line for line in chart.axes[0].lines if line.get_label() == "sampling switch"]
        assert list(np.unique(switch.get_xdata())) == [2]  # the first epoch below a half


EVENTS = pd.DataFrame(
    [
        # at 1: hits 6 of 8 events, 2 of 8 alarms false; the second lead counts too
        ("model", 1.0, 1, 4, 1, 2, 9),
        ("model", 1.0, 2, 2, 1, 0, 9),
        ("model", 5.0, 1, 1, 3, 1, 9),
        ("zeros", 1.0, 1, 0, 8, 0, 9),
        ("zeros", 5.0, 1, 0, 4, 0, 9),
    ],
    columns=["forecaster", "threshold", "lead", *totals.EVENTS],
)


def test_performance_pools_over_leads() -> None:
    axes = figures.performance(EVENTS).axes[0]
    points = {str(line.get_label()): line for line in axes.lines}
    # success ratio 6/8 and 1/2, detection 6/8 and 1/4
    np.testing.assert_allclose(np.asarray(points["model"].get_xdata(), float), [0.75, 0.5])
    np.testing.assert_allclose(np.asarray(points["model"].get_ydata(), float), [0.75, 0.25])
    assert np.isnan(np.asarray(points["zeros"].get_xdata(), float)).all()  # it raised no alarm
    assert [text.get_text() for text in axes.texts if text.get_text() in ("1", "5")] == ["1", "5"]


def test_skill_by_scale_is_the_mean_over_leads() -> None:
    rows = [
        ("model", 1.0, scale, lead, scale / 10 + lead / 100) for scale in (1, 4) for lead in (1, 3)
    ]
    table = pd.DataFrame(rows, columns=["forecaster", "threshold", "scale", "lead", "fss"])
    (line,) = figures.scale_skill(table).axes[0].lines
    np.testing.assert_array_equal(line.get_xdata(), [1, 4])
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), [0.12, 0.42])


def test_spectra_show_each_lead_and_leave_out_what_has_no_power() -> None:
    rows = [
        (name, lead, length, power * lead)
        for lead in (1, 5)
        for name, power in (("truth", 2.0), ("model", 1.0), ("zeros", 0.0))
        for length in (16.0, 8.0)
    ]
    table = pd.DataFrame(rows, columns=["forecaster", "lead", "wavelength_pixels", "power"])
    panels = figures.spectra(table).axes
    assert [panel.get_title() for panel in panels] == ["lead 1", "lead 5"]
    lines = {str(line.get_label()): line for line in panels[1].lines}
    assert list(lines) == ["truth", "model"]
    np.testing.assert_array_equal(lines["truth"].get_ydata(), [10, 10])


def test_sharpness_is_drawn_against_the_truths() -> None:
    lines = figures.sharpness(FORECASTERS["model"], BASELINES).axes[0].lines
    points = {str(line.get_label()): line for line in lines}
    for name, table in FORECASTERS.items():
        np.testing.assert_array_equal(points[name].get_xdata(), table["truth_sharpness"])
        np.testing.assert_array_equal(points[name].get_ydata(), table["sharpness"])


def test_means_are_over_leads_and_undefined_where_one_is() -> None:
    table = FORECASTERS["model"].assign(ssim=[0.5, float("nan")])
    means = figures.means(table, BASELINES)
    assert list(means) == ["model", "zeros", "persistence"]
    assert means["model"]["mse"] == 0.5
    assert np.isnan(means["model"]["ssim"])
    assert set(means["zeros"]) == set(SCORES)


@pytest.mark.slow
@pytest.mark.parametrize(
    "draw", [lead_times.__wrapped__, lambda: figures.training_curves(TRAINING)["loss"]]
)
def test_a_chart_is_the_same_bytes_twice(tmp_path: Path, draw: Callable[[], Figure]) -> None:
    for name in ("a.png", "b.png"):
        figures.save(tmp_path / name, draw())
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
