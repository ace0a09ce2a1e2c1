"""What each score is, in plain words, and what is good."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


def _low(value: float, _: Row) -> float:
    return value


def _high(value: float, _: Row) -> float:
    return -value


def _near_zero(value: float, _: Row) -> float:
    return abs(value)


def _near_one(value: float, _: Row) -> float:
    return abs(value - 1)


def _near_truth(value: float, row: Row) -> float:
    return abs(value - float(row["truth_sharpness"]))


BADNESS: dict[str, Callable[[float, Row], float]] = {
    "low": _low,
    "high": _high,
    "near 0": _near_zero,
    "near 1": _near_one,
    "near the truth's": _near_truth,
}


@dataclass(frozen=True)
class Column:
    """A score as a reader meets it: its name, what is better, and its meaning."""

    name: str
    better: str
    meaning: str

    def badness(self, value: float, row: Row) -> float:
        """The smaller the better; `row` holds the other scores of the same forecaster."""
        return BADNESS[self.better](value, row)


COLUMNS = {
    "mse": Column(
        "MSE",
        "low",
        "sum over pixels of the squared error, values in [0, 1]; a blurred forecast wins it",
    ),
    "fmae": Column("FMAE", "low", "sum over pixels of the absolute error, before clipping"),
    "ssim": Column(
        "SSIM",
        "high",
        "likeness of structure in areas of 7 x 7 pixels, at most 1; on sparse rain a blank frame "
        "scores well",
    ),
    "psnr": Column(
        "PSNR, dB",
        "high",
        "squared error of the bytes on a logarithmic scale, mean over frames, at most 100",
    ),
    "sharpness": Column(
        "sharpness", "near the truth's", "largest edge of a frame; one pixel decides it"
    ),
    "rmse": Column("RMSE", "low", "root of the mean squared error of all pixels, in data units"),
    "bias": Column("bias", "near 0", "mean of forecast minus truth, in data units"),
    "correlation": Column("correlation", "high", "of forecast and truth over all pixels"),
    "spectral_ratio_large": Column(
        "power > 32", "near 1", "power of waves longer than 32 pixels, over the truth's"
    ),
    "spectral_ratio_medium": Column(
        "power 8-32", "near 1", "the same of 8 to 32 pixels; below 1 the forecast is blurred"
    ),
    "spectral_ratio_small": Column(
        "power 2-8", "near 1", "the same of 2 to 8 pixels: the finest detail"
    ),
    "dot_grid": Column(
        "dot grid",
        "near 1",
        "power of what repeats with every patch, over the truth's; above 1 the patches show",
    ),
}
