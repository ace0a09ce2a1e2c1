"""The score of change in time: whether a forecast moves on as the truth does, or freezes.

A forecast that keeps its last frame, as a network does that is unsure of the motion, scores well
for an hour of light rain. A score of this family computes an array by lead time from `Changes`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from convlstm.scores.score import Score, ratio

ByLead = Float[np.ndarray, " lead"]


class Changes(NamedTuple):
    """Sums by lead time of |difference from the frame before|, at pixels measured in both."""

    forecast: ByLead
    truth: ByLead


def temporal_change(c: Changes) -> ByLead:
    """Return the forecast's change over the truth's."""
    return ratio(c.forecast, c.truth)


SCORES = (
    Score(
        "temporal_change",
        "change in time",
        "over the truth's",
        "near 1",
        "mean |difference of successive frames|, over the truth's; below 1 the forecast freezes, "
        "above it flickers",
        "this project",
        temporal_change,
    ),
)


def scores(sums: Float[np.ndarray, "lead which"]) -> dict[str, ByLead]:
    """Return each of `SCORES` by lead time, of `changes` that were added up over windows."""
    c = Changes(*sums.T)
    return {score.key: score.compute(c) for score in SCORES}
