"""Scores of power by wavelength: how much a forecast blurs, and whether its patches show as dots.

A network that minimises squared error wins by blurring. The ratio of a forecast's power to the
truth's, in bands of wavelength, shows it: 1 is as sharp as the truth, 0 is nothing left. A score of
this family computes an array by lead time from `Spectra`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from convlstm.scores.score import Score, ratio

BANDS_PIXELS = {"large": (32.0, np.inf), "medium": (8.0, 32.0), "small": (2.0, 8.0)}
"""Wavelengths of each band, from (inclusive) to (exclusive)."""

SOURCE = "radially averaged spectra as in Ravuri et al. 2021, doi:10.1038/s41586-021-03854-z"

Power = Float[np.ndarray, "lead wavenumber"]
ByLead = Float[np.ndarray, " lead"]


class Spectra(NamedTuple):
    """Sums of power; axis 1 holds the forecast's at index 0 and the truth's at index 1.

    `radial` is by wavenumber, `lattice` is the power of waves that repeat with every patch;
    `wavelengths` are the pixels of each wavenumber.
    """

    radial: Float[np.ndarray, "lead which wavenumber"]
    lattice: Float[np.ndarray, "lead which"]
    wavelengths: Float[np.ndarray, " wavenumber"]


def wavelengths(rows: int, cols: int) -> Float[np.ndarray, " wavenumber"]:
    """Return the pixels from crest to crest for each wavenumber; infinite for the mean."""
    number = np.arange(min(rows, cols) // 2 + 1)
    length = np.full(len(number), np.inf)
    return np.asarray(np.divide(min(rows, cols), number, out=length, where=number > 0))


def in_band(spectrum: Power, band: str, length: Float[np.ndarray, " wavenumber"]) -> ByLead:
    """Return the power in a band of `BANDS_PIXELS`, without the mean."""
    low, high = BANDS_PIXELS[band]
    chosen = (length >= low) & (length < high) & np.isfinite(length)
    return np.asarray(spectrum[:, chosen].sum(axis=1))


def band_ratio(band: str) -> Callable[[Spectra], ByLead]:
    """Return the function that divides the forecast's power in a band by the truth's."""

    def compute(s: Spectra) -> ByLead:
        forecast, truth = (in_band(s.radial[:, which], band, s.wavelengths) for which in (0, 1))
        return ratio(forecast, truth)

    return compute


def dot_grid(s: Spectra) -> ByLead:
    """Return the forecast's power at the period of the patches, divided by the truth's."""
    return ratio(*s.lattice.T)


def _band(band: str, pixels: str, label: str) -> Score:
    return Score(
        f"spectral_ratio_{band}",
        label,
        "over the truth's",
        "near 1",
        f"power at wavelengths {pixels}, over the truth's; below 1 the forecast is blurred",
        SOURCE,
        band_ratio(band),
    )


SCORES = (
    _band("large", "over 32 pixels", "power > 32 pixels"),
    _band("medium", "of 8 to 32 pixels", "power 8-32 pixels"),
    _band("small", "of 2 to 8 pixels", "power 2-8 pixels"),
    Score(
        "dot_grid",
        "dot grid",
        "over the truth's",
        "near 1",
        "power at the period of the patches, over the truth's; above 1 the patches show",
        "this project",
        dot_grid,
    ),
)


def scores(s: Spectra) -> dict[str, ByLead]:
    """Return each of `SCORES` by lead time."""
    return {score.key: score.compute(s) for score in SCORES}
