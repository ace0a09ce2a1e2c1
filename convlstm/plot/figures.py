"""Charts of the tables; nothing here knows a model or defines a score."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convlstm.plot.page import Scored
from convlstm.scores import categorical, families
from convlstm.scores.score import Score

# Colours of Okabe and Ito, which the colour-blind can tell apart; in grey, the lines tell.
STYLES: Mapping[str, Mapping[str, Any]] = {
    "model": {"color": "#0072B2", "linewidth": 2.5},
    "pm_mean": {"color": "#56B4E9", "linewidth": 2},
    "member": {"color": "#E69F00", "linestyle": (0, (3, 1))},
    "persistence": {"color": "#D55E00", "linestyle": "--"},
    "advection": {"color": "#009E73", "linestyle": "-."},
    "smoothed": {"color": "#009E73", "linestyle": (0, (8, 2))},  # the twin of advection
    "climatology": {"color": "#CC79A7", "linestyle": (0, (5, 1, 1, 1, 1, 1))},
    "zeros": {"color": "0.5", "linestyle": ":"},
    "truth": {"color": "black", "linewidth": 1},
}
MARKERS = {
    "model": "o",
    "pm_mean": "v",
    "member": "P",
    "persistence": "s",
    "advection": "^",
    "smoothed": "<",
    "climatology": "D",
    "zeros": "x",
}
LEGEND_INCHES = 1.45  # of the width of a figure, for each of its lines
COLUMNS = 4  # of panels in the chart of all scores
NEAR_1_TOP = 2.5  # of their axes; what is further off would press the others together

VALIDATION_CURVES = {
    "valid_loss": "mse",
    "ssim": "ssim",
    "psnr": "psnr",
    "fmae": "fmae",
    "sharpness": "sharpness",
}
"""The report's names of its validation curves, and the score that each one shows."""


def all_of(
    tables: Mapping[str, pd.DataFrame], params: Mapping[str, Any], units: Sequence[str] = ("",)
) -> dict[str, tuple[str, Figure]]:
    """Return every chart with its caption, by name, in the order of the page.

    Args:
        tables: the CSVs by name.
        params: of the run.
        units: of each channel; empty, if it is not known.
    """
    found: dict[str, tuple[str, Figure]] = {}
    channels = zip(by_channel(tables), units, strict=True)
    for number, ((label, own), unit) in enumerate(channels, start=1):
        end, of_what = (f"_{number}" if number > 1 else ""), (f", {label}" if label else "")
        charts = of_channel(own, unit).items()
        found |= {f"{name}{end}": (caption + of_what, chart) for name, (caption, chart) in charts}
    curves = training_curves(tables["training"], params)
    return found | {name: (f"Training: {name}", curve) for name, curve in curves.items()}


def by_channel(
    tables: Mapping[str, pd.DataFrame],
) -> Iterator[tuple[str, dict[str, pd.DataFrame]]]:
    """Yield the tables of each channel by its name, which is empty if there is only one."""
    if "channel" not in tables["by_lead"]:
        yield "", dict(tables)
        return
    for label in tables["by_lead"]["channel"].unique():
        yield (
            str(label),
            {
                name: table[table["channel"] == label].drop(columns="channel")
                for name, table in tables.items()
                if "channel" in table
            },
        )


def of_channel(tables: Mapping[str, pd.DataFrame], unit: str = "") -> dict[str, tuple[str, Figure]]:
    """Return the charts of the scores of one channel with their captions, by name."""
    by_lead, baselines = tables["by_lead"], tables["baselines"]
    charts = {
        "lead_time": ("Scores against lead time", lead_times(by_lead, baselines, unit)),
        "performance": (
            "Events found against alarms that were right; up and to the right is better",
            performance(tables["by_threshold"], unit),
        ),
        "reliability": (
            "Events that came true against their forecast probability; right is the diagonal",
            reliability(tables["reliability"], unit),
        ),
        "scale_skill": ("Fractions skill score by scale", scale_skill(tables["by_scale"], unit)),
        "spectra": ("Power by wavelength: below the truth is blurred", spectra(tables["spectrum"])),
        "sharpness_by_truth": (
            "Sharpness against the truth's, a point per lead time",
            sharpness(by_lead, baselines),
        ),
    }
    if tables["ranks"]["rank"].max() > 1:
        charts["rank_histogram"] = (
            "Rank of the truth among the members; right is each as frequent",
            rank_histogram(tables["ranks"]),
        )
    return charts


