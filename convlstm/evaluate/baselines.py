"""Baselines: forecasts that need no network, which a network has to beat."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from convlstm.model.batches import Batches
from convlstm.model.motion import extrapolation
from convlstm.scores.continuous import Moments, moments

WIDTHS_PIXELS = (0.0, 1.0, 1.5, 2.5, 4.0, 6.0, 9.0, 14.0)  # of blurs to choose from
FIT_PIXELS = 2**20  # of the training windows, a frame of each, that choose: seconds of work
FIT_BATCH = 8  # windows at a time

Frames = Float[np.ndarray, "batch time channel row col"]


@dataclass(frozen=True)
class Smoothing:
    """The blur and the line that minimise the squared error of an extrapolation, by lead time.

    `width` is the standard deviation of a Gaussian in pixels. Of a blurred value x the forecast is
    `factor` x + `offset`.
    """

    width: Float[np.ndarray, " lead"]
    factor: Float[np.ndarray, " lead"]
    offset: Float[np.ndarray, " lead"]


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


def smoothed(
    parts: Sequence[tuple[slice, Smoothing]], context: Frames, leads: int
) -> Float[np.ndarray, "batch {leads} _ _ _"]:
    """Blur the extrapolation and shrink it towards the mean, the more the longer the lead time.

    What cannot be foretold costs less squared error if it is not forecast: a network that beats
    `advection` in MSE alone may have learnt no more than this.

    Args:
        parts: channels, and their smoothing.
        context: the known frames.
        leads: the number of lead times.
    """
    carried = extrapolation(context, leads)
    for channels, smoothing in parts:
        lines = zip(smoothing.width, smoothing.factor, smoothing.offset, strict=True)
        for lead, (width, factor, offset) in enumerate(lines):
            own = carried[:, lead, channels]
            carried[:, lead, channels] = _blurred(own, width) * factor + offset
    return carried


def fit_smoothing(batches: Batches, channels: slice = slice(None)) -> Smoothing:
    """Return the smoothing of least squared error on training windows, at measured pixels.

    The windows are spread evenly over all of training, as many as `FIT_PIXELS` allow; of their
    frames only these channels count.
    """
    known, count = batches.context_frames, batches.count("train")
    most = min(count, max(FIT_BATCH, FIT_PIXELS // batches.geometry.pixels))
    numbers = np.linspace(0, count - 1, most).astype(int)
    sums = np.zeros((len(WIDTHS_PIXELS), batches.forecast_frames, len(Moments._fields)))
    for start in range(0, most, FIT_BATCH):
        batch = batches.take("train", numbers[start : start + FIT_BATCH])
        frames, mask = batches.pixels(batch)
        carried = extrapolation(frames[:, :known], batches.forecast_frames)[:, :, channels]
        frames, mask = frames[:, :, channels], mask[:, :, channels]
        for number, width in enumerate(WIDTHS_PIXELS):
            blurred = np.where(mask[:, known:], _blurred(carried, width), 0)
            for window in zip(blurred, frames[:, known:], mask[:, known:], strict=True):
                sums[number] += moments(*window)
    return _least_squares(sums)


def _blurred(
    frames: Float[np.ndarray, "*lead channel row col"], width: float
) -> Float[np.ndarray, "*lead channel row col"]:
    sides = (0,) * (frames.ndim - 2) + (width, width)
    return np.asarray(gaussian_filter(frames, sides, mode="nearest"))


def _least_squares(sums: Float[np.ndarray, "width lead moment"]) -> Smoothing:
    """Return the best width of each lead time with its line of regression.

    Where the extrapolation is the same everywhere, the mean of the truth is forecast.
    """
    m = Moments(*np.moveaxis(sums / np.maximum(sums[..., :1], 1), -1, 0))
    both, own = m.ft - m.f * m.t, m.ff - m.f * m.f
    factor = np.divide(both, own, out=np.zeros_like(own), where=own > 1e-12)
    best = np.argmax(both * factor, axis=0)  # the variance of the truth that the line explains
    leads = np.arange(len(best))
    offset = m.t - factor * m.f
    return Smoothing(np.array(WIDTHS_PIXELS)[best], factor[best, leads], offset[best, leads])
