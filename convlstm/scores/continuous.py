"""Scores of values, pooled over pixels and windows before the score is taken.

A score of this family computes an array by lead time from `Moments` and the width of the value
range in data units.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from convlstm.scores.score import Score, ratio

ByLead = Float[np.ndarray, " lead"]


class Moments(NamedTuple):
    """Sums over measured pixels by lead time: n their count, f the forecast and t the truth."""

    n: ByLead
    f: ByLead
    t: ByLead
    ff: ByLead
    tt: ByLead
    ft: ByLead


def rmse(m: Moments, value_width: float) -> ByLead:
    """Return the root mean square error in data units."""
    return np.asarray(np.sqrt(np.maximum(ratio(m.ff - 2 * m.ft + m.tt, m.n), 0)) * value_width)


def bias(m: Moments, value_width: float) -> ByLead:
    """Return the mean of forecast - truth in data units."""
    return ratio(m.f - m.t, m.n) * value_width


def correlation(m: Moments, _value_width: float) -> ByLead:
    """Return Pearson's correlation; NaN where forecast or truth does not vary."""
    covariance = ratio(m.ft, m.n) - ratio(m.f, m.n) * ratio(m.t, m.n)
    variances = [
        np.maximum(ratio(square, m.n) - ratio(plain, m.n) ** 2, 0)
        for square, plain in ((m.ff, m.f), (m.tt, m.t))
    ]
    return ratio(covariance, np.sqrt(variances[0] * variances[1]))


SCORES = (
    Score(
        "rmse",
        "RMSE",
        "data units",
        "low",
        "root mean square error of all pixels",
        "Jolliffe and Stephenson 2012, chapter 5",
        rmse,
    ),
    Score(
        "bias",
        "bias",
        "data units",
        "near 0",
        "mean of forecast - truth",
        "Jolliffe and Stephenson 2012, chapter 5",
        bias,
    ),
    Score(
        "correlation",
        "correlation",
        "",
        "high",
        "Pearson's correlation of forecast and truth over all pixels",
        "Jolliffe and Stephenson 2012, chapter 5",
        correlation,
    ),
)


def scores(sums: Float[np.ndarray, "lead moment"], value_width: float) -> dict[str, ByLead]:
    """Return each of `SCORES` by lead time.

    Args:
        sums: from `moments`, added up over windows.
        value_width: the data units from 0 to 1.
    """
    m = Moments(*sums.T)
    return {score.key: score.compute(m, value_width) for score in SCORES}
