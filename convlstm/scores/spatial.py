"""How often an event happens in squares of a frame, which forgives a forecast that is a bit off."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

Happens = Bool[np.ndarray, "*which channel row col"]
Counts = Int[np.ndarray, "*which channel _ _"]


class Squares(NamedTuple):
    """All squares of `side` x `side` pixels in a frame, and which of them miss no pixel."""

    side: int
    whole: Bool[np.ndarray, "channel _ _"]


def squares(valid: Bool[np.ndarray, "channel row col"], side: int) -> Squares:
    """The squares of a frame of which some pixels are not valid; none if it is smaller."""
    return Squares(side, _in_squares(_rectangles(valid), side) == side**2)


def fractions(
    happens: Bool[np.ndarray, "which channel row col"], scales: Sequence[Squares]
) -> Float[np.ndarray, "forecast scale part"]:
    """Sums over whole squares of (forecast - truth)^2, forecast^2 and truth^2.

    Args:
        happens: where the event does in each forecast and, last, in the truth; each term is a part
            of a square.
        scales: the squares of each scale.
    """
    rectangles, table = _rectangles(happens), []
    for side, whole in scales:
        counts = np.multiply(_in_squares(rectangles, side), whole, dtype=np.float64)
        each = counts.reshape(len(counts), -1)
        # of whole numbers below 2^53: no order of adding changes a bit, and a difference may be 0
        products = each @ each.T
        forecast, both, truth = products.diagonal()[:-1], products[:-1, -1], products[-1, -1]
        parts = np.broadcast_arrays(forecast - 2 * both + truth, forecast, truth)
        table.append(np.stack(parts, axis=1) / side**4)
    return np.stack(table, axis=1)


def _rectangles(happens: Happens) -> Counts:
    """How many events lie above and to the left of each corner between pixels."""
    inner = happens.cumsum(-2, np.int32).cumsum(-1, np.int32)
    return np.pad(inner, [(0, 0)] * (happens.ndim - 2) + [(1, 0), (1, 0)])


def _in_squares(rectangles: Counts, side: int) -> Counts:
    """How many events lie in each square; no square fits into a frame that is smaller."""
    rows = rectangles[..., side:, :] - rectangles[..., :-side, :]
    return np.asarray(rows[..., side:] - rows[..., :-side])
