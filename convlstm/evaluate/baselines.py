"""Baselines: forecasts that need no network, which a network has to beat."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from convlstm.model.batches import Batches
from convlstm.model.motion import extrapolated, motion, paths
from convlstm.scores.continuous import Moments
from convlstm.sums.continuous import moments

WIDTHS_PIXELS = (0.0, 1.0, 1.5, 2.5, 4.0, 6.0, 9.0, 14.0)  # of blurs to choose from
FIT_PIXELS = 2**20  # of the training windows, a frame of each, that choose: seconds of work
FIT_BATCH = 8  # windows at a time
REACH_WIDTHS = 4  # of a blur: what lies further away weighs less than a thousandth

Frames = Float[Tensor, "batch time channel row col"]


@dataclass(frozen=True)
class Context:
    """The knowledge of a baseline: frames in [0, 1], and how many lead times shall follow."""

    frames: Frames
    leads: int

    @cached_property
    def carried(self) -> Frames:
        """The last frames carried on with the motion of their context, of which all is measured.

        It is computed in float64, so that what stands still stays to the last bit.
        """
        frames = self.frames.double()
        flow = motion(frames.mean(dim=2), torch.ones_like(frames[:, :, 0]))
        return extrapolated(frames[:, -1], paths(flow, self.leads)).to(self.frames.dtype)


@dataclass(frozen=True)
class Smoothing:
    """The blur and the line that minimise the squared error of an extrapolation, by lead time.

    `width` is the standard deviation of a Gaussian in pixels. Of a blurred value x the forecast is
    `factor` x + `offset`.
    """

    width: Float[np.ndarray, " lead"]
    factor: Float[np.ndarray, " lead"]
    offset: Float[np.ndarray, " lead"]


def zeros(context: Context) -> Frames:
    """Forecast 0 everywhere; on sparse rain this beats published models in SSIM."""
    return torch.zeros_like(persistence(context))


def persistence(context: Context) -> Frames:
    """Forecast that the last frame stays."""
    return context.frames[:, -1:].expand(-1, context.leads, -1, -1, -1)


def climatology(mean: Float[Tensor, "channel row col"], context: Context) -> Frames:
    """Forecast the mean frame of training, whatever the context."""
    return mean.expand(len(context.frames), context.leads, -1, -1, -1)


def advection(context: Context) -> Frames:
    """Carry the last frame on with the motion of the context; what enters from outside is 0.

    It is what the readout `motion` does before it is trained.
    """
    return context.carried


def smoothed(parts: Sequence[tuple[slice, Smoothing]], context: Context) -> Frames:
    """Blur the extrapolation and shrink it towards the mean, the more the longer the lead time.

    What cannot be foretold costs less squared error if it is not forecast: a network that beats
    `advection` in MSE alone may have learnt no more than this.

    Args:
        parts: channels, and their smoothing.
        context: the known frames.
    """
    found = context.carried.clone()
    for channels, smoothing in parts:
        lines = zip(smoothing.width, smoothing.factor, smoothing.offset, strict=True)
        for lead, (width, factor, offset) in enumerate(lines):
            own = found[:, lead, channels]
            found[:, lead, channels] = blurred(own, width).double() * factor + offset
    return found


def fit_smoothing(
    batches: Batches, device: torch.device, channels: slice = slice(None)
) -> Smoothing:
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
        frames, mask = (torch.from_numpy(own).to(device) for own in batches.pixels(batch))
        carried = Context(frames[:, :known], batches.forecast_frames).carried[:, :, channels]
        for lead in range(batches.forecast_frames):
            truth, measured = (own[:, known + lead, channels] for own in (frames, mask))
            every = torch.stack([blurred(carried[:, lead], width) for width in WIDTHS_PIXELS])
            own = moments(torch.where(measured, every, 0), truth, measured)
            sums[:, lead] += own.sum(dim=1).cpu().numpy()
    return _least_squares(sums)


def blurred(
    frames: Float[Tensor, "*lead channel row col"], width: float
) -> Float[Tensor, "*lead channel row col"]:
    """Return frames that are blurred by a Gaussian of this standard deviation in pixels.

    It is that of `scipy.ndimage.gaussian_filter` with the nearest pixel outside, as a product of
    matrices for each axis, which any device does fast: a CPU in half of the time.
    """
    if not width:
        return frames
    down, right = (_weights(size, width).to(frames.device) for size in frames.shape[-2:])
    return (down @ frames.double() @ right.mT).to(frames.dtype)


def _weights(size: int, width: float) -> Float[Tensor, "{size} {size}"]:
    """Return the weight of each pixel of a line (column) in each blurred one (row)."""
    reach = int(REACH_WIDTHS * width + 0.5)
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-((offsets.double() / width) ** 2) / 2)
    places = (torch.arange(size)[:, None] + offsets).clamp(0, size - 1)
    found = torch.zeros(size, size, dtype=torch.float64)
    return found.scatter_add_(1, places, (weights / weights.sum()).expand(size, -1))


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
