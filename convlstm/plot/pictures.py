"""Pictures of frames: strips, single frames and films, in the same colours in every run.

They are PNG and GIF, whose bytes are the same every time; SVG and PDF carry a date.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from PIL import Image

from convlstm.storage.forecasts import DrawnWindow, Ensemble
from convlstm.storage.meaning import Quantity

# Perceptually uniform and readable in grey; missing pixels are grey.
COLOUR_MAP = matplotlib.colormaps["viridis"].with_extremes(bad="0.75")
ERROR_MAP = matplotlib.colormaps["RdBu_r"].with_extremes(bad="0.75")
PROBABILITY_MAP = matplotlib.colormaps["magma"].with_extremes(bad="0.75")
STRIP_COLUMNS = 5
ENSEMBLE_COLUMNS = 3  # of panels in the film of an ensemble
ENSEMBLE_LEVELS = 16  # of its colours: contours are read off the bar, and the film is a third
PNG_COLOURS = 256
DPI = 100

Frame = Float[np.ndarray, "channel row col"]
Frames = Float[np.ndarray, "time channel row col"]
ValueRange = tuple[float, float]


@dataclass(frozen=True)
class Look:
    """How a panel is drawn: the label of its colour bar, its colours, and their limits.

    A panel of values may also hold the three channels of a colour, which needs no bar.
    """

    label: str
    colours: Colormap
    limits: ValueRange
    is_value: bool = False


def _value(quantity: Quantity) -> Look:
    return Look(quantity.label, COLOUR_MAP, quantity.value_range, is_value=True)


def _error(quantity: Quantity) -> Look:
    reach = (quantity.value_range[1] - quantity.value_range[0]) / 2
    of_what = f": {quantity.label}" if quantity.name or quantity.unit else ""
    return Look(f"forecast - truth{of_what}", ERROR_MAP, (-reach, reach))


PROBABILITY = Look("probability", PROBABILITY_MAP, (0.0, 1.0))


def png(figure: Figure) -> bytes:
    """Return a figure as PNG of `PNG_COLOURS`, which has a fifth of the bytes."""
    drawn = BytesIO()
    as_written(figure)
    figure.savefig(drawn, dpi=DPI)
    return _of_few_colours(drawn)


def _of_few_colours(drawn: BytesIO) -> bytes:
    """Return a PNG with a palette; one that has at most `PNG_COLOURS` looks as before."""
    content = BytesIO()
    with Image.open(drawn) as image:
        # Other methods forget rare colours, as that of the heaviest rain.
        few = image.convert("RGB").quantize(
            PNG_COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
    few.save(content, "PNG", optimize=True)
    return content.getvalue()


def numbered(window: DrawnWindow) -> dict[str, tuple[Frame, Quantity]]:
    """Return the report's pictures by name, each with the quantity that it shows.

    They are gt01 ... of context and truth, and pd11 ... of the forecast, which is numbered on from
    the context. Names of a second quantity end in _2.
    """
    found = {}
    for number, part in enumerate(window.parts(), start=1):
        seen = np.concatenate([part.context, part.truth])
        first, end = len(part.context) + 1, f"_{number}" if number > 1 else ""
        for kind, frames, start in (("gt", seen, 1), ("pd", part.forecast, first)):
            for time, frame in enumerate(frames, start=start):
                found[f"{kind}{time:02d}{end}"] = frame, part.quantities[0]
    return found


Line = tuple[Look, list[str], Frames]
"""A row of a strip: its look, and titles and frames."""


def strip(window: DrawnWindow) -> Figure:
    """Draw inputs, truth, forecast and error at a few times, with colour bars in physical units.

    Of an ensemble three members, their mean and the probability stand for forecast and error. Each
    quantity has rows of its own.
    """
    parts = [(_lines(part), part) for part in window.parts()]
    count = sum(len(lines) for lines, _ in parts)
    figure = Figure(figsize=(10, 2.1 * count), layout="constrained")
    figure.suptitle(window.label, fontsize=10)
    grid = figure.subplots(count, STRIP_COLUMNS, squeeze=False)
    for lines, part in parts:
        own, grid = grid[: len(lines)], grid[len(lines) :]
        images = [_draw_line(axes, line) for axes, line in zip(own, lines, strict=True)]
        if part.truth.shape[1] == 1:  # colours have no bar
            slim = 20 * (len(lines) - 1) / 3  # as wide as that of a single row
            figure.colorbar(images[1], ax=own[:-1], pad=0.01, label=lines[1][0].label, aspect=slim)
        figure.colorbar(images[-1], ax=own[-1], pad=0.01, label=lines[-1][0].label)
    return figure


def side_by_side(frames: Mapping[str, Frames], quantity: Quantity) -> Figure:
    """Draw several forecasts of one quantity at a few lead times, a row for each name."""
    figure = Figure(figsize=(10, 2.1 * len(frames)), layout="constrained")
    grid = figure.subplots(len(frames), STRIP_COLUMNS, squeeze=False)
    for row, (name, own) in zip(grid, frames.items(), strict=True):
        leads = _spread(len(own))
        titles = [f"{name} +{lead + 1}" for lead in leads]
        image = _draw_line(row, (_value(quantity), titles, own[leads][:, quantity.channels]))
    if quantity.channels.stop - quantity.channels.start == 1:  # colours have no bar
        figure.colorbar(image, ax=grid, pad=0.01, label=quantity.label, aspect=30)
    return figure


def _lines(window: DrawnWindow) -> list[Line]:
    """Return the rows of one quantity."""
    before, after = _spread(len(window.context)), _spread(len(window.truth))
    inputs = [f"input {time + 1 - len(window.context)}" for time in before]
    lines: list[Line] = [(_value(window.quantities[0]), inputs, window.context[before])]
    for name, (look, frames) in _rows_of_leads(window).items():
        lines.append((look, [f"{name} +{time + 1}" for time in after], frames[after]))
    return lines


def _draw_line(row: Iterable[Axes], line: Line) -> AxesImage:
    """Draw a row of a strip, and return its last image."""
    look, titles, frames = line
    for axes in row:
        axes.set_axis_off()
    for axes, title, frame in zip(row, titles, frames, strict=False):
        image = _draw(axes, frame, look)
        axes.set_title(title, fontsize=9)
    return image


def _rows_of_leads(window: DrawnWindow) -> dict[str, tuple[Look, Frames]]:
    """Return what a strip shows of the lead times of one quantity, by name."""
    value = _value(window.quantities[0])
    if window.ensemble is None:
        return {
            "truth": (value, window.truth),
            "forecast": (value, window.forecast),
            "error": (_error(window.quantities[0]), window.forecast - window.truth),
        }
    values = {name: (value, frames) for name, frames in _values(window, window.ensemble).items()}
    event = f"P(>= {window.ensemble.thresholds[0]:g})"
    return values | {event: (PROBABILITY, window.ensemble.probability)}


def _values(window: DrawnWindow, ensemble: Ensemble) -> dict[str, Frames]:
    """Return truth, members and mean by name."""
    members = {f"member {number}": own for number, own in enumerate(ensemble.members, start=1)}
    return {"truth": window.truth, **members, "mean": window.forecast}


def save_comparison(path: Path, window: DrawnWindow, *, frames_per_second: int) -> None:
    """Write a film of a window, from the first input to the last lead time.

    It shows truth, forecast and error; of an ensemble truth, members, mean and probability. Each
    quantity has rows of its own.
    """
    if window.ensemble is not None:
        _film_of_ensemble(window).save(path, frames_per_second)
        return
    _side_by_side([_compared(part) for part in window.parts()]).save(path, frames_per_second)


Panel = tuple[Look, Sequence[tuple[str, Frame]]]
"""A panel of a film: its look, and titles and frames by time."""


def _compared(window: DrawnWindow) -> list[Panel]:
    """Return the panels of one quantity: truth, forecast and error."""
    inputs = _titled("input", window.context, first=1 - len(window.context))
    unknown = [("no error yet", np.full_like(frame, np.nan)) for frame in window.context]
    error = _titled("error", window.forecast - window.truth, first=1)
    value = _value(window.quantities[0])
    return [
        (value, inputs + _titled("truth", window.truth, first=1)),
        (value, inputs + _titled("forecast", window.forecast, first=1)),
        (_error(window.quantities[0]), unknown + error),
    ]


def lead_pictures(window: DrawnWindow) -> Iterator[tuple[str, bytes]]:
    """Yield the film's frame at each lead time as PNG, with a name, if there is an ensemble."""
    if window.ensemble is not None:
        film = _film_of_ensemble(window)
        for lead, number in enumerate(range(len(window.context), film.length), start=1):
            yield f"lead{lead:02d}", film.png(number)


