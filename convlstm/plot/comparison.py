"""One page of several experiments: what was changed, the scores, the curves and a forecast of each.

It holds its pictures, so it is one file that can be sent.
"""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure

from convlstm.plot import figures, page, pictures
from convlstm.scores import families
from convlstm.storage.meaning import Quantity

REFERENCES = ("truth", "advection", "persistence", "perfect", "flat")
"""Columns of the curves that no experiment changes, which are drawn once."""
COLUMNS = 2


class Experiment(NamedTuple):
    """An experiment: its scores, params, curves (see `plot.curves`) and forecast of one window.

    Scores are those of the headline; of several channels their keys are as "rain.mse".
    """

    name: str
    scores: Mapping[str, float]
    params: Mapping[str, Any]
    curves: Mapping[str, pd.DataFrame]
    forecast: Float[np.ndarray, "lead channel row col"] | None


def by_score(experiments: Sequence[Experiment], score: str) -> list[Experiment]:
    """Return the experiments, the best one first; those without the score come last.

    Of several channels the first one counts.
    """

    def badness(own: Experiment) -> float:
        of_channels = (value for key, value in own.scores.items() if _score(key) == score)
        value = next(of_channels, np.nan)
        bad = {"low": value, "high": -value, "near 1": abs(value - 1)}[families.HEADLINE[score]]
        return float(np.nan_to_num(bad, nan=np.inf))

    return sorted(experiments, key=badness)


def changed(experiments: Sequence[Experiment]) -> list[str]:
    """Return the params in which the experiments differ."""
    keys = dict.fromkeys(key for own in experiments for key in own.params)
    return [key for key in keys if len({str(own.params.get(key)) for own in experiments}) > 1]


def text(
    experiments: Sequence[Experiment],
    truth: Float[np.ndarray, "lead channel row col"],
    quantity: Quantity,
    label: str,
) -> str:
    """Return the page.

    Args:
        experiments: in the order of the table.
        truth: of the window that all of them forecast.
        quantity: of the window that is drawn.
        label: of the window.
    """
    keys = changed(experiments)
    names = list(dict.fromkeys(name for own in experiments for name in own.scores))
    heads = ["experiment", *names, *keys]
    rows = [
        [
            *(own.name, *(_shown(own.scores.get(name)) for name in names)),
            *(_shown(own.params.get(key)) for key in keys),
        ]
        for own in experiments
    ]
    drawn = {own.name: own.forecast for own in experiments if own.forecast is not None}
    strip = pictures.side_by_side({"truth": truth, **drawn}, quantity)
    better = ", ".join(f"{name} {which}" for name, which in families.HEADLINE.items())
    parts = [
        f"<h1>{len(experiments)} experiments side by side</h1>",
        page.plain_table("experiments", heads, rows),
        f"<p>Better is: {better}.</p>",
        f"<h2>The forecasts of {escape(label)}</h2>",
        _picture("the forecasts", strip),
        "<h2>Curves</h2>",
        _picture("the curves", curves(experiments)),
    ]
    return page.document("Experiments", parts)


def curves(experiments: Sequence[Experiment]) -> Figure:
    """Draw a panel for each curve: a line for each experiment, and what is the same for all."""
    names = list(dict.fromkeys(name for own in experiments for name in own.curves))
    rows = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(5 * COLUMNS, 3.2 * rows), layout="constrained")
    panels = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    for axes, name in zip(panels, names, strict=False):
        having = [own for own in experiments if name in own.curves]
        shared = having[0].curves[name]
        x = shared.columns[0]
        for column in (column for column in REFERENCES if column in shared):
            style = figures.STYLES.get(column, {"color": "0.5", "linestyle": "--"})
            axes.plot(shared[x], shared[column], label=column, **style)
        for own in having:
            axes.plot(own.curves[name][x], own.curves[name]["model"], label=own.name, marker=".")
        if name == "power_by_wavelength":
            axes.set(xscale="log", yscale="log")
        axes.set(xlabel=x.replace("_", " "), title=name.replace("_", " "))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    return figure


def _score(key: str) -> str:
    """Return the score of a key, which may begin with a channel."""
    return key.rpartition(".")[2]


def _picture(alt: str, figure: Figure) -> str:
    data = base64.b64encode(pictures.png(figure)).decode("ascii")
    return f'<figure><img alt="{escape(alt)}" src="data:image/png;base64,{data}"></figure>'


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)
