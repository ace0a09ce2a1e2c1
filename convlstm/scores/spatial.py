"""The fractions skill score: how often an event is in a square, so that it may be off by a little.

Roberts and Lean 2008 (doi:10.1175/2007MWR2123.1). The events of all squares of one size are counted
by a summed-area table. A score of this family computes an array of any shape from `Fractions`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from convlstm.scores.score import Score, ratio

Events = Bool[np.ndarray, "*which channel row col"]
Counts = Int[np.ndarray, "*which channel _ _"]
Cells = Float[np.ndarray, "*cell"]


class Squares(NamedTuple):
    """All squares of `side` x `side` pixels in a frame, and the ones without a missing pixel."""

    side: int
    whole: Bool[np.ndarray, "channel _ _"]


class Fractions(NamedTuple):
    """Sums over squares, of the fractions of each square that the events cover."""

    squared_difference: Cells
    forecast_squared: Cells
    truth_squared: Cells


def squares(mask: Bool[np.ndarray, "channel row col"], side: int) -> Squares:
    """Return the squares of a frame with this mask; none if the frame is smaller."""
    return Squares(side, _count_in_squares(_summed_area(mask), side) == side**2)


def fractions(
    events: Bool[np.ndarray, "which channel row col"], scales: Sequence[Squares]
) -> Float[np.ndarray, "forecast scale part"]:
    """Return the `Fractions` of each forecast and scale as the last axis.

    Args:
        events: where the event is, in each forecast and, last, in the truth.
        scales: the squares of each scale; only whole squares count.
    """
    table, parts_by_scale = _summed_area(events), []
    for side, whole in scales:
        counts = np.multiply(_count_in_squares(table, side), whole, dtype=np.float64)
        each = counts.reshape(len(counts), -1)
        # These are integers below 2^53: no order of adding changes a bit, so a forecast that equals
        # the truth has a difference of exactly 0.
        products = each @ each.T
        forecast, both, truth = products.diagonal()[:-1], products[:-1, -1], products[-1, -1]
        parts = np.broadcast_arrays(forecast - 2 * both + truth, forecast, truth)
        parts_by_scale.append(np.stack(parts, axis=1) / side**4)
    return np.stack(parts_by_scale, axis=1)


def _summed_area(events: Events) -> Counts:
    """Return the summed-area table of the events, one row and one column larger than the frame."""
    inner = events.cumsum(-2, np.int32).cumsum(-1, np.int32)
    return np.pad(inner, [(0, 0)] * (events.ndim - 2) + [(1, 0), (1, 0)])


def _count_in_squares(table: Counts, side: int) -> Counts:
    """Return the events in each square as D - B - C + A of the table's corners."""
    rows = table[..., side:, :] - table[..., :-side, :]
    return np.asarray(rows[..., side:] - rows[..., :-side])


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
