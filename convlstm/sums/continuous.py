"""Sums of values and of their products."""

from jaxtyping import Bool, Float
from torch import Tensor

from convlstm.scores.continuous import Moments
from convlstm.sums.columns import columns


def moments(
    forecasts: Float[Tensor, "forecast *lead channel row col"],
    truth: Float[Tensor, "*lead channel row col"],
    mask: Bool[Tensor, "*lead channel row col"],
) -> Float[Tensor, "forecast *lead moment"]:
    """Return the `Moments` of each frame as columns; frames hold 0 where the mask is False."""
    f, t = (frames.flatten(-3).double() for frames in (forecasts, truth))
    return columns(
        Moments._fields,
        n=mask.sum((-3, -2, -1)),
        f=f.sum(dim=-1),
        t=t.sum(dim=-1),
        ff=(f * f).sum(dim=-1),
        tt=(t * t).sum(dim=-1),
        ft=(f * t).sum(dim=-1),
    )
