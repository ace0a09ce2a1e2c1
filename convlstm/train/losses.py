"""The losses that training minimises, over measured pixels only."""

from jaxtyping import Bool, Float
from torch import Tensor


def masked_mse(
    forecast: Float[Tensor, "*shape"], truth: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Return the mean squared error over the pixels in the mask; 0 if there are none."""
    weights = mask.to(forecast.dtype)  # once, because the backward pass multiplies by it too
    return ((forecast - truth) ** 2 * weights).sum() / mask.sum().clamp(min=1)
