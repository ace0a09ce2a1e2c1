"""The sum over the measured pixels of a frame."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

ByFrame = Float[Tensor, "forecast *lead"]


def sum_measured(
    values: Float[Tensor, "forecast *lead channel row col"],
    mask: Bool[Tensor, "*lead channel row col"],
) -> ByFrame:
    """Return the sum over measured pixels of each frame in float64.

    As a product with the mask it takes half the time of a choice and a sum, but all values must be
    finite.
    """
    each, counted = values.flatten(-3).double(), mask.flatten(-3).double()
    return torch.einsum("f...p,...p->f...", each, counted)
