"""Pictures of frames: strips, single frames and films, in the same colours in every run.

They are PNG and GIF, whose bytes are the same every time; SVG and PDF carry a date.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.animation import PillowWriter
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text

from convlstm.storage.forecasts import DrawnWindow, Ensemble

# Perceptually uniform and readable in grey; missing pixels are grey.
COLOUR_MAP = matplotlib.colormaps["viridis"].with_extremes(bad="0.75")
ERROR_MAP = matplotlib.colormaps["RdBu_r"].with_extremes(bad="0.75")
PROBABILITY_MAP = matplotlib.colormaps["magma"].with_extremes(bad="0.75")
STRIP_COLUMNS = 5
ENSEMBLE_COLUMNS = 3  # of panels in the film of an ensemble
ENSEMBLE_LEVELS = 16  # of its colours: contours are read off the bar, and the film is a third
DPI = 100

Frame = Float[np.ndarray, "channel row col"]
Frames = Float[np.ndarray, "time channel row col"]
ValueRange = tuple[float, float]


@dataclass(frozen=True)
class Quantity:
    """How a panel is drawn: the label of its colour bar, its colours, and their limits.

    `limits` gives the first and the last value of the colours from the value range of the data.
    """

    label: str
    colours: Colormap
    limits: Callable[[ValueRange], ValueRange]


def _half_range(value_range: ValueRange) -> ValueRange:
    reach = (value_range[1] - value_range[0]) / 2
    return -reach, reach


VALUE = Quantity("data units", COLOUR_MAP, lambda value_range: value_range)
ERROR = Quantity("forecast - truth", ERROR_MAP, _half_range)
PROBABILITY = Quantity("probability", PROBABILITY_MAP, lambda _: (0, 1))


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
    """Draw inputs, truth, forecast and error at a few times, with colour bars in data units.

    Of an ensemble three members, their mean and the probability stand for forecast and error.
    """
    before, after = _spread(len(window.context)), _spread(len(window.truth))
    inputs = [f"input {time + 1 - len(window.context)}" for time in before]
    rows = [(VALUE, inputs, window.context[before])]
    for name, (quantity, frames) in _rows_of_leads(window).items():
        rows.append((quantity, [f"{name} +{time + 1}" for time in after], frames[after]))
    figure = Figure(figsize=(10, 2.1 * len(rows)), layout="constrained")
    figure.suptitle(window.label, fontsize=10)
    grid = figure.subplots(len(rows), STRIP_COLUMNS, squeeze=False)
    images: list[AxesImage] = []
    for line, (quantity, titles, frames) in zip(grid, rows, strict=True):
        for axes in line:
            axes.set_axis_off()
        for axes, title, frame in zip(line, titles, frames, strict=False):
            image = _draw(axes, frame, quantity, window.value_range)
            axes.set_title(title, fontsize=9)
        images.append(image)
    if window.truth.shape[1] == 1:  # colours have no bar
        slim = 20 * (len(rows) - 1) / 3  # as wide as that of a single row
        figure.colorbar(images[1], ax=grid[:-1], pad=0.01, label=VALUE.label, aspect=slim)
    figure.colorbar(images[-1], ax=grid[-1], pad=0.01, label=quantity.label)
    return figure


def _rows_of_leads(window: DrawnWindow) -> dict[str, tuple[Quantity, Frames]]:
    """Return what a strip shows of the lead times, by name."""
    if window.ensemble is None:
        forecast, error = window.forecast, window.forecast - window.truth
        return {
            "truth": (VALUE, window.truth),
            "forecast": (VALUE, forecast),
            "error": (ERROR, error),
        }
    values = {name: (VALUE, frames) for name, frames in _values(window, window.ensemble).items()}
    event = f"P(>= {window.ensemble.threshold:g})"
    return values | {event: (PROBABILITY, window.ensemble.probability)}


def _values(window: DrawnWindow, ensemble: Ensemble) -> dict[str, Frames]:
    """Return truth, members and mean by name."""
    members = {f"member {number}": own for number, own in enumerate(ensemble.members, start=1)}
    return {"truth": window.truth, **members, "mean": window.forecast}


def save_comparison(path: Path, window: DrawnWindow, *, frames_per_second: int) -> None:
    """Write a film of a window, from the first input to the last lead time.

    It shows truth, forecast and error; of an ensemble truth, members, mean and probability.
    """
    if window.ensemble is not None:
        _film_of_ensemble(window, window.ensemble).save(path, frames_per_second)
        return
    known = len(window.context)
    inputs = _titled("input", window.context, first=1 - known)
    unknown = [("no error yet", np.full_like(frame, np.nan)) for frame in window.context]
    error = _titled("error", window.forecast - window.truth, first=1)
    panels = [
        (VALUE, inputs + _titled("truth", window.truth, first=1)),
        (VALUE, inputs + _titled("forecast", window.forecast, first=1)),
        (ERROR, unknown + error),
    ]
    _side_by_side(panels, window.value_range).save(path, frames_per_second)


def lead_pictures(window: DrawnWindow) -> Iterator[bytes]:
    """Yield the film's frame at each lead time as PNG, if there is an ensemble."""
    if window.ensemble is not None:
        film = _film_of_ensemble(window, window.ensemble)
        for number in range(len(window.context), film.length):
            yield film.png(number)


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
    _side_by_side([(VALUE, film)], value_range).save(path, frames_per_second)


