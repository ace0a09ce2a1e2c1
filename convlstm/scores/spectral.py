"""Power by wavelength: who blurs, and how much; and the dot grid that folding into patches leaves.

A network that minimises squared error wins by blurring. The ratio of a forecast's power to the
truth's, in bands of wavelength, shows it: 1 is as sharp as the truth, 0 is nothing left.
"""

import numpy as np
from jaxtyping import Float, Int

BANDS_PIXELS = {"large": (32.0, np.inf), "medium": (8.0, 32.0), "small": (2.0, 8.0)}
"""Wavelengths of each band, from (inclusive) to (exclusive)."""

Power = Float[np.ndarray, "lead wavenumber"]


def power(frames: Float[np.ndarray, "lead channel row col"]) -> Float[np.ndarray, "lead row col"]:
    """Power of every plane wave, summed over channels; its sum is the mean square of a pixel."""
    rows, cols = frames.shape[-2:]
    # in float64: of small waves there may be a millionth of the mean
    waves = np.fft.rfft2(frames.astype(np.float64), norm="forward")
    half = (waves.real**2 + waves.imag**2).sum(axis=1)
    # of real frames a wave and the one in the opposite direction have the same power
    mirrored = half[:, -np.arange(rows) % rows, (cols - 1) // 2 : 0 : -1]
    return np.concatenate([half, mirrored], axis=2)


def radial(waves: Float[np.ndarray, "lead row col"]) -> Power:
    """Power by wavenumber 0, 1, ... waves across the shorter side, in all directions together.

    Waves shorter than two pixels in every direction but the diagonals are left out.
    """
    number = _wavenumber(waves.shape[1], waves.shape[2])
    count = min(waves.shape[1:]) // 2 + 1
    kept = number < count
    return np.stack([np.bincount(number[kept], wave[kept], count) for wave in waves])


def wavelengths(rows: int, cols: int) -> Float[np.ndarray, " wavenumber"]:
    """Pixels from crest to crest for each wavenumber of `radial`; infinite for the mean."""
    number = np.arange(min(rows, cols) // 2 + 1)
    length = np.full(len(number), np.inf)
    return np.asarray(np.divide(min(rows, cols), number, out=length, where=number > 0))


def in_band(spectrum: Power, band: str, *, rows: int, cols: int) -> Float[np.ndarray, " lead"]:
    """Power in a band of `BANDS_PIXELS`, the mean left out."""
    length = wavelengths(rows, cols)
    low, high = BANDS_PIXELS[band]
    return np.asarray(
        spectrum[:, (length >= low) & (length < high) & np.isfinite(length)].sum(axis=1)
    )


def dot_grid(
    waves: Float[np.ndarray, "lead row col"], patch_size: int
) -> Float[np.ndarray, " lead"]:
    """Power of the waves that repeat with every patch, a lattice of period `patch_size` pixels."""
    _, rows, cols = waves.shape
    steps = np.arange(patch_size)
    lattice = np.zeros((rows, cols), bool)
    lattice[
        np.ix_(
            np.rint(steps * rows / patch_size).astype(int) % rows,
            np.rint(steps * cols / patch_size).astype(int) % cols,
        )
    ] = True
    lattice[0, 0] = False
    return np.asarray(waves[:, lattice].sum(axis=1))


def _wavenumber(rows: int, cols: int) -> Int[np.ndarray, "row col"]:
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(cols))
    return np.asarray(np.rint(frequency * min(rows, cols)), np.int64)
