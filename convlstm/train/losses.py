"""The losses that training minimises, over measured pixels only."""

from collections.abc import Callable
from itertools import combinations
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

BLOCKS_PIXELS = (1, 4, 16)
"""Sides of the squares whose means are scored, and what a mean leaves out of the next finer ones:
members that are right at single pixels only are neither smooth nor scattered as rain is."""
CHANGE_WEIGHT = 0.5  # of changes in time, relative to the values
Total = Callable[[Tensor], Tensor]
"""Returns the sum of a count over all processes that share a batch.

A loss of a part of a batch is divided by the count of the whole, so that the sum of the parts'
losses is the loss of the whole, and so are the sums of their gradients.
"""


def alone(count: Tensor) -> Tensor:
    """Return the count of a process that has the whole batch."""
    return count


def masked_mse(
    forecast: Float[Tensor, "*shape"],
    truth: Float[Tensor, "*shape"],
    mask: Bool[Tensor, "*shape"],
    total: Total = alone,
) -> Float[Tensor, ""]:
    """Return the mean squared error over the pixels in the mask; 0 if there are none."""
    errors = (forecast - truth) * mask.to(forecast.dtype)
    # a norm and its gradient go through memory once each, squares and their sum twice
    square: Tensor = torch.linalg.vector_norm(errors) ** 2
    return square / total(torch.count_nonzero(mask)).clamp(min=1)


def masked_mae(
    forecast: Float[Tensor, "*shape"],
    truth: Float[Tensor, "*shape"],
    mask: Bool[Tensor, "*shape"],
    total: Total = alone,
) -> Float[Tensor, ""]:
    """Return the mean absolute error over the pixels in the mask; 0 if there are none."""
    return _masked_mean((forecast - truth).abs(), mask, total)


