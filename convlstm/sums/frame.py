"""Values of single frames, as PredRNN and OpenSTL define them.

Frames hold values in [0, 1]. MSE and FMAE are sums over pixels, not means; SSIM, PSNR and sharpness
are taken of the bytes, uint8(255 x). Pixels outside the mask (missing in the truth) count nowhere:
`values` sets them to 0 in both frames. Each function returns a value per frame in float64, NaN
where it is undefined.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from convlstm.scores.frame import Values
from convlstm.sums.columns import columns
from convlstm.sums.measured import sum_measured
from convlstm.sums.squares import in_squares

Forecasts = Float[Tensor, "forecast *lead channel row col"]
Frames = Float[Tensor, "*lead channel row col"]
Mask = Bool[Tensor, "*lead channel row col"]
ByForecast = Float[Tensor, "forecast *lead"]

PIXELS = (-3, -2, -1)
SSIM_AREA_PIXELS = 7
SSIM_FLOORS = ((0.01 * 255) ** 2, (0.03 * 255) ** 2)  # of means and of variances, Wang et al. 2004
PSNR_CAP_DB = 100.0  # of a perfect frame, whose PSNR is infinite and would swallow every mean


def values(
    forecasts: Forecasts, truth: Frames, mask: Mask
) -> Float[Tensor, "forecast *lead value"]:
    """Return the `Values` of each frame as columns; all NaN if no pixel of it is measured."""
    forecasts, truth = (torch.where(mask, frames, 0) for frames in (forecasts, truth))
    shown, true = as_bytes(forecasts), as_bytes(truth)
    found = columns(
        Values._fields,
        mse=mse(forecasts, truth),
        fmae=fmae(forecasts, truth),
        ssim=ssim(shown, true, mask),
        psnr=psnr(shown, true, mask),
        sharpness=sharpness(shown, mask),
        truth_sharpness=sharpness(true, mask),
    )
    return torch.where(mask.any(dim=PIXELS)[..., None], found, torch.nan)


def as_bytes(frames: Float[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Return uint8(255 x), truncated as the field does; clipped first, so nothing wraps around.

    They are int32, so that neither squares nor sums over squares of pixels wrap around.
    """
    return (255 * frames.clamp(0, 1)).int()


def mse(forecasts: Forecasts, truth: Frames) -> ByForecast:
    """Return the sum over pixels of (clip(forecast) - truth)^2."""
    return (forecasts.clamp(0, 1) - truth).double().square_().sum(PIXELS)


def fmae(forecasts: Forecasts, truth: Frames) -> ByForecast:
    """Return the frame MAE: the sum over pixels of |forecast - truth|, before clipping."""
    return (forecasts - truth).abs_().double().sum(PIXELS)


def ssim(
    forecasts: Int[Tensor, "forecast *lead channel row col"],
    truth: Int[Tensor, "*lead channel row col"],
    mask: Mask,
) -> ByForecast:
    """Return the structural similarity of bytes in areas of 7 x 7, channels together.

    It is that of skimage.metrics.structural_similarity with a data range of 255, whose mean leaves
    out the outer 3 pixels: of areas that lie in the frame, with the variance of a sample. Frames
    hold 0 where pixels are missing, and the mean is taken over areas whose middle is measured. NaN
    if there is none.
    """
    # Sums over areas of bytes and their products are whole numbers, which are exact.
    sum_f, sum_t, sum_ff, sum_tt, sum_ft = (
        in_squares(part, SSIM_AREA_PIXELS)
        for part in (forecasts, truth, forecasts**2, truth**2, forecasts * truth)
    )
    count = SSIM_AREA_PIXELS**2
    products, covariance = sum_f * sum_t, count * sum_ft - sum_f * sum_t
    squares = sum_f * sum_f + sum_t * sum_t
    variances = count * (sum_ff + sum_tt) - squares
    low, high = SSIM_FLOORS[0] * count**2, SSIM_FLOORS[1] * count * (count - 1)
    similarity = (2 * products + low) * (2 * covariance + high)
    similarity /= (squares + low) * (variances + high)
    margin = SSIM_AREA_PIXELS // 2
    inside = mask[..., margin : mask.shape[-2] - margin, margin : mask.shape[-1] - margin]
    return sum_measured(similarity, inside) / inside.sum(PIXELS)


def psnr(
    forecasts: Int[Tensor, "forecast *lead channel row col"],
    truth: Int[Tensor, "*lead channel row col"],
    mask: Mask,
) -> ByForecast:
    """Return 10 log10(255^2 / mean square error of bytes) in dB, at most `PSNR_CAP_DB`."""
    squares = (forecasts - truth).square_().sum(PIXELS)
    ratio = 255**2 * mask.sum(PIXELS).double() / squares
    return (10 * ratio.log10()).clamp(max=PSNR_CAP_DB)


def sharpness(frames: Int[Tensor, "*each channel row col"], mask: Mask) -> Float[Tensor, "*each"]:
    """Return the largest |Laplacian| of bytes, at most 255.

    Kernel [[0,1,0],[1,-4,1],[0,1,0]], border mirrored without repeating the edge (reflect-101). A
    pixel counts if it and its four neighbours are measured. One pixel decides the value: read it
    beside the truth's. NaN if no pixel counts.
    """
    counted = mask
    for neighbour in _neighbours(mask):
        counted = counted & neighbour
    edges = 4 * frames
    for neighbour in _neighbours(frames):
        edges -= neighbour
    largest = torch.where(counted, edges.abs_(), 0).amax(PIXELS).clamp(max=255).double()
    return torch.where(counted.any(dim=PIXELS), largest, torch.nan)


def _neighbours(
    frames: Shaped[Tensor, "*lead row col"],
) -> Iterator[Shaped[Tensor, "*lead row col"]]:
    """Yield the pixels above, below, left and right of each, mirrored at the border."""
    for axis in (-2, -1):
        size = frames.shape[axis]
        second, last_but_one = min(1, size - 1), max(0, size - 2)
        for inner, mirrored in ((0, second), (1, last_but_one)):
            parts = [frames.narrow(axis, inner, size - 1), frames.narrow(axis, mirrored, 1)]
            yield torch.cat(parts if inner else parts[::-1], axis)