def save_forecast(
    path: Path,
    context: Float[np.ndarray, "known channel row col"],
    forecast: Float[np.ndarray, "lead channel row col"],
    *,
    quantities: Sequence[Quantity],
    frames_per_second: int,
) -> None:
    """Write a film of the input followed by the forecast, in physical values."""
    film = _titled("input", context, first=1 - len(context)) + _titled(
        "forecast", forecast, first=1
    )
    panels = [
        [(_value(own), [(title, frame[own.channels]) for title, frame in film])]
        for own in quantities
    ]
    _side_by_side(panels).save(path, frames_per_second)


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
        return png(self.figure)

    def save(self, path: Path, frames_per_second: int) -> None:
        """Write a GIF."""
        writer = PillowWriter(fps=frames_per_second)
        with writer.saving(self.figure, path, DPI):
            for number in range(self.length):
                self.show(number)
                writer.grab_frame()


def _side_by_side(rows: Sequence[Sequence[Panel]]) -> Film:
    """Lay out rows of panels, each of titles and frames and with a colour bar of its own."""
    cols = len(rows[0])
    figure = Figure(figsize=(3.6 * cols, 3.2 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), cols, squeeze=False)
    titles, pixels = [], []
    panels = (panel for row in rows for panel in row)
    for axes, (look, panel) in zip(grid.flat, panels, strict=True):
        axes.set_axis_off()
        image = _draw(axes, panel[0][1], look)
        if panel[0][1].shape[0] == 1:  # colours have no bar
            figure.colorbar(image, ax=axes, label=look.label, shrink=0.8)
        titles.append((axes.title, [title for title, _ in panel]))
        pixels.append((image, [_pixels(frame, look) for _, frame in panel]))
    return _laid_out(Film(figure, titles, pixels))