def masked_weighted(
    forecast: Float[Tensor, "*lead folded row col"],
    truth: Float[Tensor, "*lead folded row col"],
    mask: Bool[Tensor, "*lead folded row col"],
    total: Total = alone,
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
        total: over the processes that share the batch.
        thresholds: of each channel, ascending, on the scale of the truth.
        weights: of values below the first threshold, then from each threshold on.
    """
    error = forecast - truth
    folds = truth.shape[-3] // len(thresholds)
    each = thresholds.T.repeat(1, folds)[:, :, None, None]
    classes = torch.stack([truth >= limit for limit in each]).sum(dim=0)
    weight = weights[classes]
    return _masked_mean(weight * (error**2 + error.abs()), mask, total)


def _masked_mean(
    errors: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"], total: Total
) -> Float[Tensor, ""]:
    weights = mask.to(errors.dtype)  # once, because the backward pass multiplies by it too
    return (errors * weights).sum() / total(torch.count_nonzero(mask)).clamp(min=1)


def mean_crps(
    members: Float[Tensor, "member ..."],
    truth: Float[Tensor, "..."],
    weights: Float[Tensor, "..."],
    alpha: float,
    total: Total = alone,
) -> Float[Tensor, ""]:
    """Return the weighted mean of the almost fair CRPS; of one member, that of the absolute error.

    Lang et al. 2024 (arXiv:2412.15832), equation 4, as a sum over pairs, of which none is negative,
    so that nothing cancels in float32.

    Args:
        members: of the forecast, in float32 or finer.
        truth: the truth.
        weights: of each value, not negative; if all are 0, so is the mean.
        alpha: 1 is the fair score; a little less keeps the spread of few members finite.
        total: over the processes that share the batch.
    """
    score: Tensor = _MeanCrps.apply(members, truth, weights, alpha, total)  # type: ignore[no-untyped-call]
    return score


class _MeanCrps(torch.autograd.Function):
    """The score and, on the same way through memory, its gradient, which is made of signs."""

    @staticmethod
    def forward(
        ctx: Any,
        members: Float[Tensor, "member ..."],
        truth: Float[Tensor, "..."],
        weights: Float[Tensor, "..."],
        alpha: float,
        total: Total,
    ) -> Float[Tensor, ""]:
        """Return the score, and keep the gradient of the members."""
        count = len(members)
        errors = members - truth
        grads = errors.sign()
        errors.abs_()
        kept, pairs = 1 - (1 - alpha) / count, list(combinations(range(count), 2))
        score = torch.zeros_like(truth) if pairs else errors[0]
        grads *= max(1, count - 1)
        for a, b in pairs:
            between = members[a] - members[b]
            sign = between.sign()
            grads[a].sub_(sign, alpha=kept)
            grads[b].add_(sign, alpha=kept)
            score += torch.add(errors[a], errors[b]).sub_(between.abs_(), alpha=kept)
        scale = 1 / (total(weights.sum()).clamp(min=1e-6) * max(1, count * (count - 1)))
        ctx.save_for_backward(grads.mul_(weights), scale)
        return score.mul_(weights).sum() * scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, ""]) -> tuple[Tensor, None, None, None, None]:
        """Return the gradient of the members; the truth is given none."""
        grads, scale = ctx.saved_tensors
        return grads * (grad * scale), None, None, None, None


def masked_crps(
    members: Float[Tensor, "member batch time channel row col"],
    truth: Float[Tensor, "batch time channel row col"],
    mask: Bool[Tensor, "batch time channel row col"],
    alpha: float,
    total: Total = alone,
) -> Float[Tensor, ""]:
    """Return the almost fair CRPS of the means of blocks and of the details between them.

    It is the sum over `BLOCKS_PIXELS`, divided by their number. A detail is the mean of a block
    less that of the next larger one around it, and has a CRPS of its own because an error of large
    scale would hide it. So has, with half the weight, a change from one frame to the next, which an
    ensemble that stands still would not have.
    """
    finest = Blocks(members, truth, mask.to(truth.dtype), BLOCKS_PIXELS[0])
    loss = finest.crps(alpha, total)
    for side in BLOCKS_PIXELS[1:]:
        larger = finest.larger(side)
        loss = loss + larger.crps(alpha, total) + finest.details(larger).crps(alpha, total)
        loss = loss + CHANGE_WEIGHT * finest.changes().crps(alpha, total)
        finest = larger
    return loss / len(BLOCKS_PIXELS)


class Blocks(NamedTuple):
    """Means of the measured pixels of squares, and how much of each is measured."""

    members: Float[Tensor, "member batch time channel row col"]
    truth: Float[Tensor, "batch time channel row col"]
    weights: Float[Tensor, "batch time channel row col"]
    side: int

    def crps(self, alpha: float, total: Total) -> Float[Tensor, ""]:
        """Return the weighted mean of the almost fair CRPS; 0 if nothing is measured."""
        return mean_crps(self.members, self.truth, self.weights, alpha, total)

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
            members=_less(self.members, larger.members, ratio),
            truth=_less(self.truth, larger.truth, ratio),
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
    rows = _in_blocks(frames, side).sum(dim=-3)  # twice as fast as a pooling
    return rows.sum(dim=-1) / side**2


def _in_blocks(
    frames: Float[Tensor, "*lead row col"], side: int
) -> Float[Tensor, "*lead blockrow {side} blockcol {side}"]:
    """Return a view by squares, with zeros beyond the lower and right edge."""
    below, right = (-size % side for size in frames.shape[-2:])
    if below or right:  # else it would be a copy
        frames = pad(frames, (0, right, 0, below))
    rows, cols = (size // side for size in frames.shape[-2:])
    return frames.reshape(*frames.shape[:-2], rows, side, cols, side)


def _less(
    frames: Float[Tensor, "*lead row col"], means: Float[Tensor, "*lead _ _"], side: int
) -> Float[Tensor, "*lead row col"]:
    """Return what frames have beside the means of their squares."""
    blocks = _in_blocks(frames, side) - means[..., :, None, :, None]
    rows, cols = frames.shape[-2:]
    return blocks.flatten(-4, -3).flatten(-2)[..., :rows, :cols]
