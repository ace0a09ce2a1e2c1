"""Pictures of frames: strips, single frames and films, in the same colours in every run.

They are PNG and GIF, whose bytes are the same every time; SVG and PDF carry a date.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.animation import PillowWriter
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from convlstm.storage.forecasts import DrawnWindow

# Perceptually uniform and readable in grey; missing pixels are grey.
COLOUR_MAP = matplotlib.colormaps["viridis"].with_extremes(bad="0.75")
ERROR_MAP = matplotlib.colormaps["RdBu_r"].with_extremes(bad="0.75")
STRIP_COLUMNS = 5
DPI = 100

Frame = Float[np.ndarray, "channel row col"]


def numbered(window: DrawnWindow) -> dict[str, Frame]:
    """Return the report's pictures by name.

    They are gt01 ... of context and truth, and pd11 ... of the forecast, which is numbered on from
    the context.
    """
    seen = np.concatenate([window.context, window.truth])
    truth = {f"gt{number:02d}": frame for number, frame in enumerate(seen, start=1)}
    first = len(window.context) + 1
    return truth | {
        f"pd{number:02d}": frame for number, frame in enumerate(window.forecast, start=first)
    }


def strip(window: DrawnWindow) -> Figure:
    """Draw inputs, truth, forecast and error at a few times, with colour bars in data units."""
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


def save_comparison(path: Path, window: DrawnWindow, *, frames_per_second: int) -> None:
    """Write a film of truth, forecast and error, from the first input to the last lead time."""
    known = len(window.context)
    inputs = _titled("input", window.context, first=1 - known)
    unknown = [("no error yet", np.full_like(frame, np.nan)) for frame in window.context]
    error = _titled("error", window.forecast - window.truth, first=1)
    panels = [
        inputs + _titled("truth", window.truth, first=1),
        inputs + _titled("forecast", window.forecast, first=1),
        unknown + error,
    ]
    save_film(path, panels, value_range=window.value_range, frames_per_second=frames_per_second)


def save_forecast(
    path: Path,
    context: Float[np.ndarray, "known channel row col"],
    forecast: Float[np.ndarray, "lead channel row col"],
    *,
    value_range: tuple[float, float],
    frames_per_second: int,
) -> None:
    """Write a film of the input followed by the forecast, in data units."""
    film = _titled("input", context, first=1 - len(context)) + _titled(
        "forecast", forecast, first=1
    )
    save_film(path, [film], value_range=value_range, frames_per_second=frames_per_second)


def save_film(
    path: Path,
    panels: Sequence[Sequence[tuple[str, Frame]]],
    *,
    value_range: tuple[float, float],
    frames_per_second: int,
) -> None:
    """Write a GIF of panels side by side, each a list of titles and frames of one length.

    The third panel shows errors, and has colours of its own.
    """
    figure = Figure(figsize=(3.6 * len(panels), 3.2), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    images = []
    for number, (axes, panel) in enumerate(zip(grid, panels, strict=True)):
        axes.set_axis_off()
        images.append((_draw_error if number == 2 else _draw_frame)(axes, panel[0][1], value_range))
        if panel[0][1].shape[0] == 1:  # colours have no bar
            label = "forecast - truth" if number == 2 else "data units"
            figure.colorbar(images[-1], ax=axes, label=label, shrink=0.8)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # computed once, so that only the frames move
    writer = PillowWriter(fps=frames_per_second)
    with writer.saving(figure, path, DPI):
        for pictures in zip(*panels, strict=True):
            for number, (title, frame) in enumerate(pictures):
                grid[number].set_title(title)
                images[number].set_data(
                    frame.mean(axis=0) if number == 2 else _image(frame, value_range)
                )
            writer.grab_frame()


def _titled(
    name: str, frames: Float[np.ndarray, "time channel row col"], *, first: int
) -> list[tuple[str, Frame]]:
    """Title each frame with its time relative to the last input, in frames."""
    return [
        (f"{name} +{time}" if time > 0 else f"{name} {time}", frame)
        for time, frame in enumerate(frames, start=first)
    ]


def save_frame(path: Path, frame: Frame, *, value_range: tuple[float, float]) -> None:
    """Write one frame as a PNG with one pixel per pixel."""
    low, high = value_range
    matplotlib.image.imsave(path, _image(frame, value_range), cmap=COLOUR_MAP, vmin=low, vmax=high)


def _image(frame: Frame, value_range: tuple[float, float]) -> np.ndarray:
    """Return one channel as it is, for a colour map; three as RGB in [0, 1]."""
    if len(frame) != 3:
        return np.asarray(frame[0])
    low, high = value_range
    unit = (np.moveaxis(frame, 0, -1) - low) / (high - low)
    return np.asarray(np.clip(np.nan_to_num(unit), 0, 1))


def _draw_frame(axes: Axes, frame: Frame, value_range: tuple[float, float]) -> AxesImage:
    low, high = value_range
    return axes.imshow(_image(frame, value_range), cmap=COLOUR_MAP, vmin=low, vmax=high)


def _draw_error(axes: Axes, error: Frame, value_range: tuple[float, float]) -> AxesImage:
    """Draw the error's mean over channels, on a scale that is the same in every run."""
    reach = (value_range[1] - value_range[0]) / 2
    return axes.imshow(error.mean(axis=0), cmap=ERROR_MAP, vmin=-reach, vmax=reach)


def _spread(count: int) -> list[int]:
    """Return up to `STRIP_COLUMNS` of `count` times, evenly spread, the last one among them."""
    return (
        [count * (number + 1) // STRIP_COLUMNS - 1 for number in range(STRIP_COLUMNS)]
        if count >= STRIP_COLUMNS
        else list(range(count))
    )
