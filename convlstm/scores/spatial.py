"""The fractions skill score: how often an event is in a square, so that it may be off by a little.

Roberts and Lean 2008 (doi:10.1175/2007MWR2123.1). A score of this family computes an array of any
shape from `Fractions`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from convlstm.scores.score import Score, ratio

Cells = Float[np.ndarray, "*cell"]


class Fractions(NamedTuple):
    """Sums over squares, of the fractions of each square that the events cover."""

    squared_difference: Cells
    forecast_squared: Cells
    truth_squared: Cells


def fss(f: Fractions) -> Cells:
    """Return 1 - sum (forecast - truth)^2 / sum (forecast^2 + truth^2) of the fractions."""
    return 1 - ratio(f.squared_difference, f.forecast_squared + f.truth_squared)


SCORES = (
    Score(
        "fss",
        "FSS",
        "",
        "high",
        "fractions skill score: 1 - sum (forecast - truth)^2 / sum (forecast^2 + truth^2) of the "
        "fractions of squares that events cover",
        "Roberts and Lean 2008, doi:10.1175/2007MWR2123.1",
        fss,
    ),
)


def scores(sums: Float[np.ndarray, "*cell part"]) -> dict[str, Cells]:
    """Return each of `SCORES` of sums whose last axis holds the `Fractions`."""
    parts = Fractions(*np.moveaxis(sums, -1, 0))
    return {score.key: score.compute(parts) for score in SCORES}
