"""Tables in, charts out. Nothing here knows a model or computes a score."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLES: Mapping[str, Mapping[str, object]] = {
    "model": {"color": "#0072B2", "linewidth": 2.5},
    "persistence": {"color": "#D55E00", "linestyle": "--"},
    "zeros": {"color": "0.5", "linestyle": ":"},
}
LABELS = {
    "mse": "MSE (sum over pixels)",
    "fmae": "FMAE (sum over pixels)",
    "ssim": "SSIM",
    "psnr": "PSNR (dB)",
    "sharpness": "sharpness (largest |Laplacian|)",
}
DPI = 100

VALIDATION_CURVES = {
    "valid_loss": "mse",
    "ssim": "ssim",
    "psnr": "psnr",
    "fmae": "fmae",
    "sharpness": "sharpness",
}


def training_curves(table: pd.DataFrame) -> dict[str, Figure]:
    """The report's six curves of training.csv against the epoch, by name."""
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
    _finish(axes, "epoch", y_label)
    return figure


def lead_times(by_lead: pd.DataFrame, baselines: pd.DataFrame) -> Figure:
    """A panel for each metric: its value against lead time, one line for each forecaster."""
    by_forecaster = {"model": by_lead, **dict(list(baselines.groupby("forecaster", sort=False)))}
    figure = Figure(figsize=(12, 7), layout="constrained")
    panels = figure.subplots(2, 3).ravel()
    for axes, (column, label) in zip(panels, LABELS.items(), strict=False):
        for name, table in by_forecaster.items():
            axes.plot(table["lead"], table[column], label=name, **STYLES[name])
        if column == "sharpness":
            axes.plot(
                by_lead["lead"],
                by_lead["truth_sharpness"],
                label="truth",
                color="black",
                linewidth=1,
            )
        _finish(axes, "lead time (frames)", label)
    panels[-1].set_axis_off()
    return figure


def save(path: Path, figure: Figure) -> None:
    """A figure as PNG."""
    figure.savefig(path, dpi=DPI)


def _finish(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.3)
    axes.legend()
