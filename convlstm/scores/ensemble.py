"""Scores of an ensemble, pooled over pixels and windows; one forecast is an ensemble of one.

A score of this family computes an array by lead time from `Sums` and the width of the value range
in data units.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from convlstm.scores.score import Score, ratio

ByLead = Float[np.ndarray, " lead"]


class Sums(NamedTuple):
    """Sums over measured pixels by lead time.

    n counts them; crps is fair; variance is that of the members about their mean, without bias and
    with the share of the mean's own error, (M + 1) / M, and NaN for one member; error is the square
    of the mean's.
    """

    n: ByLead
    crps: ByLead
    variance: ByLead
    error: ByLead


def crps(s: Sums, value_width: float) -> ByLead:
    """Return the mean fair CRPS in data units."""
    return ratio(s.crps, s.n) * value_width


def spread_skill(s: Sums, _value_width: float) -> ByLead:
    """Return the spread of the members over the RMSE of their mean; NaN for one member."""
    return np.asarray(np.sqrt(ratio(s.variance, s.error)))


SCORES = (
    Score(
        "crps",
        "CRPS",
        "data units",
        "low",
        "continuous ranked probability score of the ensemble, fair; of one forecast its mean "
        "absolute error",
        "Ferro 2014, doi:10.1002/qj.2270",
        crps,
        0.0,
    ),
    Score(
        "spread_skill",
        "spread / skill",
        "",
        "near 1",
        "spread of the members over the RMSE of their mean; below 1 the ensemble is too sure; one "
        "forecast has none",
        "Fortin et al. 2014, doi:10.1175/JHM-D-14-0008.1",
        spread_skill,
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
