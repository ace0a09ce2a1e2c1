"""Power by wavelength, against waves drawn by hand and Parseval's theorem."""

import numpy as np
import pytest

from convlstm.scores import spectral


def wave(rows: int, cols: int, *, down: int, right: int) -> np.ndarray:
    """A cosine of so many waves down and to the right; its mean square is 1/2."""
    row, col = np.mgrid[:rows, :cols]
    return np.asarray(np.cos(2 * np.pi * (down * row / rows + right * col / cols))[None, None])


@pytest.mark.parametrize(("rows", "cols"), [(24, 24), (24, 36), (15, 22)])
def test_the_power_of_all_waves_is_the_mean_square(rows: int, cols: int) -> None:
    frames = np.random.default_rng(0).normal(size=(3, 2, rows, cols))
    expected = (frames**2).mean(axis=(2, 3)).sum(axis=1)  # Parseval, channels added
    np.testing.assert_allclose(spectral.power(frames).sum(axis=(1, 2)), expected)


@pytest.mark.parametrize(("down", "right", "number"), [(3, 0, 3), (0, 5, 5), (3, 4, 5), (0, 0, 0)])
def test_a_wave_is_found_at_its_wavenumber(down: int, right: int, number: int) -> None:
    spectrum = spectral.radial(spectral.power(wave(24, 24, down=down, right=right)))[0]
    assert spectrum.argmax() == number
    assert spectrum[number] == pytest.approx(0.5 if number else 1)
    assert spectrum.sum() == pytest.approx(spectrum[number])


def test_a_wave_on_an_oblong_frame_has_its_length_in_pixels() -> None:
    # 6 waves on 48 columns: 8 pixels; on the shorter side of 24 that is wavenumber 3
    spectrum = spectral.radial(spectral.power(wave(24, 48, down=0, right=6)))[0]
    assert spectrum.argmax() == 3
    assert spectral.wavelengths(24, 48)[3] == 8


@pytest.mark.parametrize(
    ("waves", "band"),
    [(2, "large"), (4, "large"), (5, "medium"), (16, "medium"), (17, "small"), (64, "small")],
)
def test_a_band_holds_its_wavelengths(waves: int, band: str) -> None:
    # 128 pixels: 4 waves are 32 pixels long, 16 are 8, 64 are 2
    spectrum = spectral.radial(spectral.power(wave(128, 128, down=waves, right=0)))
    for name in spectral.BANDS_PIXELS:
        value = spectral.in_band(spectrum, name, rows=128, cols=128)[0]
        assert value == pytest.approx(
            (1.0 if waves == 64 else 0.5) if name == band else 0, abs=1e-12
        )


def test_the_dot_grid_is_what_repeats_with_every_patch() -> None:
    dots = np.zeros((1, 1, 24, 24))
    dots[..., ::4, ::4] = 1
    waves = spectral.power(dots)
    # all of its power but the mean's, (1/16)^2
    assert spectral.dot_grid(waves, 4)[0] == pytest.approx(1 / 16 - 1 / 256)
    smooth = spectral.power(wave(24, 24, down=1, right=2))
    assert spectral.dot_grid(smooth, 4)[0] == pytest.approx(0, abs=1e-20)


def test_without_patches_there_is_no_dot_grid() -> None:
    assert spectral.dot_grid(spectral.power(wave(24, 24, down=6, right=6)), 1)[0] == 0
