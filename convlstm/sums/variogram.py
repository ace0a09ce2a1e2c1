"""Sums over pairs of pixels of how much their values differ."""

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from convlstm.scores.variogram import DISTANCES_PIXELS, Sums
from convlstm.sums.columns import columns
from convlstm.sums.measured import sum_measured


def sums(
    members: Float[Tensor, "member forecast *lead channel row col"],
    truth: Float[Tensor, "*lead channel row col"],
    mask: Bool[Tensor, "*lead channel row col"],
) -> Float[Tensor, "forecast *lead part"]:
    """Return the `Sums` of each frame as columns, for each forecast by an ensemble.

    All values must be finite, also where the mask is False.
    """
    found = members.new_zeros(*members.shape[1:-3], len(Sums._fields), dtype=torch.float64)
    for distance in DISTANCES_PIXELS:
        for axis in (-2, -1):
            both = torch.logical_and(*_pairs(mask, distance, axis))
            # One member after the other: all of them at once would not fit into a cache.
            mean = _variogram(members[0], distance, axis)
            for member in members[1:]:
                mean += _variogram(member, distance, axis)
            mean /= len(members)
            errors = mean.sub_(_variogram(truth, distance, axis)).square_()
            parts = columns(
                Sums._fields, weights=both.sum((-3, -2, -1)), squares=sum_measured(errors, both)
            )
            found += parts / distance
    return found


def _pairs(
    frames: Shaped[Tensor, "*lead row col"], distance: int, axis: int
) -> tuple[Shaped[Tensor, "..."], Shaped[Tensor, "..."]]:
    """Return the first pixel of each pair along rows (-2) or columns (-1), and the second one."""
    size = frames.shape[axis]
    count = max(0, size - distance)
    return frames.narrow(axis, 0, count), frames.narrow(axis, size - count, count)


def _variogram(
    frames: Float[Tensor, "*lead row col"], distance: int, axis: int
) -> Float[Tensor, "..."]:
    """Return the square root of the difference at each pair."""
    return torch.sub(*_pairs(frames, distance, axis)).abs_().sqrt_()
