"""Rain moves, turns and decorrelates, is neither all dry nor all wet, and comes from its seed."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import rotate
from skimage.filters import window
from skimage.registration import phase_cross_correlation

from convlstm.demo import rain

SIZE = 96


def sequence(index: int, seed: int = 0) -> np.ndarray:
    return rain.sequence(frames=12, size=SIZE, seed=seed, index=index)


SEQUENCES = [sequence(index) for index in range(6)]


def test_the_seed_and_the_index_decide_every_pixel() -> None:
    np.testing.assert_array_equal(sequence(1), SEQUENCES[1])
    assert not np.array_equal(sequence(1, seed=1), SEQUENCES[1])
    assert not np.array_equal(SEQUENCES[0], SEQUENCES[1])
    assert not np.array_equal(sequence(0, seed=1), sequence(1, seed=0))


@pytest.mark.parametrize("frames", SEQUENCES)
def test_some_pixels_are_dry_and_some_are_wet(frames: np.ndarray) -> None:
    assert frames.shape == (12, SIZE, SIZE)
    assert frames.dtype == np.uint8
    wet = (frames > 0).mean(axis=(1, 2))
    assert wet.min() > 0.02
    assert wet.max() < 0.95


def test_intensities_use_the_whole_range_of_a_byte() -> None:
    assert np.min(SEQUENCES) == 0
    assert np.max(SEQUENCES) == 255


@pytest.mark.slow
def test_rain_does_not_die_out() -> None:
    # without new waves the longest would keep exp(-3 * 150 / 200) = 0.1 of itself: all dry
    late = [rain.sequence(frames=150, size=32, seed=0, index=index)[120:] for index in range(2)]
    assert np.mean(np.array(late) > 0) > 0.1


@pytest.mark.parametrize("frames", SEQUENCES)
def test_rain_moves_to_the_right_at_the_speed_of_its_sequence(frames: np.ndarray) -> None:
    # scikit-image's registration, an independent estimate; it gives the shift back to frame 0
    first, later = frames[0].astype(float), frames[4].astype(float)
    shift, _, _ = phase_cross_correlation(first, later, normalization=None)
    row, col = -shift / 4
    assert 1 <= np.hypot(row, col) <= 3.5  # SPEED_PIXELS, give or take a pixel of the estimate
    assert col > 0  # within one radian of the prevailing wind


@pytest.mark.parametrize("frames", SEQUENCES)
def test_the_flow_is_steady_from_frame_to_frame(frames: np.ndarray) -> None:
    # with a Hann window; without one the borders, which stay, pull the estimate to zero
    seen = frames * window("hann", (SIZE, SIZE))
    steps = -np.array(
        [
            phase_cross_correlation(before, after, upsample_factor=10)[0]
            for before, after in pairwise(seen)
        ]
    )
    mean = steps.mean(axis=0)
    assert 1.2 <= np.hypot(*mean) <= 3.3  # SPEED_PIXELS, give or take the estimate's error
    assert np.hypot(*(steps - mean).T).max() < 0.75  # never still, never backwards


def test_rain_turns_by_the_same_angle_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rain, "SPEED_PIXELS", (0.0, 0.0))  # so that only the angle changes it
    monkeypatch.setattr(rain, "CORRELATION_FRAMES", 1e9)
    monkeypatch.setattr(rain, "TURN_RADIANS", 0.05)
    frames, middle = sequence(0).astype(float), slice(SIZE // 4, -SIZE // 4)

    def best_degrees(time: int) -> int:
        """Return the turn of frame 0 that comes closest, by SciPy's rotation."""
        errors = {
            degrees: np.abs(rotate(frames[0], degrees, reshape=False) - frames[time])[
                middle, middle
            ].sum()
            for degrees in range(-35, 36)
        }
        return min(errors, key=errors.__getitem__)

    assert abs(best_degrees(5)) > 2
    assert best_degrees(10) == pytest.approx(2 * best_degrees(5), abs=2)


def test_persistence_gets_worse_with_every_frame() -> None:
    errors = np.mean(
        [
            [((frames[time] / 255 - frames[0] / 255) ** 2).sum() for time in (1, 3, 6, 10)]
            for frames in SEQUENCES
        ],
        axis=0,
    )
    assert (np.diff(errors) > 0).all()


def test_small_scales_decorrelate_sooner_than_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rain, "SPEED_PIXELS", (0.0, 0.0))  # so that only time changes the field
    monkeypatch.setattr(rain, "TURN_RADIANS", 0.0)
    correlation = {"large": 0.0, "small": 0.0}
    for index in range(4):
        waves = np.fft.fft2(sequence(index)[[0, 11]].astype(float))
        number = np.hypot(
            *np.meshgrid(np.fft.fftfreq(SIZE, 1 / SIZE), np.fft.fftfreq(SIZE, 1 / SIZE))
        )
        for name, band in (("large", (number >= 1) & (number < 4)), ("small", number > 16)):
            before, after = waves[:, band]
            shared = np.abs(np.vdot(before, after))
            correlation[name] += shared / np.linalg.norm(before) / np.linalg.norm(after) / 4
    assert correlation["small"] < correlation["large"] - 0.2
