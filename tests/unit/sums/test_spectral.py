"""Power by wavelength, against waves drawn by hand and Parseval's theorem."""

import numpy as np
import pytest
import torch

from convlstm.scores import spectral
from convlstm.sums import spectral as spectral_sums


def wave(rows: int, cols: int, *, down: int, right: int) -> np.ndarray:
    """A cosine of so many waves down and to the right; its mean square is 1/2."""
    row, col = np.mgrid[:rows, :cols]
    return np.asarray(np.cos(2 * np.pi * (down * row / rows + right * col / cols))[None, None])


def power(frames: np.ndarray) -> np.ndarray:
    return spectral_sums.power(torch.from_numpy(frames)).numpy()


def radial(frames: np.ndarray) -> np.ndarray:
    waves = spectral_sums.power(torch.from_numpy(frames))
    return spectral_sums.radial(waves, frames.shape[-1]).numpy()


def lattice(frames: np.ndarray, patch_size: int) -> np.ndarray:
    waves = spectral_sums.power(torch.from_numpy(frames))
    return spectral_sums.lattice(waves, frames.shape[-1], patch_size).numpy()


@pytest.mark.parametrize(("rows", "cols"), [(24, 24), (24, 36), (15, 22)])
def test_the_power_of_all_waves_is_the_mean_square(rows: int, cols: int) -> None:
    frames = np.random.default_rng(0).normal(size=(3, 2, rows, cols))
    expected = (frames**2).mean(axis=(2, 3)).sum(axis=1)  # Parseval, channels added
    np.testing.assert_allclose(power(frames).sum(axis=(1, 2)), expected)


@pytest.mark.parametrize(("down", "right", "number"), [(3, 0, 3), (0, 5, 5), (3, 4, 5), (0, 0, 0)])
def test_a_wave_is_found_at_its_wavenumber(down: int, right: int, number: int) -> None:
    spectrum = radial(wave(24, 24, down=down, right=right))[0]
    assert spectrum.argmax() == number
    assert spectrum[number] == pytest.approx(0.5 if number else 1)
    assert spectrum.sum() == pytest.approx(spectrum[number])


def test_a_wave_on_an_oblong_frame_has_its_length_in_pixels() -> None:
    # 6 waves on 48 columns: 8 pixels; on the shorter side of 24 that is wavenumber 3
    spectrum = radial(wave(24, 48, down=0, right=6))[0]
    assert spectrum.argmax() == 3
    assert spectral.wavelengths(24, 48)[3] == 8


@pytest.mark.parametrize(
    ("waves", "band"),
    [(2, "large"), (4, "large"), (5, "medium"), (16, "medium"), (17, "small"), (64, "small")],
)
def test_a_band_holds_its_wavelengths(waves: int, band: str) -> None:
    # 128 pixels: 4 waves are 32 pixels long, 16 are 8, 64 are 2
    spectrum = radial(wave(128, 128, down=waves, right=0))
    for name in spectral.BANDS_PIXELS:
        value = spectral.in_band(spectrum, name, spectral.wavelengths(128, 128))[0]
        assert value == pytest.approx(
            (1.0 if waves == 64 else 0.5) if name == band else 0, abs=1e-12
        )


def test_the_power_of_the_lattice_is_that_of_what_repeats_with_every_patch() -> None:
    dots = np.zeros((1, 1, 24, 24))
    dots[..., ::4, ::4] = 1
    # all of its power but the mean's, (1/16)^2
    assert lattice(dots, 4)[0] == pytest.approx(1 / 16 - 1 / 256)
    smooth = wave(24, 24, down=1, right=2)
    assert lattice(smooth, 4)[0] == pytest.approx(0, abs=1e-20)


def test_without_patches_the_lattice_has_no_power() -> None:
    assert lattice(wave(24, 24, down=6, right=6), 1)[0] == 0


def spectra_of(forecast: np.ndarray, truth: np.ndarray) -> spectral.Spectra:
    """The power of one window with patches of 2 x 2 pixels."""
    return spectral.Spectra(
        np.stack([radial(frames) for frames in (forecast, truth)], axis=1),
        np.stack([lattice(frames, 2) for frames in (forecast, truth)], axis=1),
        spectral.wavelengths(*truth.shape[-2:]),
    )


def test_half_the_amplitude_is_a_quarter_of_the_power() -> None:
    truth = np.random.default_rng(1).random((2, 1, 20, 20), np.float32)
    found = spectral.scores(spectra_of(truth / 2, truth))
    assert list(found) == [
        "spectral_ratio_large",
        "spectral_ratio_medium",
        "spectral_ratio_small",
        "dot_grid",
    ]
    assert np.isnan(found["spectral_ratio_large"]).all()  # no wave of 32 pixels fits into 20
    for key in ("spectral_ratio_medium", "spectral_ratio_small", "dot_grid"):
        np.testing.assert_allclose(found[key], 0.25, rtol=1e-6)


@pytest.mark.parametrize(("waves", "band"), [(2, "large"), (8, "medium"), (32, "small")])
def test_a_wave_that_the_forecast_lacks_lowers_the_ratio_of_its_band_alone(
    waves: int, band: str
) -> None:
    kept = sum(wave(128, 128, down=number, right=0) for number in {2, 8, 32} - {waves})
    truth = kept + wave(128, 128, down=waves, right=0)
    found = spectral.scores(spectra_of(np.asarray(kept), np.asarray(truth)))
    for name in spectral.BANDS_PIXELS:
        expected = 0 if name == band else 1
        assert found[f"spectral_ratio_{name}"][0] == pytest.approx(expected, abs=1e-9)


def test_dots_of_the_patches_raise_the_dot_grid_above_one() -> None:
    truth = np.random.default_rng(1).random((1, 1, 20, 20), np.float32)
    dotted = truth.copy()
    dotted[..., ::2, ::2] += 1
    assert spectral.scores(spectra_of(dotted, truth))["dot_grid"][0] > 100
