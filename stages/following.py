"""How a training is followed while it goes on: by a bar, and by a page that can be reloaded.

The page is no output. It lies beside the checkpoints, and goes with them when the run has ended.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from convlstm.runtime import files
from convlstm.runtime.errors import UserError
from convlstm.train.loop import Training
from convlstm.train.validation import Window
from stages.progress import bar

SECONDS_BETWEEN_PAGES = 10.0
PAGE, PICTURE = "training.html", "training.png"
COLUMNS = 5
VIRIDIS = (
    *((68, 1, 84), (71, 44, 123), (58, 82, 139), (44, 114, 142), (32, 144, 140)),
    *((40, 174, 127), (94, 201, 97), (173, 220, 48), (253, 231, 36)),
)
"""The colours of the other pictures; matplotlib, which takes a second, is not loaded for them."""
DOCUMENT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }}
img {{ width: 100%; image-rendering: pixelated; }} figure {{ margin: 1rem 0; }}
svg {{ width: 31%; margin-right: 1.5%; }} text {{ font-size: 11px; fill: currentColor; }}
:root {{ color-scheme: light dark; }}
</style></head><body>
<h1>{title}</h1>
<figure><img src="{picture}?{number}" alt="truth and forecast">
<figcaption>The validation window of the highest values: truth, and best forecast so far.
</figcaption>
</figure>
{charts}
<script>
// When the run has ended the files are gone, and what was seen last stays.
setInterval(() => {{
  const next = new Image();
  next.onload = () => location.reload();
  next.src = "{picture}?" + Date.now();
}}, 10000);
</script></body></html>
"""


@contextmanager
def progress(training: Training) -> Iterator[Callable[[float], None]]:
    """Yield a function that is called with the loss of each step and moves a bar on."""
    name = f"train on {training.device} in {training.precision}"
    done, total = training.iteration, training.budget.steps
    with bar(name, total, "batches", initial=done) as own:

        def show(loss: float) -> None:
            own.set_postfix_str(f"{training.state_in_words}, loss {loss:.4g}", refresh=False)
            own.update()

        yield show


def table(training: Training) -> list[dict[str, int | float]]:
    """Return the rows of training.csv, one for each epoch that is done."""
    return [epoch.row() for epoch in training.finished]


class Page:
    """The page of a training, in the folder of its checkpoints.

    Args:
        training: which it follows; the page changes nothing of it.
        folder: in which the page and its picture are written.
        say: called once if they cannot be written, which does not stop the training.
    """

    def __init__(self, training: Training, folder: Path, say: Callable[[str], None]) -> None:
        self.path = folder / PAGE
        self._training, self._say = training, say
        self._shown: tuple[Window, Window] | None = None  # of the validation under way
        self._best: tuple[Window, Window] | None = None
        self._last, self._failed = -SECONDS_BETWEEN_PAGES, False
        training.on_window = self._see

    def update(self) -> None:
        """Write the page after an epoch, unless it has just been written."""
        if self._best is None or self._training.is_best:
            self._best = self._shown
        self._shown = None
        if self._best is None or time.monotonic() - self._last < SECONDS_BETWEEN_PAGES:
            return
        self._last = time.monotonic()
        try:
            with files.replacing(self.path.with_name(PICTURE)) as temporary:
                temporary.write_bytes(picture(*self._best))
            with files.replacing(self.path) as temporary:
                text = page(self._training.state_in_words, table(self._training))
                temporary.write_text(text, encoding="utf-8")
        except (UserError, OSError) as error:
            if not self._failed:
                self._say(f"the page cannot be written, and the run goes on: {error}")
            self._failed = True

    def _see(self, truth: Window, forecast: Window) -> None:
        """Keep the first channel of the window with the highest values."""
        if self._shown is None or truth[:, 0].sum() > self._shown[0].sum():
            self._shown = truth[:, :1].copy(), forecast[:, :1].copy()


def page(title: str, rows: Sequence[dict[str, int | float]]) -> str:
    """Return the HTML text: the picture, and a chart for each column of the table."""
    charts = [chart(name, [row[name] for row in rows]) for name in rows[0] if name != "epoch"]
    return DOCUMENT.format(
        title=escape(title), picture=PICTURE, number=len(rows), charts="\n".join(charts)
    )


def chart(name: str, values: Sequence[float]) -> str:
    """Return a line through the values as SVG, with the lowest, the highest and the last."""
    known = [value for value in values if value == value]
    low, high = min(known, default=0.0), max(known, default=0.0)
    points = " ".join(
        f"{10 + 280 * number / max(len(values) - 1, 1):.1f},"
        f"{110 - 80 * (value - low) / (high - low or 1):.1f}"
        for number, value in enumerate(values)
        if value == value
    )
    words = f"{name}: {values[-1]:.4g} ({low:.4g} to {high:.4g})"
    return (
        f'<svg viewBox="0 0 300 120"><text x="10" y="14">{escape(words)}</text>'
        f'<polyline fill="none" stroke="#0072B2" stroke-width="2" points="{points}"/></svg>'
    )


def picture(truth: Window, forecast: Window) -> bytes:
    """Return a PNG of the truth above the forecast, at a few lead times."""
    count = len(truth)
    leads = sorted({count * (number + 1) // COLUMNS - 1 for number in range(COLUMNS)} - {-1})
    rows = [
        np.hstack([np.pad(frames[lead, 0], 1) for lead in leads]) for frames in (truth, forecast)
    ]
    levels = np.nan_to_num(np.vstack(rows)).clip(0, 1) * 255
    image = Image.fromarray(levels.round().astype(np.uint8), "L")
    image.putpalette(palette())
    content = BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def palette() -> list[int]:
    """Return red, green and blue of 256 colours, straight between those of `VIRIDIS`."""
    places = np.linspace(0, len(VIRIDIS) - 1, 256)
    bands = [np.interp(places, range(len(VIRIDIS)), band) for band in zip(*VIRIDIS, strict=True)]
    return [int(value) for value in np.stack(bands, axis=1).round().flat]
