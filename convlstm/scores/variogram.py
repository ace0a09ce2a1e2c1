"""The variogram score: whether values some pixels apart differ as much as they do in the truth.

Scheuerer and Hamill 2015 (doi:10.1175/MWR-D-14-00269.1), order 0.5. The CRPS sees one pixel at a
time; this score sees that members blur or are noisy. Of all pairs of pixels it takes those in a row
or column at a few distances, so that its cost grows with the frame and not with the square of it. A
score of this family computes an array by lead time from `Sums` and the width of the value range in
data units.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from convlstm.scores.score import Score, ratio

DISTANCES_PIXELS = (1, 4, 16)
"""A pair weighs 1 / distance, as Scheuerer and Hamill advise: what is far apart tells less."""

ByLead = Float[np.ndarray, " lead"]


class Sums(NamedTuple):
    """Sums over pairs by lead time, each with its weight: of weights, and of squared errors."""

    weights: ByLead
    squares: ByLead


def sums(
    ensembles: Sequence[Float[np.ndarray, "_ lead channel row col"]],
    truth: Float[np.ndarray, "lead channel row col"],
    mask: Bool[np.ndarray, "lead channel row col"],
) -> list[Float[np.ndarray, "lead part"]]:
    """Return the `Sums` of one window for each of several ensembles, as columns."""
    found = [np.zeros((len(truth), len(Sums._fields))) for _ in ensembles]
    for distance in DISTANCES_PIXELS:
        for axis in (-2, -1):
            both = np.logical_and(*_pairs(mask, distance, axis))
            true, weight = _variogram(truth, distance, axis), 1 / distance
            for own, members in zip(found, ensembles, strict=True):
                # One member after the other: all of them at once would not fit into the cache.
                total = sum(_variogram(member, distance, axis) for member in members)
                squares = (total / len(members) - true) ** 2
                for part, values in zip(own.T, (both, np.where(both, squares, 0)), strict=True):
                    part += weight * values.sum(axis=(1, 2, 3), dtype=np.float64)
    return found


def _pairs(
    frames: Shaped[np.ndarray, "..."], distance: int, axis: int
) -> tuple[Shaped[np.ndarray, "..."], Shaped[np.ndarray, "..."]]:
    """Return the first pixel of each pair along rows (-2) or columns (-1), and the second one."""
    if axis == -2:
        return frames[..., :-distance, :], frames[..., distance:, :]
    return frames[..., :-distance], frames[..., distance:]


def _variogram(
    frames: Float[np.ndarray, "..."], distance: int, axis: int
) -> Float[np.ndarray, "..."]:
    """Return the square root of the difference at each pair."""
    first, second = _pairs(frames, distance, axis)
    return np.asarray(np.sqrt(np.abs(first - second)))


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
