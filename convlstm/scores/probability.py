"""Scores of the probability of an event: the share of members with a value of the threshold.

One forecast is an ensemble of one, whose probabilities are 0 and 1. A score of this family computes
an array of any shape from `Frequencies`, which also make the reliability diagram; it is NaN where
it is undefined, as the ROC area is without any event.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from convlstm.scores.score import Score, ratio

Cells = Float[np.ndarray, "*cell"]
ByShare = Float[np.ndarray, "*cell share"]


class Frequencies(NamedTuple):
    """Pixels by the number of members that have the event: none, 1, ... all, as the last axis.

    `forecasts` counts all measured pixels, `events` those of them with a true event.
    """

    forecasts: ByShare
    events: ByShare

    @property
    def probabilities(self) -> Float[np.ndarray, " share"]:
        """The shares of members: 0 to 1."""
        return np.linspace(0, 1, self.forecasts.shape[-1])


def brier(f: Frequencies) -> Cells:
    """Return the mean of (probability - 1 if there is an event, else 0)^2."""
    p, without = f.probabilities, f.forecasts - f.events
    return ratio((without * p**2 + f.events * (1 - p) ** 2).sum(axis=-1), f.forecasts.sum(axis=-1))


def roc_area(f: Frequencies) -> Cells:
    """Return the area below the curve of relative operating characteristics, by trapezoids.

    It equals the part of all pairs of a pixel with an event and one without in which the former has
    the larger probability, where equal ones count by a half.
    """
    without = f.forecasts - f.events
    lower = without.cumsum(axis=-1) - without / 2
    return ratio((f.events * lower).sum(axis=-1), f.events.sum(axis=-1) * without.sum(axis=-1))


SCORES = (
    Score(
        "brier",
        "Brier score",
        "",
        "low",
        "mean of (probability - 1 at an event, else 0)^2; the probability is the share of members, "
        "of one forecast 0 or 1",
        "Jolliffe and Stephenson 2012, chapter 7",
        brier,
        perfect=0.0,
    ),
    Score(
        "roc_area",
        "ROC area",
        "",
        "high",
        "how often an event has a larger probability than a pixel without, ties by a half; 0.5 is "
        "chance",
        "Jolliffe and Stephenson 2012, chapter 3",
        roc_area,
        perfect=1.0,
    ),
)


def scores(tables: Float[np.ndarray, "*cell which share"]) -> dict[str, Cells]:
    """Return each of `SCORES` of tables whose axis before the last one holds the `Frequencies`."""
    f = Frequencies(*np.moveaxis(tables, -2, 0))
    return {score.key: score.compute(f) for score in SCORES}
