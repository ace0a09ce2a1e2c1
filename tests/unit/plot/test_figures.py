"""Charts show the numbers of their tables."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from convlstm.plot import figures, pictures
from convlstm.scores import families
from convlstm.scores.categorical import COUNTS
from tests.builders import REPORT

TRAINING = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "sampling_probability": [1.0, 1.0, 1.0],
        "train_loss": [9.0, 5.0, 4.0],
        "valid_mse": [8.0, 6.0, 7.0],
        "valid_ssim": [0.1, 0.2, 0.3],
        "valid_psnr": [20.0, 21.0, 22.0],
        "valid_fmae": [3.0, 2.0, 1.0],
        "valid_sharpness": [10.0, 11.0, 12.0],
    }
)
KEYS = [score.key for score in families.BY_LEAD]
DRAWN = [score for score in families.BY_LEAD if score.better is not None]


def scores_from(first: float) -> pd.DataFrame:
    """Two lead times; no number stands in two columns."""
    columns = {name: [first + 2 * k, first + 2 * k + 1] for k, name in enumerate(KEYS)}
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
    charts = figures.training_curves(TRAINING, REPORT)
    assert list(charts) == ["loss", "valid_loss", "ssim", "psnr", "fmae", "sharpness"]
    columns = ["train_loss", *(f"valid_{name}" for name in ("mse", "ssim", "psnr", "fmae"))]
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
    (axes,) = figures.training_curves(TRAINING, REPORT)[name].axes
    assert axes.get_xlabel() == "epoch"
    assert axes.get_ylabel().replace(",", "").split()[0] == score
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [line]


def panel_of(key: str) -> Axes:
    """The panel of one score in the chart of all."""
    return lead_times().axes[[score.key for score in DRAWN].index(key)]


def test_every_score_that_can_be_better_or_worse_has_a_panel() -> None:
    panels = [axes for axes in lead_times().axes if axes.lines]
    assert [axes.get_ylabel() for axes in panels] == [
        f"{score.label} ({score.unit})" if score.unit else score.label for score in DRAWN
    ]
    assert len(panels) == len(KEYS) - 1  # all but the sharpness of the truth
    assert all(axes.axison == bool(axes.lines) for axes in lead_times().axes)


def test_a_score_that_no_forecaster_has_gets_no_panel() -> None:
    model, others = (
        table.assign(spread_skill=float("nan")) for table in (FORECASTERS["model"], BASELINES)
    )
    labels = [axes.get_ylabel() for axes in figures.lead_times(model, others).axes if axes.lines]
    assert "spread / skill" not in labels
    assert len(labels) == len(DRAWN) - 1


@pytest.mark.parametrize("key", [score.key for score in DRAWN])
def test_lead_time_shows_the_model_beside_what_it_must_beat(key: str) -> None:
    lines = {str(line.get_label()): line for line in panel_of(key).lines}
    assert list(lines) == [*FORECASTERS, *(["truth"] if key == "sharpness" else [])]
    for name, table in FORECASTERS.items():
        np.testing.assert_array_equal(lines[name].get_xdata(), [1, 2])
        np.testing.assert_array_equal(lines[name].get_ydata(), table[key])


def test_sharpness_stands_beside_the_truths() -> None:
    (truth,) = [line for line in panel_of("sharpness").lines if line.get_label() == "truth"]
    np.testing.assert_array_equal(truth.get_xdata(), [1, 2])
    np.testing.assert_array_equal(truth.get_ydata(), FORECASTERS["model"]["truth_sharpness"])


@pytest.mark.parametrize(
    ("key", "name", "better"),
    [
        ("mse", "MSE", "low"),
        ("fmae", "FMAE", "low"),
        ("ssim", "SSIM", "high"),
        ("psnr", "PSNR", "high"),
        ("sharpness", "sharpness", "near the truth's"),
        ("bias", "bias", "near 0"),
        ("correlation", "correlation", "high"),
        ("spectral_ratio_small", "power 2-8 pixels", "near 1"),
        ("spectral_ratio_medium", "power 8-32 pixels", "near 1"),
    ],
)
def test_a_panel_says_what_it_shows(key: str, name: str, better: str) -> None:
    axes = panel_of(key)
    assert axes.get_xlabel() == "lead time (frames)"
    assert axes.get_ylabel().split(" (")[0] == name
    assert axes.get_title(loc="right") == f"better: {better}"


def test_the_switch_of_the_sampling_is_marked() -> None:
    table = TRAINING.assign(sampling_probability=[0.9, 0.4, 0.0])
    for chart in figures.training_curves(table, REPORT).values():
        (switch,) = [line for line in chart.axes[0].lines if line.get_label() == "sampling switch"]
        assert list(np.unique(switch.get_xdata())) == [2]  # the first epoch below a half


def test_the_curves_of_an_ensemble_name_its_loss_and_no_sampling() -> None:
    table = TRAINING.assign(sampling_probability=[0.9, 0.4, 0.0])
    charts = figures.training_curves(table, {"readout": "cascade", "loss": "crps"})
    (axes,) = charts["loss"].axes
    assert axes.get_ylabel() == "CRPS, the loss (sum over pixels)"
    assert [line.get_label() for line in axes.lines] == ["training, forecast frames"]


EVENTS = pd.DataFrame(
    [
        # at 1: hits 6 of 8 events, 2 of 8 alarms false; the second lead counts too
        ("model", 1.0, 1, 4, 1, 2, 9),
        ("model", 1.0, 2, 2, 1, 0, 9),
        ("model", 5.0, 1, 1, 3, 1, 9),
        ("zeros", 1.0, 1, 0, 8, 0, 9),
        ("zeros", 5.0, 1, 0, 4, 0, 9),
    ],
    columns=["forecaster", "threshold", "lead", *COUNTS],
)


def test_performance_pools_over_leads() -> None:
    axes = figures.performance(EVENTS).axes[0]
    points = {str(line.get_label()): line for line in axes.lines}
    # success ratio 6/8 and 1/2, detection 6/8 and 1/4
    np.testing.assert_allclose(np.asarray(points["model"].get_xdata(), float), [0.75, 0.5])
    np.testing.assert_allclose(np.asarray(points["model"].get_ydata(), float), [0.75, 0.25])
    assert np.isnan(np.asarray(points["zeros"].get_xdata(), float)).all()  # it raised no alarm
    assert axes.get_title() == "8 events of at least 1, 4 events of at least 5"
    assert [text.get_text() for text in axes.texts if text.get_text() in ("1", "5")] == ["1", "5"]


SCALES = pd.DataFrame(
    [
        (name, limit, scale, lead, 900 * lead, scale / 10 + lead / 100)
        for limit in (1.0, 5.0)
        for name in ("model", "zeros")
        for scale in (1, 4)
        for lead in (1, 3)
    ],
    columns=["forecaster", "threshold", "scale", "lead", "events", "fss"],
)
SPECTRUM = pd.DataFrame(
    [
        (name, lead, length, power * lead)
        for lead in (1, 5)
        for name, power in (("truth", 2.0), ("model", 1.0), ("zeros", 0.0))
        for length in (16.0, 8.0)
    ],
    columns=["forecaster", "lead", "wavelength_pixels", "power"],
)


def test_skill_by_scale_is_the_mean_over_leads() -> None:
    panels = figures.scale_skill(SCALES).axes
    assert [panel.get_title() for panel in panels] == [
        "3,600 events of at least 1",
        "3,600 events of at least 5",
    ]
    line, _ = panels[0].lines
    np.testing.assert_array_equal(line.get_xdata(), [1, 4])
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), [0.12, 0.42])


def test_spectra_show_each_lead_and_leave_out_what_has_no_power() -> None:
    panels = figures.spectra(SPECTRUM).axes
    assert [panel.get_title() for panel in panels] == ["lead 1", "lead 5"]
    lines = {str(line.get_label()): line for line in panels[1].lines}
    assert list(lines) == ["truth", "model"]
    np.testing.assert_array_equal(lines["truth"].get_ydata(), [10, 10])


RELIABILITY = pd.DataFrame(
    [
        # at 1: 0 of 40, 5 of 8 and 4 of 4 came true; at 5 nothing is forecast to be sure
        ("model", 1.0, 1, 0.0, 30, 0),
        ("model", 1.0, 1, 0.5, 6, 4),
        ("model", 1.0, 1, 1.0, 4, 4),
        ("model", 1.0, 2, 0.0, 10, 0),
        ("model", 1.0, 2, 0.5, 2, 1),
        ("model", 1.0, 2, 1.0, 0, 0),
        ("zeros", 1.0, 1, 0.0, 52, 9),
        ("zeros", 1.0, 1, 1.0, 0, 0),
        ("model", 5.0, 1, 0.0, 50, 1),
        ("model", 5.0, 1, 0.5, 2, 1),
        ("model", 5.0, 1, 1.0, 0, 0),
    ],
    columns=["forecaster", "threshold", "lead", "probability", "forecasts", "events"],
)
RANKS = pd.DataFrame(
    [
        *(("model", 1, rank, pixels) for rank, pixels in enumerate((1.0, 2.0, 5.0))),
        *(("model", 3, rank, pixels) for rank, pixels in enumerate((4.0, 2.0, 2.0))),
        *(("zeros", 1, rank, 4.0) for rank in (0, 1)),
    ],
    columns=["forecaster", "lead", "rank", "pixels"],
)


def test_reliability_is_the_share_of_forecasts_that_came_true_over_all_leads() -> None:
    at_1, at_5, often, _ = figures.reliability(RELIABILITY).axes
    assert at_1.get_title() == "9 events of at least 1"
    assert at_5.get_title() == "2 events of at least 5"
    lines = {str(line.get_label()): line for line in at_1.lines}
    np.testing.assert_array_equal(lines["model"].get_xdata(), [0, 0.5, 1])
    np.testing.assert_array_equal(lines["model"].get_ydata(), [0, 5 / 8, 1])
    np.testing.assert_array_equal(lines["zeros"].get_ydata(), [9 / 52, np.nan])
    model, zeros = often.lines
    np.testing.assert_array_equal(model.get_ydata(), [40, 8, 4])
    np.testing.assert_array_equal(zeros.get_ydata(), [52, np.nan])  # a log axis has no 0


def test_the_share_of_all_events_is_a_line_across() -> None:
    for axes, share in zip(figures.reliability(RELIABILITY).axes, (9 / 52, 2 / 52), strict=False):
        across = [line for line in axes.lines if line.get_linestyle() == ":"]
        assert [list(np.asarray(line.get_ydata())) for line in across][-1] == [share] * 2


def test_the_rank_histogram_shows_ensembles_alone_over_all_leads_and_at_the_ends() -> None:
    (axes,) = figures.rank_histogram(RANKS).axes
    assert axes.get_title() == "model"
    heights = [patch.get_height() for patch in axes.patches if isinstance(patch, Rectangle)]
    assert heights == [5 / 16, 4 / 16, 7 / 16]
    first, last, right = axes.lines
    np.testing.assert_array_equal(first.get_ydata(), [1 / 8, 2 / 8, 5 / 8])
    np.testing.assert_array_equal(last.get_ydata(), [4 / 8, 2 / 8, 2 / 8])
    assert set(np.asarray(right.get_ydata())) == {1 / 3}


def test_means_of_events_leave_out_what_is_undefined_and_add_up_the_events() -> None:
    keys = [score.key for score in families.BY_THRESHOLD]
    table = pd.DataFrame(
        [
            {"forecaster": name, "threshold": limit, "events": events, **dict.fromkeys(keys, value)}
            for limit, name, events, value in (
                *((1.0, "model", 3, 0.5), (1.0, "model", 4, 0.25), (5.0, "model", 2, 0.5)),
                *((1.0, "zeros", 3, 0.0), (1.0, "zeros", 4, float("nan"))),
                *((5.0, "model", 0, float("nan")), (5.0, "zeros", 2, 0.0)),
            )
        ]
    )
    assert figures.means_of_events(table) == {
        1.0: (7, {"model": dict.fromkeys(keys, 0.375), "zeros": dict.fromkeys(keys, 0.0)}),
        5.0: (2, {"model": dict.fromkeys(keys, 0.5), "zeros": dict.fromkeys(keys, 0.0)}),
    }


def test_a_legend_is_no_wider_than_its_figure() -> None:
    everyone = [RELIABILITY.assign(forecaster=name) for name in figures.MARKERS]
    table = pd.concat(everyone)
    for shown in (table, table[table["threshold"] == 1]):  # two panels, one panel
        figure = figures.reliability(shown)
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1


def test_where_1_is_right_no_baseline_presses_the_others_together() -> None:
    tops = {score.key: panel_of(score.key).get_ylim()[1] for score in DRAWN}
    near_1 = {score.key for score in DRAWN if score.better == "near 1"}
    assert {key for key, top in tops.items() if top == figures.NEAR_1_TOP} == near_1
    close = FORECASTERS["model"].assign(dot_grid=[0.5, 1.5])
    figure = figures.lead_times(close, BASELINES.assign(dot_grid=1.0))
    (panel,) = [axes for axes in figure.axes if axes.get_ylabel().startswith("dot grid")]
    assert panel.get_ylim()[1] < 2


@pytest.mark.parametrize(
    ("draw", "names"),
    [
        (lambda: figures.reliability(RELIABILITY), ["model", "zeros"]),
        (lead_times, ["model", "zeros", "persistence", "truth"]),
        (lambda: figures.scale_skill(SCALES), ["model", "zeros"]),
        (lambda: figures.spectra(SPECTRUM), ["truth", "model"]),
    ],
    ids=["reliability", "lead_times", "scale_skill", "spectra"],
)
def test_a_figure_of_several_panels_has_one_legend_of_all_lines(
    draw: Callable[[], Figure], names: list[str]
) -> None:
    figure = draw()
    assert all(axes.get_legend() is None for axes in figure.axes)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == names
    colours = {line.get_label(): line.get_color() for axes in figure.axes for line in axes.lines}
    for handle, name in zip(legend.get_lines(), names, strict=True):
        assert handle.get_color() == colours[name]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.performance(EVENTS),
        lambda: figures.sharpness(FORECASTERS["model"], BASELINES),
        lambda: figures.training_curves(TRAINING, REPORT)["loss"],
    ],
    ids=["performance", "sharpness", "loss"],
)
def test_a_figure_of_one_panel_has_its_legend_in_it(draw: Callable[[], Figure]) -> None:
    figure = draw()
    assert not figure.legends
    (axes,) = figure.axes
    assert axes.get_legend() is not None


def test_all_charts_come_in_the_order_of_the_page_each_with_a_caption() -> None:
    tables = {
        "training": TRAINING,
        "by_lead": FORECASTERS["model"],
        "baselines": BASELINES,
        "by_threshold": EVENTS,
        "by_scale": SCALES,
        "spectrum": SPECTRUM,
        "reliability": RELIABILITY,
        "ranks": RANKS,
    }
    charts = figures.all_of(tables, REPORT)
    assert list(charts) == [
        *("lead_time", "performance", "reliability", "scale_skill", "spectra"),
        *("sharpness_by_truth", "rank_histogram"),
        *("loss", "valid_loss", "ssim", "psnr", "fmae", "sharpness"),
    ]
    captions = [caption for caption, _ in charts.values()]
    assert all(captions)
    assert len(set(captions)) == len(captions)
    assert charts["valid_loss"][0] == "Training: valid_loss"
    tables["ranks"] = RANKS[RANKS["forecaster"] == "zeros"]
    assert set(charts) - set(figures.all_of(tables, REPORT)) == {"rank_histogram"}


def test_every_baseline_has_a_style_and_a_marker_of_its_own() -> None:
    styles = [str(sorted(style.items(), key=str)) for style in figures.STYLES.values()]
    assert len(set(styles)) == len(styles)
    assert len(set(figures.MARKERS.values())) == len(figures.MARKERS)
    assert set(figures.STYLES) - {"truth"} == set(figures.MARKERS)


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
    assert set(means["zeros"]) == set(KEYS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "draw", [lead_times.__wrapped__, lambda: figures.training_curves(TRAINING, REPORT)["loss"]]
)
def test_a_chart_is_the_same_bytes_twice(tmp_path: Path, draw: Callable[[], Figure]) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(pictures.png(draw()))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
