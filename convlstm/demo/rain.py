"""Synthetic rain: correlated noise carried by a flow, small scales changing faster than large ones.

A random field with a power-law spectrum lies on a periodic plane that moves with the flow. Each of
its waves is an autoregressive process whose correlation time shortens with its wavenumber, as in
rain (Venugopal et al. 1999, doi:10.1029/1999JD900437). The radar sees that plane, drifted and
slowly rotated, clipped to dry and wet areas.
"""

import numpy as np
from jaxtyping import Complex, Float, UInt8
from scipy.ndimage import map_coordinates

PLANE_PIXELS = 256  # of the periodic plane; larger than the view, so that rain enters from outside
SPECTRUM_SLOPE = 4.0  # power falls with wavenumber^-4: areas with ragged edges, no dust
LARGEST_SCALE = 3.0  # longer waves than a third of the plane would make frames all wet or all dry
CORRELATION_FRAMES = 200.0  # a wave of wavenumber k decorrelates in 200 / k frames
SPEED_PIXELS = (1.5, 3.0)  # per frame; the range that sequences draw from
DIRECTION_RADIANS = (-1.0, 1.0)  # 0 is to the right; a climate has a prevailing wind
TURN_RADIANS = 0.01  # per frame, at most, either way
DRY_BELOW = 0.3  # standard deviations of the field: a third of the view is wet
FULL_ABOVE = 2.5


def sequence(*, frames: int, size: int, seed: int, index: int) -> UInt8[np.ndarray, "time row col"]:
    """Return one rain sequence.

    Args:
        frames: number of frames.
        size: height and width in pixels, at most `PLANE_PIXELS` to stay free of repetition.
        seed: of the whole demo.
        index: of the sequence in the demo; (seed, index) decides every pixel.

    Returns:
        Rain intensity, 0 (dry) to 255.
    """
    random = np.random.default_rng([seed, index])
    direction, speed = random.uniform(*DIRECTION_RADIANS), random.uniform(*SPEED_PIXELS)
    velocity = speed * np.array([np.sin(direction), np.cos(direction)])
    turn = random.uniform(-TURN_RADIANS, TURN_RADIANS)
    wavenumber = _wavenumbers()
    amplitude = np.where(
        wavenumber >= LARGEST_SCALE, np.maximum(wavenumber, 1) ** (-SPECTRUM_SLOPE / 2), 0
    )
    correlation = np.exp(-wavenumber / CORRELATION_FRAMES)

    def noise() -> Complex[np.ndarray, "row half_col"]:
        white = np.fft.rfft2(random.standard_normal((PLANE_PIXELS, PLANE_PIXELS)))
        return np.multiply(amplitude, white)

    waves = noise()
    scale = np.fft.irfft2(waves).std()
    seen = []
    for time in range(frames):
        plane = np.fft.irfft2(waves) / scale
        origin = _departure_points(size, velocity=velocity * time, angle=turn * time)
        seen.append(map_coordinates(plane, origin, order=1, mode="grid-wrap"))
        waves = correlation * waves + np.sqrt(1 - correlation**2) * noise()
    wetness = (np.stack(seen) - DRY_BELOW) / (FULL_ABOVE - DRY_BELOW)
    return np.round(255 * np.clip(wetness, 0, 1)).astype(np.uint8)


def _wavenumbers() -> Float[np.ndarray, "row half_col"]:
    """Return the waves per plane of each coefficient of `rfft2`."""
    rows = np.fft.fftfreq(PLANE_PIXELS, d=1 / PLANE_PIXELS)
    cols = np.fft.rfftfreq(PLANE_PIXELS, d=1 / PLANE_PIXELS)
    return np.asarray(np.hypot(rows[:, None], cols[None, :]))


def _departure_points(
    size: int, *, velocity: Float[np.ndarray, " 2"], angle: float
) -> Float[np.ndarray, "2 row col"]:
    """Return the point of the plane from which the rain over each pixel started.

    The view is rotated and carried back along the motion.
    """
    centre = (size - 1) / 2
    rows, cols = np.mgrid[:size, :size] - centre
    rotated = np.stack(
        [np.cos(angle) * rows - np.sin(angle) * cols, np.sin(angle) * rows + np.cos(angle) * cols]
    )
    return np.asarray(rotated + centre - velocity[:, None, None])
