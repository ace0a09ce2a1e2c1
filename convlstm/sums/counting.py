"""Histograms of whole numbers, frame by frame."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Choices = Bool[Tensor, "member *shape"]


def chosen_by(choices: Choices) -> Int[Tensor, "*shape"]:
    """Return at each place how many members choose it."""
    dtype = torch.uint8 if len(choices) < 256 else torch.int32  # bytes are added fastest
    return choices.view(torch.uint8).sum(dim=0, dtype=dtype).int()


def histogram(
    numbers: Int[Tensor, "forecast *lead channel row col"],
    mask: Bool[Tensor, "*lead channel row col"],
    bins: int,
) -> Float[Tensor, "forecast *lead {bins}"]:
    """Return how many measured pixels of each frame hold 0, 1, ... `bins` - 1."""
    shape, pixels = numbers.shape[:-3], numbers.shape[-3:].numel()
    # what is not measured is counted in a last bin, which is left out
    found = torch.where(mask, numbers, bins).reshape(-1, pixels)
    first = torch.arange(len(found), dtype=found.dtype, device=found.device) * (bins + 1)
    counts = (found + first[:, None]).flatten().bincount(minlength=len(found) * (bins + 1))
    return counts.reshape(*shape, bins + 1)[..., :bins].double()
