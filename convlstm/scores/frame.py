"""How good a forecast frame is, as the field's code measures it, and means for each lead time.

Definitions of the report's family of code (PredRNN, OpenSTL), for one frame with values in [0, 1].
MSE and FMAE are sums over pixels, not means; SSIM, PSNR and sharpness are taken of bytes, uint8(255
x). Pixels that are not `valid` (missing in the truth) count nowhere.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import binary_erosion, laplace
from skimage.metrics import structural_similarity

Frame = Float[np.ndarray, "channel row col"]
Valid = Bool[np.ndarray, "channel row col"]

COLUMNS = ("mse", "fmae", "ssim", "psnr", "sharpness", "truth_sharpness")
SSIM_WINDOW_PIXELS = 7
PSNR_CAP_DB = 100.0  # of a perfect frame, whose PSNR is infinite and would swallow every mean


def as_bytes(frame: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """uint8(255 x), truncated as the family does; clipped first, so that nothing wraps around."""
    return np.asarray(255 * np.clip(frame, 0, 1), np.uint8)


def mse(forecast: Frame, truth: Frame, valid: Valid) -> float:
    """Sum over pixels of (clip(forecast) - truth)^2."""
    return float(np.sum((np.clip(forecast, 0, 1) - truth) ** 2, where=valid, dtype=np.float64))


def fmae(forecast: Frame, truth: Frame, valid: Valid) -> float:
    """Frame MAE: sum over pixels of |forecast - truth|, before clipping."""
    return float(np.sum(np.abs(forecast - truth), where=valid, dtype=np.float64))


def ssim(forecast: Frame, truth: Frame, valid: Valid) -> float:
    """Structural similarity of the bytes, uniform 7 x 7 window, data range 255, channels together.

    Source: skimage.metrics.structural_similarity, whose mean leaves out the outer 3 pixels. Where
    pixels are missing both frames hold 0, and the mean is taken of the map at valid pixels. NaN if
    no pixel is left.
    """
    images = [
        np.moveaxis(np.where(valid, as_bytes(frame), 0), 0, -1) for frame in (forecast, truth)
    ]
    _, similarity = structural_similarity(
        *images, win_size=SSIM_WINDOW_PIXELS, data_range=255, channel_axis=-1, full=True
    )
    margin = SSIM_WINDOW_PIXELS // 2
    inside = (slice(margin, -margin), slice(margin, -margin))
    counted = np.moveaxis(valid, 0, -1)[inside]
    return float(np.mean(similarity[inside], where=counted)) if counted.any() else float("nan")


def psnr(forecast: Frame, truth: Frame, valid: Valid) -> float:
    """10 log10(255^2 / mean square error of the bytes), dB, at most `PSNR_CAP_DB`."""
    # as bytes they would wrap around when squared
    difference = as_bytes(forecast).astype(np.int32) - as_bytes(truth)
    mean_square = np.mean(difference**2, where=valid)
    if mean_square == 0:
        return PSNR_CAP_DB
    return min(PSNR_CAP_DB, float(10 * np.log10(255**2 / mean_square)))


def sharpness(frame: Frame, valid: Valid) -> float:
    """Largest |Laplacian| of the bytes, at most 255.

    Kernel [[0,1,0],[1,-4,1],[0,1,0]], border mirrored without repeating the edge (reflect-101).

    A pixel counts if it and its four neighbours are valid. One pixel decides the value: read it
    beside the truth's. NaN if no pixel counts.
    """
    cross = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]], bool)
    # where nothing is missing there is nothing to erode, which takes longer than the Laplacian
    counted = valid if valid.all() else binary_erosion(valid, cross, border_value=1)
    if not counted.any():
        return float("nan")
    edges = [laplace(channel.astype(np.int32), mode="mirror") for channel in as_bytes(frame)]
    return float(min(255, np.max(np.abs(np.stack(edges)), where=counted, initial=0)))


def scores(forecast: Frame, truth: Frame, valid: Valid) -> Float[np.ndarray, " column"]:
    """One value for each of `COLUMNS`; all NaN if no pixel is valid."""
    if not valid.any():
        return np.full(len(COLUMNS), np.nan)
    errors = [measure(forecast, truth, valid) for measure in (mse, fmae, ssim, psnr)]
    return np.array([*errors, sharpness(forecast, valid), sharpness(truth, valid)])


def _nothing_yet() -> Float[np.ndarray, "lead column"]:
    return np.zeros((0, len(COLUMNS)))


@dataclass
class LeadMeans:
    """Means of the scores for each lead frame over any number of windows, in constant memory."""

    sums: Float[np.ndarray, "lead column"] = field(default_factory=_nothing_yet)
    counts: Float[np.ndarray, "lead column"] = field(default_factory=_nothing_yet)

    def add(
        self,
        forecast: Float[np.ndarray, "lead channel row col"],
        truth: Float[np.ndarray, "lead channel row col"],
        valid: Bool[np.ndarray, "lead channel row col"],
    ) -> Float[np.ndarray, "lead column"]:
        """Count one window in, and return its own scores."""
        table = np.stack([scores(*frames) for frames in zip(forecast, truth, valid, strict=True)])
        defined = ~np.isnan(table)
        self.merge(LeadMeans(np.where(defined, table, 0), defined.astype(float)))
        return table

    def merge(self, other: "LeadMeans") -> None:
        """Count in all that another has seen."""
        if not len(self.sums):
            self.sums, self.counts = np.zeros_like(other.sums), np.zeros_like(other.counts)
        self.sums, self.counts = self.sums + other.sums, self.counts + other.counts

    def by_lead(self) -> Float[np.ndarray, "lead column"]:
        """The means; NaN where no frame has defined a score."""
        means = np.full_like(self.sums, np.nan)
        np.divide(self.sums, self.counts, out=means, where=self.counts > 0)
        return means

    def overall(self) -> dict[str, float]:
        """The mean over leads of each column."""
        return dict(zip(COLUMNS, self.by_lead().mean(axis=0).tolist(), strict=True))
