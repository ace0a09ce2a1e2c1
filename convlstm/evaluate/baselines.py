"""Baselines: forecasts that need no training, which a network has to beat."""

import numpy as np
from jaxtyping import Float

from convlstm.model.motion import extrapolation

Frames = Float[np.ndarray, "batch time channel row col"]


def zeros(context: Frames, leads: int) -> Float[np.ndarray, "batch {leads} _ _ _"]:
    """Forecast 0 everywhere; on sparse rain this beats published models in SSIM."""
    return np.zeros_like(context, shape=(len(context), leads, *context.shape[2:]))


def persistence(context: Frames, leads: int) -> Float[np.ndarray, "batch {leads} _ _ _"]:
    """Forecast that the last frame stays."""
    return np.repeat(context[:, -1:], leads, axis=1)


def climatology(
    mean: Float[np.ndarray, "channel row col"], context: Frames, leads: int
) -> Float[np.ndarray, "batch {leads} _ _ _"]:
    """Forecast the mean frame of training, whatever the context."""
    return np.broadcast_to(mean, (len(context), leads, *mean.shape))


def advection(context: Frames, leads: int) -> Float[np.ndarray, "batch {leads} _ _ _"]:
    """Carry the last frame on with the motion of the context; what enters from outside is 0.

    It is what the readout `motion` does before it is trained.
    """
    return extrapolation(context, leads)
