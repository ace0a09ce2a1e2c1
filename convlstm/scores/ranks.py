"""Scores of the rank of the truth among an ensemble's members: each rank should be as frequent.

Hamill 2001 (doi:10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2). A truth that is below all members
has rank 0, one above all of M members rank M. A histogram like a U says that the members are too
alike, one that slopes that they are biased. A score of this family computes an array by lead time
from counts by rank.
"""

import numpy as np
from jaxtyping import Float

from convlstm.scores.score import Score, ratio

ByRank = Float[np.ndarray, "lead rank"]
ByLead = Float[np.ndarray, " lead"]


def rank_deviation(counts: ByRank) -> ByLead:
    """Return how far the ranks' frequencies are from equal ones; NaN for one member."""
    ranks = counts.shape[1]
    if ranks == 2:
        return np.full(len(counts), np.nan)
    frequencies = ratio(counts, np.broadcast_to(counts.sum(axis=1, keepdims=True), counts.shape))
    return np.asarray(np.abs(frequencies - 1 / ranks).sum(axis=1))


SCORES = (
    Score(
        "rank_deviation",
        "rank deviation",
        "",
        "low",
        "sum over ranks of |frequency - 1 / (members + 1)|, of the truth's rank among the members; "
        "0 if each is as frequent; without pixels at which all are equal; one forecast has none",
        "reliability index of Delle Monache et al. 2006, doi:10.1029/2005JD006917",
        rank_deviation,
    ),
)


def scores(counts: ByRank) -> dict[str, ByLead]:
    """Return each of `SCORES` by lead time, of counts that were added up over windows."""
    return {score.key: score.compute(counts) for score in SCORES}
