"""Baselines: forecasts that need no training, which a network has to beat."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage.registration import optical_flow_ilk
from skimage.transform import downscale_local_mean, resize

FLOW_PAIRS = 5  # of the last frames, whose motion is averaged
FLOW_COARSENESS = 2  # motion is smooth: half the resolution is a quarter of the work
FLOW_RADIUS_PIXELS = 24  # of the area that moves as one; rain cells are of this size
FLOW_SMOOTHING_PIXELS = 15

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

    Motion: scikit-image's iterative Lucas-Kanade. Extrapolation: backward semi-Lagrangian with the
    motion kept constant, as Germann and Zawadzki 2002 (doi:10.1175/1520-0493(2002)130<2859>).
    """
    forecast = zeros(context, leads)
    for window, following in zip(context, forecast, strict=True):
        flow = motion(window.mean(axis=1))
        grid = np.mgrid[: flow.shape[1], : flow.shape[2]].astype(np.float32)
        origin = grid.copy()
        for lead in range(leads):
            origin -= [map_coordinates(part, origin, order=1, mode="nearest") for part in flow]
            for channel, frame in enumerate(window[-1]):
                map_coordinates(frame, origin, following[lead, channel], order=1)
    return forecast


def motion(frames: Float[np.ndarray, "time row col"]) -> Float[np.ndarray, "2 row col"]:
    """Return the motion at each pixel in pixels per frame, down and to the right.

    It is 0 if there is only one frame.
    """
    coarse = [
        downscale_local_mean(frame, (FLOW_COARSENESS, FLOW_COARSENESS)).astype(np.float32)
        for frame in frames[-1 - FLOW_PAIRS :]
    ]
    flow = np.zeros((2, *coarse[0].shape), np.float32)
    for before, after in pairwise(coarse):
        # The flow points from a pixel of `after` back to where it was in `before`.
        radius = FLOW_RADIUS_PIXELS // FLOW_COARSENESS
        flow -= optical_flow_ilk(after, before, radius=radius, num_warp=3, dtype=np.float32)
    flow *= FLOW_COARSENESS / max(1, len(coarse) - 1)
    smoothing = FLOW_SMOOTHING_PIXELS / FLOW_COARSENESS
    smooth = [gaussian_filter(part, smoothing, mode="nearest") for part in flow]
    return np.stack([resize(part, frames.shape[1:], order=1) for part in smooth])