def _film_of_ensemble(window: DrawnWindow) -> Film:
    """Lay out truth, members, mean and probability, each quantity on rows of its own."""
    known, leads = len(window.context), len(window.truth)
    parts = [_panels_of_ensemble(part) for part in window.parts()]
    rows = [-(-len(panels) // ENSEMBLE_COLUMNS) for panels in parts]
    figure = Figure(figsize=(9, 2.8 * sum(rows) + 0.4), layout="compressed")
    grid = figure.subplots(sum(rows), ENSEMBLE_COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    pixels = []
    for part, panels, count in zip(window.parts(), parts, rows, strict=True):
        own, grid = grid[:count], grid[count:]
        drawn = [
            _draw_panel(axes, name, *panel)
            for axes, (name, panel) in zip(own.flat, panels.items(), strict=False)
        ]
        if part.truth.shape[1] == 1:  # colours have no bar
            figure.colorbar(drawn[0][0], ax=own[0], label=part.quantities[0].label)
        figure.colorbar(drawn[-1][0], ax=own[-1], label=PROBABILITY.label)
        pixels += drawn
    inputs = [f"input {time}" for time in range(1 - known, 1)]
    times = [*inputs, *(f"lead time +{time} of {leads}" for time in range(1, leads + 1))]
    return _laid_out(Film(figure, [(figure.suptitle(times[0]), times)], pixels))


def _panels_of_ensemble(window: DrawnWindow) -> dict[str, tuple[Look, Frames]]:
    """Return the panels of one quantity by name; of the inputs an event is certain or not."""
    assert window.ensemble is not None
    ensemble, context, (threshold,) = window.ensemble, window.context, window.ensemble.thresholds
    value = _value(window.quantities[0])
    panels = {
        name: (value, np.concatenate([context, frames]))
        for name, frames in _values(window, ensemble).items()
    }
    events = np.where(np.isnan(context), context, context >= threshold)
    probability = PROBABILITY, np.concatenate([events, ensemble.probability])
    return {**panels, f"probability of >= {threshold:g}": probability}


def _draw_panel(
    axes: Axes, name: str, look: Look, frames: Frames
) -> tuple[AxesImage, list[np.ndarray]]:
    """Draw the first frame of a panel, and return the image with all that it will show."""
    axes.set_title(name)
    image = _draw(axes, frames[0], look)
    image.set_cmap(look.colours.resampled(ENSEMBLE_LEVELS))
    image.set_interpolation_stage("data")  # of colours, there would be others between the levels
    return image, [_pixels(frame, look) for frame in frames]


def as_written(figure: Figure) -> None:
    """Let no name or unit of the data be drawn as a formula, though it may hold dollars.

    The numbers of axes stay formulas, which those of a logarithmic axis are.
    """
    texts = list(figure.texts)
    for axes in figure.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
    for text in texts:
        text.set_parse_math(False)


def _laid_out(film: Film) -> Film:
    """Compute the layout once, so that only the frames move."""
    as_written(film.figure)
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


def png_of_frame(frame: Frame, quantity: Quantity) -> bytes:
    """Return one frame as a PNG with one pixel per pixel."""
    look, drawn = _value(quantity), BytesIO()
    low, high = look.limits
    matplotlib.image.imsave(drawn, _pixels(frame, look), cmap=COLOUR_MAP, vmin=low, vmax=high)
    return _of_few_colours(drawn)


def _pixels(frame: Frame, look: Look) -> np.ndarray:
    """Return one channel as it is, for a colour map; the three of a colour as RGB in [0, 1].

    An error or a probability of colours is the mean over the three, which have one range.
    """
    if len(frame) == 1:
        return np.asarray(frame[0])
    if not look.is_value:
        return np.asarray(frame.mean(axis=0))
    low, high = look.limits
    unit = (np.moveaxis(frame, 0, -1) - low) / (high - low)
    return np.asarray(np.clip(np.nan_to_num(unit), 0, 1))


def _draw(axes: Axes, frame: Frame, look: Look) -> AxesImage:
    """Draw a frame on a scale that is the same in every run."""
    low, high = look.limits
    return axes.imshow(_pixels(frame, look), cmap=look.colours, vmin=low, vmax=high)


def _spread(count: int) -> list[int]:
    """Return up to `STRIP_COLUMNS` of `count` times, evenly spread, the last one among them."""
    return (
        [count * (number + 1) // STRIP_COLUMNS - 1 for number in range(STRIP_COLUMNS)]
        if count >= STRIP_COLUMNS
        else list(range(count))
    )
