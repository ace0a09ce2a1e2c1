"""Scores of single frames, as PredRNN and OpenSTL define them, as means over frames.

A mean of each value over frames stands for a lead time, not a ratio of sums: so the field has it. A
score of this family computes an array by lead time from `Values`.
"""

from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from convlstm.scores.score import Score, ratio

ByLead = Float[np.ndarray, " lead"]


class Values(NamedTuple):
    """Values of frames, as `sums.frame` takes them, or their means by lead time."""

    mse: ByLead
    fmae: ByLead
    ssim: ByLead
    psnr: ByLead
    sharpness: ByLead
    truth_sharpness: ByLead


SCORES = (
    Score(
        "mse",
        "MSE",
        "sum over pixels",
        "low",
        "sum over pixels of (clip(forecast) - truth)^2, values in [0, 1]; a blurred forecast wins",
        "PredRNN, OpenSTL",
        attrgetter("mse"),
        perfect=0.0,
    ),
    Score(
        "fmae",
        "FMAE",
        "sum over pixels",
        "low",
        "frame MAE: sum over pixels of |forecast - truth|, values in [0, 1], before clipping",
        "PredRNN, OpenSTL",
        attrgetter("fmae"),
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
        attrgetter("ssim"),
        perfect=1.0,
    ),
    Score(
        "psnr",
        "PSNR",
        "dB",
        "high",
        "10 log10(255^2 / mean square error of the bytes), mean over frames, at most 100",
        "PredRNN",
        attrgetter("psnr"),
    ),
    Score(
        "sharpness",
        "sharpness",
        "0 to 255",
        "near the truth's",
        "the largest |Laplacian| of the bytes, at most 255; one pixel decides it",
        "the report",
        attrgetter("sharpness"),
    ),
    Score(
        "truth_sharpness",
        "sharpness of the truth",
        "0 to 255",
        None,
        "the same of the true frame, to be read beside sharpness",
        "the report",
        attrgetter("truth_sharpness"),
    ),
)


def scores(means: Values) -> dict[str, ByLead]:
    """Return each of `SCORES` by lead time."""
    return {score.key: score.compute(means) for score in SCORES}


def _no_sums() -> Float[np.ndarray, "lead value"]:
    return np.zeros((0, len(Values._fields)))


@dataclass
class LeadMeans:
    """Means of `Values` for each lead time over any number of windows, in constant memory."""

    sums: Float[np.ndarray, "lead value"] = field(default_factory=_no_sums)
    counts: Float[np.ndarray, "lead value"] = field(default_factory=_no_sums)

    def add(self, values: Float[np.ndarray, "window lead value"]) -> None:
        """Count in windows, whose undefined values are NaN."""
        defined = ~np.isnan(values)
        self.merge(LeadMeans(np.where(defined, values, 0).sum(0), defined.sum(0).astype(float)))

    def merge(self, other: "LeadMeans") -> None:
        """Count in all windows of another."""
        if not len(self.sums):
            self.sums, self.counts = np.zeros_like(other.sums), np.zeros_like(other.counts)
        self.sums, self.counts = self.sums + other.sums, self.counts + other.counts

    def by_lead(self) -> Values:
        """Return the means; NaN where a value is undefined for every frame."""
        return Values(*ratio(self.sums, self.counts).T)

    def overall(self) -> dict[str, float]:
        """Return the mean over lead times of each score, by key."""
        return {key: float(column.mean()) for key, column in scores(self.by_lead()).items()}
