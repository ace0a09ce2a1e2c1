"""The losses that training minimises, over measured pixels only."""

from itertools import combinations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

ALPHA = 0.95  # of the almost fair CRPS: 1 is fair, and with two members lets them part for nothing
BLOCKS_PIXELS = (1, 4, 16)
"""Sides of the squares whose means are scored: members that are right at single pixels only are
neither smooth nor scattered as rain is."""


def masked_mse(
    forecast: Float[Tensor, "*shape"], truth: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Return the mean squared error over the pixels in the mask; 0 if there are none."""
    return _masked_mean((forecast - truth) ** 2, mask)


def masked_mae(
    forecast: Float[Tensor, "*shape"], truth: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Return the mean absolute error over the pixels in the mask; 0 if there are none."""
    return _masked_mean((forecast - truth).abs(), mask)


def _masked_mean(
    errors: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    weights = mask.to(errors.dtype)  # once, because the backward pass multiplies by it too
    return (errors * weights).sum() / mask.sum().clamp(min=1)


def crps(
    members: Float[Tensor, "member ..."], truth: Float[Tensor, "..."], alpha: float
) -> Float[Tensor, "..."]:
    """Return the almost fair CRPS of each value; with one member the absolute error.

    Lang et al. 2024 (arXiv:2412.15832), equation 4, as a sum over pairs, of which none is negative,
    so that nothing cancels in float32.

    Args:
        members: of the forecast, in float32 or finer.
        truth: the truth.
        alpha: 1 is the fair score; a little less keeps the spread of few members finite.
    """
    count = len(members)
    errors = (members - truth).abs()
    if count == 1:
        return errors[0]
    kept = 1 - (1 - alpha) / count
    pairs = [
        errors[a] + errors[b] - kept * (members[a] - members[b]).abs()
        for a, b in combinations(range(count), 2)
    ]
    return torch.stack(pairs).sum(dim=0) / (count * (count - 1))


def masked_crps(
    members: Float[Tensor, "member batch time channel row col"],
    truth: Float[Tensor, "batch time channel row col"],
    mask: Bool[Tensor, "batch time channel row col"],
) -> Float[Tensor, ""]:
    """Return the almost fair CRPS of the means of blocks, averaged over `BLOCKS_PIXELS`."""
    weights = mask.to(truth.dtype)
    total = truth.new_zeros(())
    for side in BLOCKS_PIXELS:
        own = _block_means(weights, side)
        least = own.clamp(min=1e-6)
        own_truth = _block_means(truth * weights, side) / least
        own_members = _block_means(members * weights, side) / least
        score = crps(own_members, own_truth, ALPHA) * own
        total = total + score.sum() / own.sum().clamp(min=1e-6)
    return total / len(BLOCKS_PIXELS)


def _block_means(frames: Float[Tensor, "*lead row col"], side: int) -> Float[Tensor, "*lead _ _"]:
    """Return the means of squares; those at the lower and right edge may be smaller."""
    if side == 1:
        return frames
    flat = avg_pool2d(frames.flatten(0, -3)[:, None], side, ceil_mode=True, count_include_pad=False)
    return flat.reshape(*frames.shape[:-2], *flat.shape[-2:])
