"""The variogram score: whether values some pixels apart differ as much as they do in the truth.

Scheuerer and Hamill 2015 (doi:10.1175/MWR-D-14-00269.1), order 0.5. The CRPS sees one pixel at a
time; this score sees that members blur or are noisy. Of all pairs of pixels it takes those in a row
or column at a few distances, so that its cost grows with the frame and not with the square of it. A
score of this family computes an array by lead time from `Sums` and the width of the value range in
data units.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from convlstm.scores.score import Score, ratio

DISTANCES_PIXELS = (1, 4, 16)
"""A pair weighs 1 / distance, as Scheuerer and Hamill advise: what is far apart tells less."""

ByLead = Float[np.ndarray, " lead"]


class Sums(NamedTuple):
    """Sums over pairs by lead time, each with its weight: of weights, and of squared errors."""

    weights: ByLead
    squares: ByLead


def variogram(s: Sums, value_width: float) -> ByLead:
    """Return the mean over pairs in data units."""
    return ratio(s.squares, s.weights) * value_width


SCORES = (
    Score(
        "variogram",
        "variogram score",
        "data units",
        "low",
        "mean over pairs of pixels 1, 4 and 16 apart of (root of |difference| in the truth - its "
        "mean over the members)^2, weighted by 1 / distance; blur and noise both lose",
        "Scheuerer and Hamill 2015, doi:10.1175/MWR-D-14-00269.1, order 0.5",
        variogram,
        perfect=0.0,
    ),
)


def scores(parts: Float[np.ndarray, "lead part"], value_width: float) -> dict[str, ByLead]:
    """Return each of `SCORES` by lead time.

    Args:
        parts: from `sums`, added up over windows.
        value_width: the data units from 0 to 1.
    """
    s = Sums(*parts.T)
    return {score.key: score.compute(s, value_width) for score in SCORES}
