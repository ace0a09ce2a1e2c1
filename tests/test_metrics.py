"""Every score equals its definition on values made by hand; missing pixels count nowhere."""

import math

import numpy as np
import pytest
from scipy.ndimage import convolve
from skimage.metrics import structural_similarity

from convlstm import metrics
from convlstm.metrics import COLUMNS, LeadMeans

SIDE = 12


def whole(frame: np.ndarray) -> np.ndarray:
    return np.ones(frame.shape, bool)


def frame_of(*rows: list[float]) -> np.ndarray:
    return np.array([rows], np.float32)


def noise(seed: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((channels, SIDE, SIDE), np.float32)


def test_mse_is_a_sum_after_clipping() -> None:
    forecast, truth = frame_of([1.5, -0.5], [0.5, 0.0]), frame_of([0.5, 0.5], [0.0, 0.0])
    # clipped: 1, 0, 0.5, 0; differences 0.5, -0.5, 0.5, 0; squares 0.25 * 3
    assert metrics.mse(forecast, truth, whole(truth)) == pytest.approx(0.75)


def test_fmae_is_a_sum_before_clipping() -> None:
    forecast, truth = frame_of([1.5, -0.5], [0.5, 0.0]), frame_of([0.5, 0.5], [0.0, 0.0])
    # |1.5 - 0.5| + |-0.5 - 0.5| + |0.5| + 0 = 2.5
    assert metrics.fmae(forecast, truth, whole(truth)) == pytest.approx(2.5)


def test_psnr_does_not_wrap_around() -> None:
    # truth all 200 / 255: as bytes 200^2 would wrap to 64, and print 30 dB
    truth = np.full((1, SIDE, SIDE), 200.5 / 255, np.float32)
    expected = 20 * math.log10(255 / 200)  # 2.11 dB
    assert metrics.psnr(np.zeros_like(truth), truth, whole(truth)) == pytest.approx(expected)


def test_a_perfect_frame_has_the_cap_as_its_psnr() -> None:
    assert metrics.psnr(noise(0), noise(0), whole(noise(0))) == 100.0


def test_psnr_by_hand() -> None:
    forecast, truth = frame_of([0.0, 0.0]), frame_of([10.5 / 255, 20.5 / 255])
    # bytes differ by 10 and 20: mean square (100 + 400) / 2 = 250
    expected = 10 * math.log10(255**2 / 250)
    assert metrics.psnr(forecast, truth, whole(truth)) == pytest.approx(expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_scikit_images(channels: int) -> None:
    forecast, truth = noise(1, channels), noise(2, channels)
    as_bytes = [np.moveaxis((255 * frame).astype(np.uint8), 0, -1) for frame in (forecast, truth)]
    expected = structural_similarity(*as_bytes, win_size=7, data_range=255, channel_axis=-1)  # type: ignore[no-untyped-call] # skimage ships none
    assert metrics.ssim(forecast, truth, whole(truth)) == pytest.approx(expected, abs=1e-12)


def test_sharpness_is_the_largest_laplacian_of_the_bytes() -> None:
    frame = np.zeros((1, SIDE, SIDE), np.float32)
    frame[0, 5, 5] = 50.5 / 255  # kernel centre -4: |-4 * 50| = 200
    assert metrics.sharpness(frame, whole(frame)) == 200
    frame[0, 5, 5] = 1  # 4 * 255 = 1020, clipped
    assert metrics.sharpness(frame, whole(frame)) == 255


def test_the_border_is_mirrored_without_the_edge() -> None:
    frame = np.zeros((1, SIDE, SIDE), np.float32)
    frame[0, 0, 1] = 30.5 / 255
    frame[0, 1, 0] = 30.5 / 255
    # at the corner both neighbours count twice: 4 * 30 = 120; with a repeated edge only 60,
    # and at (0, 1) itself |-4 * 30| = 120 as well, so make the corner itself bright
    frame[0, 0, 0] = 20.5 / 255
    # corner: 120 - 80 = 40; (0, 1): 20 - 120 = -100
    assert metrics.sharpness(frame, whole(frame)) == 100


@pytest.mark.parametrize("seed", range(3))
def test_sharpness_equals_scipys_convolution(seed: int) -> None:
    frame = noise(seed, 2) * 0.2
    kernel = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]
    edges = [
        convolve((255 * channel).astype(np.uint8).astype(int), kernel, mode="mirror")
        for channel in frame
    ]
    assert metrics.sharpness(frame, whole(frame)) == min(255, np.abs(edges).max())


def test_a_missing_pixel_counts_nowhere() -> None:
    forecast, truth, valid = noise(1), noise(2), whole(noise(2))
    valid[0, 3:5, 6] = False
    expected = metrics.scores(forecast, truth, valid)
    forecast[0, 3:5, 6], truth[0, 3:5, 6] = 0.9, 0.1
    np.testing.assert_array_equal(metrics.scores(forecast, truth, valid), expected)


def test_without_a_valid_pixel_no_score_is_defined() -> None:
    assert np.isnan(metrics.scores(noise(1), noise(2), whole(noise(2)) & False)).all()


def test_a_perfect_forecast_has_perfect_scores() -> None:
    scores = dict(zip(COLUMNS, metrics.scores(noise(1), noise(1), whole(noise(1))), strict=True))
    assert (scores["mse"], scores["fmae"], scores["ssim"]) == (0, 0, pytest.approx(1))
    assert scores["sharpness"] == scores["truth_sharpness"]


def windows() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Five windows of two leads; one frame is wholly missing."""
    made = []
    for seed in range(5):
        forecast, truth = noise(seed, 2)[:, None], noise(seed + 10, 2)[:, None]
        valid = whole(truth)
        valid[1] = seed != 3
        made.append((forecast, truth, valid))
    return made


def test_means_by_lead_leave_out_what_is_undefined() -> None:
    means, tables = LeadMeans(), []
    for window in windows():
        tables.append(means.add(*window))
    np.testing.assert_allclose(means.by_lead(), np.nanmean(tables, axis=0), rtol=1e-12)


def test_two_halves_merged_equal_one_pass() -> None:
    parts = LeadMeans(), LeadMeans()
    whole_run = LeadMeans()
    for number, window in enumerate(windows()):
        parts[number % 2].add(*window)
        whole_run.add(*window)
    parts[0].merge(parts[1])
    np.testing.assert_allclose(parts[0].by_lead(), whole_run.by_lead(), rtol=1e-12)


def test_a_lead_that_was_never_seen_has_no_mean() -> None:
    means = LeadMeans()
    forecast, truth, valid = windows()[3]
    means.add(forecast, truth, valid)
    assert np.isnan(means.by_lead()[1]).all()
    assert math.isnan(means.overall()["mse"])