def means(by_lead: pd.DataFrame, baselines: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return for each forecaster the mean over lead times of each column; NaN if one is NaN."""
    return {
        name: table.drop(columns=["lead", "forecaster"], errors="ignore")
        .mean(skipna=False)
        .to_dict()
        for name, table in _forecasters(by_lead, baselines)
    }


def means_of_events(
    by_threshold: pd.DataFrame,
) -> dict[float, tuple[int, dict[str, dict[str, float]]]]:
    """Return for each threshold the number of events, and for each forecaster the mean scores.

    They are over the lead times at which they are defined.
    """
    found = {}
    for threshold, table in by_threshold.groupby("threshold"):
        own = {str(name): rows for name, rows in table.groupby("forecaster", sort=False)}
        keys = [score.key for score in families.BY_THRESHOLD]
        means = {name: rows[keys].mean().to_dict() for name, rows in own.items()}
        found[float(threshold)] = int(own["model"]["events"].sum()), means
    return found


def scored(tables: Mapping[str, pd.DataFrame], units: Sequence[str]) -> list[Scored]:
    """Return the scores of each channel from the tables of evaluate."""
    return [
        Scored(
            label,
            means(own["by_lead"], own["baselines"]),
            means_of_events(own["by_threshold"]),
            unit,
        )
        for (label, own), unit in zip(by_channel(tables), units, strict=True)
    ]


def training_curves(table: pd.DataFrame, params: Mapping[str, Any]) -> dict[str, Figure]:
    """Return the report's six curves of training.csv against the epoch, by name.

    With the readout `frame` a line marks the first epoch in which the network saw fewer true frames
    than its own; other readouts see none after the context.

    Args:
        table: training.csv.
        params: of the run, which say what the loss is.
    """
    scores = {score.key: score for score in families.BY_LEAD}
    frames = "all next frames" if params["readout"] == "frame" else "forecast frames"
    loss = f"{params['loss'].upper()}, the loss (sum over pixels)"
    table = table if params["readout"] == "frame" else table.assign(sampling_probability=0.0)
    training = _curve(table, "train_loss", f"training, {frames}", loss)
    validation = {
        name: _curve(table, f"valid_{key}", "validation", _with_unit(scores[key]))
        for name, key in VALIDATION_CURVES.items()
    }
    return {"loss": training, **validation}


def _curve(table: pd.DataFrame, column: str, label: str, quantity: str) -> Figure:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(table["epoch"], table[column], label=label, marker=".")
    switched = table["epoch"][table["sampling_probability"] < 0.5]
    if 0 < len(switched) < len(table):
        axes.axvline(switched.iloc[0], color="0.4", linestyle="--", label="sampling switch")
    _label(axes, "epoch", quantity)
    axes.legend(fontsize=8)
    return figure


def lead_times(by_lead: pd.DataFrame, baselines: pd.DataFrame, unit: str = "") -> Figure:
    """Draw a panel per score: its value against lead time, one line for each forecaster.

    A score that no forecaster has, as the spread where there is no ensemble, gets none. Where 1 is
    right the axis ends at `NEAR_1_TOP`.
    """
    everyone = pd.concat([by_lead, baselines])
    drawn = [
        score
        for score in families.BY_LEAD
        if score.better is not None and everyone[score.key].notna().any()
    ]
    rows = -(-len(drawn) // COLUMNS)
    figure = Figure(figsize=(14, 3.3 * rows), layout="constrained")
    panels = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    for axes, score in zip(panels, drawn, strict=False):
        for name, table in _forecasters(by_lead, baselines):
            axes.plot(table["lead"], table[score.key], label=name, **STYLES[name])
        if score.better == "near the truth's":
            truth = by_lead[f"truth_{score.key}"]
            axes.plot(by_lead["lead"], truth, label="truth", **STYLES["truth"])
        if score.better == "near 1":
            axes.set_ylim(top=min(axes.get_ylim()[1], NEAR_1_TOP))
        _label(axes, "lead time (frames)", _with_unit(score, unit))
        axes.set_title(f"better: {score.better}", fontsize=8, loc="right")
    for axes in panels[len(drawn) :]:
        axes.set_axis_off()
    _one_legend(figure, panels)
    return figure


def performance(by_threshold: pd.DataFrame, unit: str = "") -> Figure:
    """Draw Roebber's diagram (2009, doi:10.1175/2008WAF2222159.1): POD against 1 - FAR.

    It has a point for each forecaster and threshold, over all lead times, and lines of equal CSI;
    the upper right corner is perfect.
    """
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    ratio, found = np.meshgrid(np.linspace(0.01, 1, 100), np.linspace(0.01, 1, 100))
    csi = 1 / (1 / ratio + 1 / found - 1)
    lines = axes.contour(ratio, found, csi, np.arange(0.1, 1, 0.1), colors="0.8", linewidths=1)
    axes.clabel(lines, fmt="CSI %.1f", fontsize=7)
    for name, table in by_threshold.groupby("forecaster", sort=False):
        sums = table.groupby("threshold")[list(categorical.COUNTS)].sum()
        scores = categorical.scores(sums.to_numpy(float))
        ratio, found = 1 - scores["far"], scores["pod"]
        style: dict[str, Any] = {"color": STYLES[str(name)]["color"], "marker": MARKERS[str(name)]}
        axes.plot(ratio, found, label=name, linewidth=0.8, **style)
        for limit, x, y in zip(sums.index, ratio, found, strict=True):
            if np.isfinite(x + y):
                axes.annotate(f"{limit:g}", (x, y), (4, 4), textcoords="offset points", fontsize=7)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    events = (sums["hits"] + sums["misses"]).items()
    axes.set_title(", ".join(_events(limit, count, unit) for limit, count in events), fontsize=8)
    _label(axes, "success ratio (1 - FAR)", "probability of detection")
    axes.legend(fontsize=8)
    return figure


def reliability(table: pd.DataFrame, unit: str = "") -> Figure:
    """Draw a panel per threshold: the share of events against their forecast probability.

    It has a point for each forecaster and probability, over all lead times, and below it how often
    each was forecast. Right is the diagonal; the dotted line is the share of events in all pixels.
    """
    thresholds = table["threshold"].unique()
    figure = Figure(figsize=(4 * len(thresholds), 5.5), layout="constrained")
    grid = figure.subplots(2, len(thresholds), squeeze=False, sharex=True, height_ratios=(3, 1))
    for (axes, below), threshold in zip(grid.T, thresholds, strict=True):
        at_threshold = table[table["threshold"] == threshold]
        for name, rows in at_threshold.groupby("forecaster", sort=False):
            sums = rows.groupby("probability")[["forecasts", "events"]].sum()
            style = {**STYLES[str(name)], "marker": MARKERS[str(name)], "markersize": 4}
            axes.plot(sums.index, sums["events"] / sums["forecasts"], label=name, **style)
            below.plot(sums.index, sums["forecasts"].where(sums["forecasts"] > 0), **style)
        events, pixels = sums["events"].sum(), sums["forecasts"].sum()
        axes.axline((0, 0), slope=1, color="black", linewidth=0.8)
        axes.axhline(events / pixels, color="0.5", linestyle=":", linewidth=0.8)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        axes.set_title(_events(threshold, events, unit), fontsize=10)
        below.set_yscale("log")
        _label(axes, "", "share of events")
        _label(below, "forecast probability", "forecasts")
    _one_legend(figure, grid[0])
    return figure


def rank_histogram(ranks: pd.DataFrame) -> Figure:
    """Draw how frequent each rank of the truth is: bars over all lead times, a line for drawn ones.

    Right is the dashed line. Forecasters of one member have no panel.
    """
    largest = ranks.groupby("forecaster", sort=False)["rank"].max()
    figure, panels = _row_of_panels(len(largest[largest > 1]))
    for axes, name in zip(panels, largest.index[largest > 1], strict=True):
        own = ranks[ranks["forecaster"] == name]
        pixels = own.pivot(index="rank", columns="lead", values="pixels")
        whole = pixels.sum(axis=1)
        style = {"color": STYLES[name]["color"], "alpha": 0.5}
        axes.bar(whole.index, whole / whole.sum(), label="all lead times", **style)
        for lead, line in zip((pixels.columns[0], pixels.columns[-1]), ("-", ":"), strict=True):
            of_lead = pixels[lead] / pixels[lead].sum()
            axes.plot(of_lead, color="black", linestyle=line, marker=".", label=f"lead {lead}")
        axes.axhline(1 / len(pixels), color="0.4", linestyle="--")
        axes.set_title(name)
        _label(axes, "members below the truth", "share of pixels")
    _one_legend(figure, panels)
    return figure


def scale_skill(by_scale: pd.DataFrame, unit: str = "") -> Figure:
    """Draw a panel per threshold: fractions skill score against scale, mean over lead times."""
    thresholds = by_scale["threshold"].unique()
    figure, panels = _row_of_panels(len(thresholds))
    for axes, threshold in zip(panels, thresholds, strict=True):
        at_threshold = by_scale[by_scale["threshold"] == threshold]
        for name, table in at_threshold.groupby("forecaster", sort=False):
            by_one = table.groupby("scale")
            means = by_one["fss"].mean()
            axes.plot(means.index, means, label=name, marker=".", **STYLES[str(name)])
        axes.set(ylim=(-0.02, 1.02), title=_events(threshold, by_one["events"].sum().iloc[0], unit))
        _label(axes, "scale (pixels)", "FSS")
    _one_legend(figure, panels)
    return figure


def spectra(spectrum: pd.DataFrame) -> Figure:
    """Draw a panel per drawn lead time: power against wavelength; below the truth is blurred."""
    leads = spectrum["lead"].unique()
    figure, panels = _row_of_panels(len(leads))
    for axes, lead in zip(panels, leads, strict=True):
        at_lead = spectrum[(spectrum["lead"] == lead) & (spectrum["power"] > 0)]
        for name, table in at_lead.groupby("forecaster", sort=False):
            axes.plot(table["wavelength_pixels"], table["power"], label=name, **STYLES[str(name)])
        axes.set(xscale="log", yscale="log", title=f"lead {lead}")
        axes.invert_xaxis()
        _label(axes, "wavelength (pixels)", "power")
    _one_legend(figure, panels)
    return figure


def sharpness(by_lead: pd.DataFrame, baselines: pd.DataFrame) -> Figure:
    """Draw the sharpness of forecasts against the truth's, a point per lead time."""
    figure = Figure(figsize=(5.5, 5), layout="constrained")
    axes = figure.subplots()
    for name, table in _forecasters(by_lead, baselines):
        style: dict[str, Any] = {"color": STYLES[name]["color"], "marker": MARKERS[name]}
        axes.plot(table["truth_sharpness"], table["sharpness"], label=name, linestyle="", **style)
    axes.axline((0, 0), slope=1, color="black", linewidth=0.8)
    axes.set(xlim=(0, 260), ylim=(-5, 260))
    _label(axes, "sharpness of the truth", "sharpness of the forecast")
    axes.legend(fontsize=8)
    return figure


def _forecasters(
    by_lead: pd.DataFrame, baselines: pd.DataFrame
) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "model", by_lead
    for name, table in baselines.groupby("forecaster", sort=False):
        yield str(name), table


def _events(threshold: Any, count: Any, unit: str) -> str:
    return f"{count:,.0f} events of at least {threshold:g}{' ' if unit else ''}{unit}"


def _row_of_panels(count: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(4 * count, 4), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False).flat)


def _with_unit(score: Score, unit: str = "") -> str:
    """Return the label of an axis; `unit` stands in for data units, if it is known."""
    shown = unit if unit and score.unit == "data units" else score.unit
    return f"{score.label} ({shown})" if shown else score.label


def _label(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.3)


def _one_legend(figure: Figure, panels: Iterable[Axes]) -> None:
    """Put one legend of all lines below the panels."""
    lines: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            lines.setdefault(label, handle)
    columns = max(1, int(figure.get_figwidth() / LEGEND_INCHES))
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=columns)
