"""Scores of single frames, as PredRNN and OpenSTL define them, and their means by lead time.

Frames hold values in [0, 1]. MSE and FMAE are sums over pixels, not means; SSIM, PSNR and sharpness
are taken of the bytes, uint8(255 x). Pixels outside the mask (missing in the truth) count nowhere.
A score of this family computes a float from forecast, truth and mask.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import binary_erosion, laplace
from skimage.metrics import structural_similarity

from convlstm.scores.score import Score

Frame = Float[np.ndarray, "channel row col"]
Mask = Bool[np.ndarray, "channel row col"]

SSIM_AREA_PIXELS = 7
PSNR_CAP_DB = 100.0  # of a perfect frame, whose PSNR is infinite and would swallow every mean


def as_bytes(frame: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Return uint8(255 x), truncated as the field does; clipped first, so nothing wraps around."""
    return np.asarray(255 * np.clip(frame, 0, 1), np.uint8)


def mse(forecast: Frame, truth: Frame, mask: Mask) -> float:
    """Return the sum over pixels of (clip(forecast) - truth)^2."""
    return float(np.sum((np.clip(forecast, 0, 1) - truth) ** 2, where=mask, dtype=np.float64))


def fmae(forecast: Frame, truth: Frame, mask: Mask) -> float:
    """Return the frame MAE: the sum over pixels of |forecast - truth|, before clipping."""
    return float(np.sum(np.abs(forecast - truth), where=mask, dtype=np.float64))


def ssim(forecast: Frame, truth: Frame, mask: Mask) -> float:
    """Return the structural similarity of the bytes in areas of 7 x 7, channels together.

    Source: skimage.metrics.structural_similarity with a data range of 255, whose mean leaves out
    the outer 3 pixels. Both frames hold 0 where pixels are missing, and the mean is taken over the
    map at measured pixels. NaN if no pixel is left.
    """
    images = [np.moveaxis(np.where(mask, as_bytes(frame), 0), 0, -1) for frame in (forecast, truth)]
    _, similarity = structural_similarity(
        *images, win_size=SSIM_AREA_PIXELS, data_range=255, channel_axis=-1, full=True
    )
    margin = SSIM_AREA_PIXELS // 2
    inside = (slice(margin, -margin), slice(margin, -margin))
    counted = np.moveaxis(mask, 0, -1)[inside]
    return float(np.mean(similarity[inside], where=counted)) if counted.any() else float("nan")


def psnr(forecast: Frame, truth: Frame, mask: Mask) -> float:
    """Return 10 log10(255^2 / mean square error of the bytes) in dB, at most `PSNR_CAP_DB`."""
    # As bytes the differences would wrap around when squared.
    difference = as_bytes(forecast).astype(np.int32) - as_bytes(truth)
    mean_square = np.mean(difference**2, where=mask)
    if mean_square == 0:
        return PSNR_CAP_DB
    return min(PSNR_CAP_DB, float(10 * np.log10(255**2 / mean_square)))


def sharpness(forecast: Frame, _truth: Frame, mask: Mask) -> float:
    """Return the largest |Laplacian| of the bytes, at most 255.

    Kernel [[0,1,0],[1,-4,1],[0,1,0]], border mirrored without repeating the edge (reflect-101). A
    pixel counts if it and its four neighbours are measured. One pixel decides the value: read it
    beside the truth's. NaN if no pixel counts.
    """
    cross = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]], bool)
    # The erosion takes longer than the Laplacian, and a whole mask needs none.
    counted = mask if mask.all() else binary_erosion(mask, cross, border_value=1)
    if not counted.any():
        return float("nan")
    edges = [laplace(channel.astype(np.int32), mode="mirror") for channel in as_bytes(forecast)]
    return float(min(255, np.max(np.abs(np.stack(edges)), where=counted, initial=0)))


def truth_sharpness(_forecast: Frame, truth: Frame, mask: Mask) -> float:
    """Return the sharpness of the truth."""
    return sharpness(truth, truth, mask)


SCORES = (
    Score(
        "mse",
        "MSE",
        "sum over pixels",
        "low",
        "sum over pixels of (clip(forecast) - truth)^2, values in [0, 1]; a blurred forecast wins",
        "PredRNN, OpenSTL",
        mse,
        perfect=0.0,
    ),
    Score(
        "fmae",
        "FMAE",
        "sum over pixels",
        "low",
        "frame MAE: sum over pixels of |forecast - truth|, values in [0, 1], before clipping",
        "PredRNN, OpenSTL",
        fmae,
        perfect=0.0,
    ),
    Score(
        "ssim",
        "SSIM",
        "",
        "high",
        "similarity of structure in areas of 7 x 7 pixels of the bytes, at most 1; on sparse rain "
        "a blank frame scores well",
        "Wang et al. 2004, doi:10.1109/TIP.2003.819861; scikit-image",
        ssim,
        perfect=1.0,
    ),
    Score(
        "psnr",
        "PSNR",
        "dB",
        "high",
        "10 log10(255^2 / mean square error of the bytes), mean over frames, at most 100",
        "PredRNN",
        psnr,
    ),
    Score(
        "sharpness",
        "sharpness",
        "0 to 255",
        "near the truth's",
        "the largest |Laplacian| of the bytes, at most 255; one pixel decides it",
        "the report",
        sharpness,
    ),
    Score(
        "truth_sharpness",
        "sharpness of the truth",
        "0 to 255",
        None,
        "the same of the true frame, to be read beside sharpness",
        "the report",
        truth_sharpness,
    ),
)
KEYS = tuple(score.key for score in SCORES)


def scores(forecast: Frame, truth: Frame, mask: Mask) -> Float[np.ndarray, " score"]:
    """Return one value for each of `SCORES`; all NaN if no pixel is measured."""
    if not mask.any():
        return np.full(len(SCORES), np.nan)
    return np.array([score.compute(forecast, truth, mask) for score in SCORES])


def _no_sums() -> Float[np.ndarray, "lead score"]:
    return np.zeros((0, len(SCORES)))


@dataclass
class LeadMeans:
    """Means of the scores for each lead time over any number of windows, in constant memory."""

    sums: Float[np.ndarray, "lead score"] = field(default_factory=_no_sums)
    counts: Float[np.ndarray, "lead score"] = field(default_factory=_no_sums)

    def add(
        self,
        forecast: Float[np.ndarray, "lead channel row col"],
        truth: Float[np.ndarray, "lead channel row col"],
        mask: Bool[np.ndarray, "lead channel row col"],
    ) -> Float[np.ndarray, "lead score"]:
        """Count in one window, and return its own scores."""
        table = np.stack([scores(*frames) for frames in zip(forecast, truth, mask, strict=True)])
        defined = ~np.isnan(table)
        self.merge(LeadMeans(np.where(defined, table, 0), defined.astype(float)))
        return table

    def merge(self, other: "LeadMeans") -> None:
        """Count in all windows of another."""
        if not len(self.sums):
            self.sums, self.counts = np.zeros_like(other.sums), np.zeros_like(other.counts)
        self.sums, self.counts = self.sums + other.sums, self.counts + other.counts

    def by_lead(self) -> Float[np.ndarray, "lead score"]:
        """Return the means; NaN where a score is undefined for every frame."""
        means = np.full_like(self.sums, np.nan)
        np.divide(self.sums, self.counts, out=means, where=self.counts > 0)
        return means

    def overall(self) -> dict[str, float]:
        """Return the mean over lead times of each score, by key."""
        return dict(zip(KEYS, self.by_lead().mean(axis=0).tolist(), strict=True))
