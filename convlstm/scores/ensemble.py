"""Scores of an ensemble, pooled over pixels and windows; one forecast is an ensemble of one.

A score of this family computes an array by lead time from `Sums` and the width of the value range
in data units.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from convlstm.scores.score import Score, ratio

Members = Float[np.ndarray, "member lead channel row col"]
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


def sums(
    members: Members,
    truth: Float[np.ndarray, "lead channel row col"],
    mask: Bool[np.ndarray, "lead channel row col"],
) -> Float[np.ndarray, "lead part"]:
    """Return the `Sums` of one window as columns."""
    count = len(members)
    mean = members.mean(axis=0, dtype=np.float64)
    if count == 1:
        variance = np.full_like(mean, np.nan)
    else:
        variance = members.var(axis=0, ddof=1, dtype=np.float64) * (count + 1) / count
    parts = (np.ones_like(mean), fair_crps(members, truth), variance, (mean - truth) ** 2)
    return np.stack([np.where(mask, part, 0).sum(axis=(1, 2, 3)) for part in parts], axis=1)


def fair_crps(
    members: Members, truth: Float[np.ndarray, "lead channel row col"]
) -> Float[np.ndarray, "lead channel row col"]:
    """Return the fair CRPS at each pixel; of one member it is the absolute error.

    Ferro 2014 (doi:10.1002/qj.2270): mean |x - y| - sum over pairs |x - x'| / (M (M - 1)), each
    pair once. The sum over pairs is taken from the sorted members, whose k-th is the larger one of
    k - 1 pairs and the smaller one of M - k.
    """
    count = len(members)
    error = np.abs(members - truth).mean(axis=0, dtype=np.float64)
    if count == 1:
        return np.asarray(error)
    weights = 2 * np.arange(1, count + 1) - count - 1
    pairs = np.tensordot(weights, np.sort(members.astype(np.float64), axis=0), axes=1)
    return np.asarray(error - pairs / (count * (count - 1)))


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