@dataclass(frozen=True)
class Film:
    """A figure whose panels and titles change: `titles` and `pixels` hold them by time."""

    figure: Figure
    titles: Sequence[tuple[Text, Sequence[str]]]
    pixels: Sequence[tuple[AxesImage, Sequence[np.ndarray]]]

    @property
    def length(self) -> int:
        """The number of its frames."""
        return len(self.pixels[0][1])

    def show(self, number: int) -> None:
        """Draw one frame, counted from 0."""
        for text, titles in self.titles:
            text.set_text(titles[number])
        for image, pixels in self.pixels:
            image.set_data(pixels[number])

    def png(self, number: int) -> bytes:
        """Return one frame as PNG."""
        self.show(number)
        content = BytesIO()
        self.figure.savefig(content, dpi=DPI)
        return content.getvalue()

    def save(self, path: Path, frames_per_second: int) -> None:
        """Write a GIF."""
        writer = PillowWriter(fps=frames_per_second)
        with writer.saving(self.figure, path, DPI):
            for number in range(self.length):
                self.show(number)
                writer.grab_frame()


def _side_by_side(
    panels: Sequence[tuple[Quantity, Sequence[tuple[str, Frame]]]], value_range: ValueRange
) -> Film:
    """Lay out panels in a row, each of titles and frames and with a colour bar of its own."""
    figure = Figure(figsize=(3.6 * len(panels), 3.2), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    titles, pixels = [], []
    for axes, (quantity, panel) in zip(grid, panels, strict=True):
        axes.set_axis_off()
        image = _draw(axes, panel[0][1], quantity, value_range)
        if panel[0][1].shape[0] == 1:  # colours have no bar
            figure.colorbar(image, ax=axes, label=quantity.label, shrink=0.8)
        titles.append((axes.title, [title for title, _ in panel]))
        pixels.append((image, [_pixels(frame, quantity, value_range) for _, frame in panel]))
    return _laid_out(Film(figure, titles, pixels))


def _film_of_ensemble(window: DrawnWindow, ensemble: Ensemble) -> Film:
    """Lay out truth, members, mean and probability; of the inputs an event is certain or not."""
    known, leads = len(window.context), len(window.truth)
    events = np.where(
        np.isnan(window.context), window.context, window.context >= ensemble.threshold
    )
    panels = {
        name: (VALUE, np.concatenate([window.context, frames]))
        for name, frames in _values(window, ensemble).items()
    }
    probability = PROBABILITY, np.concatenate([events, ensemble.probability])
    panels[f"probability of >= {ensemble.threshold:g}"] = probability
    rows = -(-len(panels) // ENSEMBLE_COLUMNS)
    figure = Figure(figsize=(9, 2.8 * rows + 0.4), layout="compressed")
    grid = figure.subplots(rows, ENSEMBLE_COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    pixels = []
    for axes, (name, (quantity, frames)) in zip(grid.flat, panels.items(), strict=False):
        axes.set_title(name)
        image = _draw(axes, frames[0], quantity, window.value_range)
        image.set_cmap(quantity.colours.resampled(ENSEMBLE_LEVELS))
        image.set_interpolation_stage(
            "data"
        )  # of colours, there would be others between the levels
        pixels.append((image, [_pixels(frame, quantity, window.value_range) for frame in frames]))
    if window.truth.shape[1] == 1:  # colours have no bar
        figure.colorbar(pixels[0][0], ax=grid[0], label=VALUE.label)
    figure.colorbar(pixels[-1][0], ax=grid[-1], label=PROBABILITY.label)
    inputs = [f"input {time}" for time in range(1 - known, 1)]
    times = [*inputs, *(f"lead time +{time} of {leads}" for time in range(1, leads + 1))]
    return _laid_out(Film(figure, [(figure.suptitle(times[0]), times)], pixels))


def _laid_out(film: Film) -> Film:
    """Compute the layout once, so that only the frames move."""
    film.figure.draw_without_rendering()
    film.figure.set_layout_engine("none")
    return film


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


def _pixels(frame: Frame, quantity: Quantity, value_range: ValueRange) -> np.ndarray:
    """Return values as `_image`, and of all else the mean over channels."""
    return _image(frame, value_range) if quantity is VALUE else np.asarray(frame.mean(axis=0))


def _draw(axes: Axes, frame: Frame, quantity: Quantity, value_range: ValueRange) -> AxesImage:
    """Draw a frame on a scale that is the same in every run."""
    low, high = quantity.limits(value_range)
    pixels = _pixels(frame, quantity, value_range)
    return axes.imshow(pixels, cmap=quantity.colours, vmin=low, vmax=high)


def _spread(count: int) -> list[int]:
    """Return up to `STRIP_COLUMNS` of `count` times, evenly spread, the last one among them."""
    return (
        [count * (number + 1) // STRIP_COLUMNS - 1 for number in range(STRIP_COLUMNS)]
        if count >= STRIP_COLUMNS
        else list(range(count))
    )
