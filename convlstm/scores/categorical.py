"""Scores of events: values of at least a threshold, counted in 2 x 2 tables.

The tables are added up over windows before a score is taken, for a mean of ratios is decided by the
windows with hardly any event. A score of this family computes an array of any shape from `Counts`;
it is NaN where it is undefined, as the CSI is without any event.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from convlstm.scores.score import Score, ratio

Cells = Float[np.ndarray, "*cell"]
SOURCE = "Jolliffe and Stephenson 2012, chapter 3"


class Counts(NamedTuple):
    """Pixels with and without an event, forecast and true, as `sums.categorical` counts them."""

    hits: Cells
    misses: Cells
    false_alarms: Cells
    correct_negatives: Cells

    @property
    def events(self) -> Cells:
        """The pixels with a true event, on which the scores rest."""
        return np.asarray(self.hits + self.misses)

    @property
    def total(self) -> Cells:
        """All pixels."""
        return np.asarray(self.hits + self.misses + self.false_alarms + self.correct_negatives)


COUNTS = Counts._fields


def csi(c: Counts) -> Cells:
    """Return the critical success index, hits / (hits + misses + false alarms)."""
    return ratio(c.hits, c.hits + c.misses + c.false_alarms)


def pod(c: Counts) -> Cells:
    """Return the probability of detection, hits / (hits + misses)."""
    return ratio(c.hits, c.hits + c.misses)


def far(c: Counts) -> Cells:
    """Return the false alarm ratio, false alarms / (hits + false alarms)."""
    return ratio(c.false_alarms, c.hits + c.false_alarms)


def hss(c: Counts) -> Cells:
    """Return Heidke's skill score: the accuracy, relative to that of a random forecast."""
    total = c.total
    chance = ratio((c.hits + c.misses) * (c.hits + c.false_alarms), total) + ratio(
        (c.correct_negatives + c.misses) * (c.correct_negatives + c.false_alarms), total
    )
    return ratio(c.hits + c.correct_negatives - chance, total - chance)


def frequency_bias(c: Counts) -> Cells:
    """Return the forecast events per true event, (hits + false alarms) / (hits + misses)."""
    return ratio(c.hits + c.false_alarms, c.hits + c.misses)


SCORES = (
    Score(
        "csi",
        "CSI",
        "",
        "high",
        "critical success index: hits / (hits + misses + false_alarms)",
        SOURCE,
        csi,
        perfect=1.0,
    ),
    Score(
        "pod", "POD", "", "high", "probability of detection: hits / (hits + misses)", SOURCE, pod
    ),
    Score(
        "far",
        "FAR",
        "",
        "low",
        "false alarm ratio: false_alarms / (hits + false_alarms)",
        SOURCE,
        far,
    ),
    Score(
        "hss",
        "HSS",
        "",
        "high",
        "Heidke's skill score: the accuracy, relative to that of a random forecast",
        SOURCE,
        hss,
    ),
    Score(
        "frequency_bias",
        "frequency bias",
        "",
        "near 1",
        "forecast events per true event: (hits + false_alarms) / (hits + misses)",
        SOURCE,
        frequency_bias,
    ),
)


def scores(tables: Float[np.ndarray, "*cell count"]) -> dict[str, Cells]:
    """Return each of `SCORES` of 2 x 2 tables whose last axis holds the `Counts`."""
    c = Counts(*np.moveaxis(tables, -1, 0))
    return {score.key: score.compute(c) for score in SCORES}
