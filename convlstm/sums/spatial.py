"""Sums over squares of how much of them events cover."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from convlstm.scores.spatial import Fractions
from convlstm.sums.columns import columns
from convlstm.sums.squares import in_squares


class Squares(NamedTuple):
    """All squares of `side` x `side` pixels in a frame, and the ones without a missing pixel."""

    side: int
    whole: Bool[Tensor, "*lead channel _ _"]


def squares(mask: Bool[Tensor, "*lead channel row col"], side: int) -> Squares:
    """Return the squares of frames with this mask; none if a frame is smaller."""
    return Squares(side, in_squares(mask.int(), side) == side**2)


def fractions(
    events: Bool[Tensor, "which *lead channel row col"], scales: Sequence[Squares]
) -> Float[Tensor, "forecast *lead scale part"]:
    """Return the `Fractions` of each forecast and scale as the last axis.

    Args:
        events: where the event is, in each forecast and, last, in the truth.
        scales: the squares of each scale; only whole squares count.
    """
    found = []
    for side, whole in scales:
        # Small numbers are added fastest.
        numbers = events.to(torch.int16 if side**2 < 2**15 else torch.int32)
        each = (in_squares(numbers, side) * whole).double().flatten(-3).movedim(0, -2)
        # These are integers below 2^53: no order of adding changes a bit, so a forecast that equals
        # the truth has a difference of exactly 0.
        products = (each @ each.mT).movedim((-2, -1), (0, 1))
        *own, truth = (products[number, number] for number in range(len(products)))
        forecast = torch.stack(own)
        parts = columns(
            Fractions._fields,
            squared_difference=forecast - 2 * products[:-1, -1] + truth,
            forecast_squared=forecast,
            truth_squared=truth,
        )
        found.append(parts / side**4)
    return torch.stack(found, dim=-2)
