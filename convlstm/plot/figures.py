"""Tables in, charts out. Nothing here knows a model or defines a score."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convlstm.scores.totals import EVENTS, event_scores

# colours of Okabe and Ito, told apart by the colour-blind; in grey, the lines tell
STYLES: Mapping[str, Mapping[str, Any]] = {
    "model": {"color": "#0072B2", "linewidth": 2.5},
    "persistence": {"color": "#D55E00", "linestyle": "--"},
    "advection": {"color": "#009E73", "linestyle": "-."},
    "climatology": {"color": "#CC79A7", "linestyle": (0, (5, 1, 1, 1, 1, 1))},
    "zeros": {"color": "0.5", "linestyle": ":"},
    "truth": {"color": "black", "linewidth": 1},
}
MARKERS = {"model": "o", "persistence": "s", "advection": "^", "climatology": "D", "zeros": "x"}
LABELS = {
    "mse": "MSE (sum over pixels)",
    "fmae": "FMAE (sum over pixels)",
    "ssim": "SSIM",
    "psnr": "PSNR (dB)",
    "sharpness": "sharpness (largest |Laplacian|)",
    "bias": "bias (data units)",
    "correlation": "correlation",
    "spectral_ratio_small": "power of 2 to 8 pixels, over truth's",
    "spectral_ratio_medium": "power of 8 to 32 pixels, over truth's",
}
DPI = 100

VALIDATION_CURVES = {
    "valid_loss": "mse",
    "ssim": "ssim",
    "psnr": "psnr",
    "fmae": "fmae",
    "sharpness": "sharpness",
}


def all_of(tables: Mapping[str, pd.DataFrame]) -> dict[str, tuple[str, Figure]]:
    """Every chart with its caption, by name, from the CSVs by name; in the order of a report."""
    by_lead, baselines = tables["by_lead"], tables["baselines"]
    charts = {
        "lead_time": ("Scores against lead time", lead_times(by_lead, baselines)),
        "performance": (
            "Events found against alarms that were right; up and to the right is better",
            performance(tables["by_threshold"]),
        ),
        "scale_skill": ("Fractions skill score by scale", scale_skill(tables["by_scale"])),
        "spectra": ("Power by wavelength: below the truth is blurred", spectra(tables["spectrum"])),
        "sharpness_by_truth": (
            "Sharpness against the truth's, a point a lead time",
            sharpness(by_lead, baselines),
        ),
    }
    curves = training_curves(tables["training"])
    return charts | {name: (f"Training: {name}", curve) for name, curve in curves.items()}


def means(by_lead: pd.DataFrame, baselines: pd.DataFrame) -> dict[str, dict[str, float]]:
    """For each forecaster the mean over leads of each column; NaN where a lead is undefined."""
    return {
        name: table.drop(columns=["lead", "forecaster"], errors="ignore")
        .mean(skipna=False)
        .to_dict()
        for name, table in _forecasters(by_lead, baselines)
    }


def training_curves(table: pd.DataFrame) -> dict[str, Figure]:
    """The report's six curves of training.csv against the epoch, by name.

    A line marks the first epoch in which the network saw less true frames than its own.
    """
    training = _curve(table, {"train_mse": "training, all next frames"}, LABELS["mse"])
    validation = {
        name: _curve(table, {f"valid_{metric}": "validation"}, LABELS[metric])
        for name, metric in VALIDATION_CURVES.items()
    }
    return {"loss": training, **validation}


def _curve(table: pd.DataFrame, columns: Mapping[str, str], y_label: str) -> Figure:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for column, name in columns.items():
        axes.plot(table["epoch"], table[column], label=name, marker=".")
    switched = table["epoch"][table["sampling_probability"] < 0.5]
    if 0 < len(switched) < len(table):
        axes.axvline(switched.iloc[0], color="0.4", linestyle="--", label="sampling switch")
    _finish(axes, "epoch", y_label)
    return figure


def lead_times(by_lead: pd.DataFrame, baselines: pd.DataFrame) -> Figure:
    """A panel for each metric: its value against lead time, one line for each forecaster."""
    figure = Figure(figsize=(12, 10), layout="constrained")
    for axes, (column, label) in zip(figure.subplots(3, 3).flat, LABELS.items(), strict=True):
        for name, table in _forecasters(by_lead, baselines):
            axes.plot(table["lead"], table[column], label=name, **STYLES[name])
        if column == "sharpness":
            truth = by_lead["truth_sharpness"]
            axes.plot(by_lead["lead"], truth, label="truth", **STYLES["truth"])
        _finish(axes, "lead time (frames)", label)
    return figure


def performance(by_threshold: pd.DataFrame) -> Figure:
    """Roebber's diagram (2009, doi:10.1175/2008WAF2222159.1): POD against 1 - FAR, with CSI lines.

    A point for each forecaster and threshold, over all leads; the upper right corner is perfect.
    """
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    ratio, found = np.meshgrid(np.linspace(0.01, 1, 100), np.linspace(0.01, 1, 100))
    csi = 1 / (1 / ratio + 1 / found - 1)
    lines = axes.contour(ratio, found, csi, np.arange(0.1, 1, 0.1), colors="0.8", linewidths=1)
    axes.clabel(lines, fmt="CSI %.1f", fontsize=7)
    for name, table in by_threshold.groupby("forecaster", sort=False):
        sums = table.groupby("threshold")[list(EVENTS)].sum()
        scores = event_scores(sums.to_numpy(float))
        ratio, found = 1 - scores["far"], scores["pod"]
        style: dict[str, Any] = {"color": STYLES[str(name)]["color"], "marker": MARKERS[str(name)]}
        axes.plot(ratio, found, label=name, linewidth=0.8, **style)
        for limit, x, y in zip(sums.index, ratio, found, strict=True):
            if np.isfinite(x + y):
                axes.annotate(f"{limit:g}", (x, y), (4, 4), textcoords="offset points", fontsize=7)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    _finish(axes, "success ratio (1 - FAR)", "probability of detection")
    return figure


def scale_skill(by_scale: pd.DataFrame) -> Figure:
    """A panel for each threshold: fractions skill score against scale, mean over leads."""
    thresholds = by_scale["threshold"].unique()
    figure = Figure(figsize=(4 * len(thresholds), 3.6), layout="constrained")
    for axes, threshold in zip(
        figure.subplots(1, len(thresholds), squeeze=False).flat, thresholds, strict=True
    ):
        at_threshold = by_scale[by_scale["threshold"] == threshold]
        for name, table in at_threshold.groupby("forecaster", sort=False):
            means = table.groupby("scale")["fss"].mean()
            axes.plot(means.index, means, label=name, marker=".", **STYLES[str(name)])
        axes.set(ylim=(-0.02, 1.02), title=f"events of at least {threshold:g}")
        _finish(axes, "scale (pixels)", "FSS")
    return figure


def spectra(spectrum: pd.DataFrame) -> Figure:
    """A panel for each drawn lead: power against wavelength; a forecast below the truth blurs."""
    leads = spectrum["lead"].unique()
    figure = Figure(figsize=(4 * len(leads), 3.8), layout="constrained")
    for axes, lead in zip(figure.subplots(1, len(leads), squeeze=False).flat, leads, strict=True):
        at_lead = spectrum[(spectrum["lead"] == lead) & (spectrum["power"] > 0)]
        for name, table in at_lead.groupby("forecaster", sort=False):
            axes.plot(table["wavelength_pixels"], table["power"], label=name, **STYLES[str(name)])
        axes.set(xscale="log", yscale="log", title=f"lead {lead}")
        axes.invert_xaxis()
        _finish(axes, "wavelength (pixels)", "power")
    return figure


def sharpness(by_lead: pd.DataFrame, baselines: pd.DataFrame) -> Figure:
    """Sharpness of forecasts against the truth's, a point a lead; on the diagonal it is right."""
    figure = Figure(figsize=(5.5, 5), layout="constrained")
    axes = figure.subplots()
    for name, table in _forecasters(by_lead, baselines):
        style: dict[str, Any] = {"color": STYLES[name]["color"], "marker": MARKERS[name]}
        axes.plot(table["truth_sharpness"], table["sharpness"], label=name, linestyle="", **style)
    axes.axline((0, 0), slope=1, color="black", linewidth=0.8)
    axes.set(xlim=(0, 260), ylim=(-5, 260))
    _finish(axes, "sharpness of the truth", "sharpness of the forecast")
    return figure


def save(path: Path, figure: Figure) -> None:
    """A figure as PNG."""
    figure.savefig(path, dpi=DPI)


def _forecasters(
    by_lead: pd.DataFrame, baselines: pd.DataFrame
) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "model", by_lead
    for name, table in baselines.groupby("forecaster", sort=False):
        yield str(name), table


def _finish(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
