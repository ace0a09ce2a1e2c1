"""Sums put side by side, in the order in which the scores name them."""

import torch
from jaxtyping import Float, Num
from torch import Tensor


def columns(names: tuple[str, ...], **parts: Num[Tensor, "*_"]) -> Float[Tensor, "*cell column"]:
    """Return the parts in float64 as the last axis; what all forecasts share is repeated.

    Args:
        names: the fields of a named tuple of `scores`.
        parts: by these names; each has the last axes of the one with the most.
    """
    widest = max(parts.values(), key=Tensor.dim)
    return torch.stack([parts[name].double().expand_as(widest) for name in names], dim=-1)
