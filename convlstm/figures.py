"""Tables and frames in, figures out. Nothing here knows a model or computes a score.

Only PNG and GIF, which are the same bytes in every run; SVG and PDF carry a date.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.animation import PillowWriter
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

# uniform to the eye, readable in grey; missing pixels are grey
COLOUR_MAP = matplotlib.colormaps["viridis"].with_extremes(bad="0.75")
ERROR_MAP = matplotlib.colormaps["RdBu_r"].with_extremes(bad="0.75")
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
STRIP_COLUMNS = 5
DPI = 100

VALIDATION_CURVES = {
    "valid_loss": "mse",
    "ssim": "ssim",
    "psnr": "psnr",
    "fmae": "fmae",
    "sharpness": "sharpness",
}

Frame = Float[np.ndarray, "channel row col"]


@dataclass(frozen=True)
class Window:
    """What is drawn of one window, in data units; missing pixels are NaN."""

    label: str
    context: Float[np.ndarray, "known channel row col"]
    truth: Float[np.ndarray, "lead channel row col"]
    forecast: Float[np.ndarray, "lead channel row col"]
    value_range: tuple[float, float]

    def numbered(self) -> dict[str, Frame]:
        """The report's pictures: gt01 ... from the first input on, pd11 ... after the context."""
        seen = np.concatenate([self.context, self.truth])
        truth = {f"gt{number:02d}": frame for number, frame in enumerate(seen, start=1)}
        first = len(self.context) + 1
        return truth | {
            f"pd{number:02d}": frame for number, frame in enumerate(self.forecast, start=first)
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


def strip(window: Window) -> Figure:
    """Inputs, truth, forecast and error of a few times, with colour bars in data units."""
    before, after = _spread(len(window.context)), _spread(len(window.truth))
    leads = [f"+{time + 1}" for time in after]
    rows = {
        "input": (window.context[before], [f"{time + 1 - len(window.context)}" for time in before]),
        "truth": (window.truth[after], leads),
        "forecast": (window.forecast[after], leads),
        "error": ((window.forecast - window.truth)[after], leads),
    }
    figure = Figure(figsize=(10, 8.4), layout="constrained")
    figure.suptitle(window.label, fontsize=10)
    grid = figure.subplots(len(rows), STRIP_COLUMNS, squeeze=False)
    images: dict[str, AxesImage] = {}
    for line, (name, (frames, times)) in zip(grid, rows.items(), strict=True):
        for axes in line:
            axes.set_axis_off()
        for axes, frame, time in zip(line, frames, times, strict=False):
            draw = _draw_error if name == "error" else _draw_frame
            images[name] = draw(axes, frame, window.value_range)
            axes.set_title(f"{name} {time}", fontsize=9)
    if window.truth.shape[1] == 1:  # colours have no bar
        figure.colorbar(images["truth"], ax=grid[:3], pad=0.01, label="data units")
    figure.colorbar(images["error"], ax=grid[3], pad=0.01, label="forecast - truth")
    return figure


def save_gif(path: Path, window: Window, *, frames_per_second: int) -> None:
    """Truth beside forecast, from the first input to the last lead time."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    panels = dict(zip(("truth", "forecast"), figure.subplots(1, 2), strict=True))
    films = {name: np.concatenate([window.context, getattr(window, name)]) for name in panels}
    writer = PillowWriter(fps=frames_per_second)
    with writer.saving(figure, path, DPI):
        for lead in range(1 - len(window.context), len(window.truth) + 1):
            for name, axes in panels.items():
                axes.clear()
                axes.set_axis_off()
                _draw_frame(axes, films[name][lead + len(window.context) - 1], window.value_range)
                axes.set_title(f"{name} +{lead}" if lead > 0 else f"input {lead}")
            writer.grab_frame()


def save_frame(path: Path, frame: Frame, *, value_range: tuple[float, float]) -> None:
    """One frame as a picture of its own, a pixel for a pixel."""
    low, high = value_range
    matplotlib.image.imsave(path, _image(frame, value_range), cmap=COLOUR_MAP, vmin=low, vmax=high)


def save(path: Path, figure: Figure) -> None:
    """A figure as PNG."""
    figure.savefig(path, dpi=DPI)


def _image(frame: Frame, value_range: tuple[float, float]) -> np.ndarray:
    """One channel as it is, for a colour map; three as RGB in [0, 1]."""
    if len(frame) != 3:
        return np.asarray(frame[0])
    low, high = value_range
    unit = (np.moveaxis(frame, 0, -1) - low) / (high - low)
    return np.asarray(np.clip(np.nan_to_num(unit), 0, 1))


def _draw_frame(axes: Axes, frame: Frame, value_range: tuple[float, float]) -> AxesImage:
    low, high = value_range
    return axes.imshow(_image(frame, value_range), cmap=COLOUR_MAP, vmin=low, vmax=high)


def _draw_error(axes: Axes, error: Frame, value_range: tuple[float, float]) -> AxesImage:
    """The error's mean over channels, on a scale that is the same in every run."""
    reach = (value_range[1] - value_range[0]) / 2
    return axes.imshow(error.mean(axis=0), cmap=ERROR_MAP, vmin=-reach, vmax=reach)


def _spread(count: int) -> list[int]:
    """Up to `STRIP_COLUMNS` of `count` times, evenly spread, the last one among them."""
    return (
        [count * (number + 1) // STRIP_COLUMNS - 1 for number in range(STRIP_COLUMNS)]
        if count >= STRIP_COLUMNS
        else list(range(count))
    )


def _finish(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.3)
    axes.legend()
