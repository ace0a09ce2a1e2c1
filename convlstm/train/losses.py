"""The losses that training minimises, over measured pixels only."""

from itertools import combinations
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

BLOCKS_PIXELS = (1, 4, 16)
"""Sides of the squares whose means are scored, and what a mean leaves out of the next finer ones:
members that are right at single pixels only are neither smooth nor scattered as rain is."""
CHANGE_WEIGHT = 0.5  # of changes in time, relative to the values


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


def masked_weighted(
    forecast: Float[Tensor, "*lead folded row col"],
    truth: Float[Tensor, "*lead folded row col"],
    mask: Bool[Tensor, "*lead folded row col"],
    *,
    thresholds: Float[Tensor, "channel threshold"],
    weights: Float[Tensor, " class"],
) -> Float[Tensor, ""]:
    """Return the mean of squared and absolute errors, of which those of heavy pixels weigh more.

    It is the sum of the balanced MSE and MAE of HKO-7 (Shi et al. 2017, arXiv:1706.03458, section
    4.3): without weights a loss does best to leave out the few pixels of heavy rain.

    Args:
        forecast: in [0, 1]; its channels may be folded, as `fold` orders them.
        truth: in [0, 1]; it alone decides on the weight.
        mask: of measured pixels.
        thresholds: of each channel, ascending, on the scale of the truth.
        weights: of values below the first threshold, then from each threshold on.
    """
    error = forecast - truth
    folds = truth.shape[-3] // len(thresholds)
    each = thresholds.T.repeat(1, folds)[:, :, None, None]
    classes = torch.stack([truth >= limit for limit in each]).sum(dim=0)
    weight = weights[classes]
    return _masked_mean(weight * (error**2 + error.abs()), mask)


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
    alpha: float,
) -> Float[Tensor, ""]:
    """Return the almost fair CRPS of the means of blocks and of the details between them.

    It is the sum over `BLOCKS_PIXELS`, divided by their number. A detail is the mean of a block
    less that of the next larger one around it, and has a CRPS of its own because an error of large
    scale would hide it. So has, with half the weight, a change from one frame to the next, which an
    ensemble that stands still would not have.
    """
    finest = Blocks(members, truth, mask.to(truth.dtype), BLOCKS_PIXELS[0])
    total = finest.crps(alpha)
    for side in BLOCKS_PIXELS[1:]:
        larger = finest.larger(side)
        total = total + larger.crps(alpha) + finest.details(larger).crps(alpha)
        total = total + CHANGE_WEIGHT * finest.changes().crps(alpha)
        finest = larger
    return total / len(BLOCKS_PIXELS)


class Blocks(NamedTuple):
    """Means of the measured pixels of squares, and how much of each is measured."""

    members: Float[Tensor, "member batch time channel row col"]
    truth: Float[Tensor, "batch time channel row col"]
    weights: Float[Tensor, "batch time channel row col"]
    side: int

    def crps(self, alpha: float) -> Float[Tensor, ""]:
        """Return the weighted mean of the almost fair CRPS; 0 if nothing is measured."""
        score = crps(self.members, self.truth, alpha) * self.weights
        return score.sum() / self.weights.sum().clamp(min=1e-6)

    def larger(self, side: int) -> "Blocks":
        """Return the blocks of a larger side, a multiple of this one."""
        ratio = side // self.side
        weights = _block_means(self.weights, ratio)
        least = weights.clamp(min=1e-6)
        return Blocks(
            _block_means(self.members * self.weights, ratio) / least,
            _block_means(self.truth * self.weights, ratio) / least,
            weights,
            side,
        )

    def details(self, larger: "Blocks") -> "Blocks":
        """Return what these have and the larger ones around them have not."""
        ratio = larger.side // self.side
        return self._replace(
            members=self.members - _repeated(larger.members, ratio, self.members.shape),
            truth=self.truth - _repeated(larger.truth, ratio, self.truth.shape),
        )

    def changes(self) -> "Blocks":
        """Return the changes from each frame to the next, where both are measured."""
        return self._replace(
            members=self.members.diff(dim=2),
            truth=self.truth.diff(dim=1),
            weights=self.weights[:, 1:] * self.weights[:, :-1],
        )


def _block_means(frames: Float[Tensor, "*lead row col"], side: int) -> Float[Tensor, "*lead _ _"]:
    """Return the means of squares; beyond the lower and right edge stand zeros."""
    below, right = (-size % side for size in frames.shape[-2:])
    flat = pad(frames.flatten(0, -3)[:, None], (0, right, 0, below))
    means = avg_pool2d(flat, side)
    return means.reshape(*frames.shape[:-2], *means.shape[-2:])


def _repeated(
    means: Float[Tensor, "*lead row col"], side: int, shape: tuple[int, ...]
) -> Float[Tensor, "*lead _ _"]:
    """Return the mean of its block at each place of `shape`."""
    rows, cols = means.shape[-2:]
    wide = means[..., :, None, :, None].expand(*means.shape[:-2], rows, side, cols, side)
    return wide.reshape(*means.shape[:-2], rows * side, cols * side)[..., : shape[-2], : shape[-1]]
