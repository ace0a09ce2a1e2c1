"""Every score equals its definition on values made by hand; missing pixels count nowhere."""

import math

import numpy as np
import pytest
from scipy.ndimage import convolve
from skimage.metrics import structural_similarity

from convlstm.scores.frame import (
    KEYS,
    LeadMeans,
    as_bytes,
    fmae,
    mse,
    psnr,
    scores,
    sharpness,
    ssim,
)

SIDE = 12


def whole(frame: np.ndarray) -> np.ndarray:
    return np.ones(frame.shape, bool)


def frame_of(*rows: list[float]) -> np.ndarray:
    return np.array([rows], np.float32)


def noise(seed: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((channels, SIDE, SIDE), np.float32)


def sharpness_of(frame: np.ndarray, mask: np.ndarray) -> float:
    """The sharpness of a frame, beside a truth of NaNs that must not matter."""
    return sharpness(frame, np.full_like(frame, np.nan), mask)


def test_bytes_are_truncated_and_never_wrap_around() -> None:
    # 255 * 0.5 = 127.5; below 0 and above 1 is clipped
    frame = np.array([-0.5, 0.0, 0.5, 1.0, 1.5], np.float32)
    np.testing.assert_array_equal(as_bytes(frame), [0, 0, 127, 255, 255])


def test_mse_is_a_sum_after_clipping() -> None:
    forecast, truth = frame_of([1.5, -0.5], [0.5, 0.0]), frame_of([0.5, 0.5], [0.0, 0.0])
    # clipped: 1, 0, 0.5, 0; differences 0.5, -0.5, 0.5, 0; squares 0.25 * 3
    assert mse(forecast, truth, whole(truth)) == pytest.approx(0.75)


def test_fmae_is_a_sum_before_clipping() -> None:
    forecast, truth = frame_of([1.5, -0.5], [0.5, 0.0]), frame_of([0.5, 0.5], [0.0, 0.0])
    # |1.5 - 0.5| + |-0.5 - 0.5| + |0.5| + 0 = 2.5
    assert fmae(forecast, truth, whole(truth)) == pytest.approx(2.5)


def test_psnr_does_not_wrap_around() -> None:
    # truth all 200 / 255: as bytes 200^2 would wrap to 64, and print 30 dB
    truth = np.full((1, SIDE, SIDE), 200.5 / 255, np.float32)
    expected = 20 * math.log10(255 / 200)  # 2.11 dB
    assert psnr(np.zeros_like(truth), truth, whole(truth)) == pytest.approx(expected)


def test_a_perfect_frame_has_the_cap_as_its_psnr() -> None:
    assert psnr(noise(0), noise(0), whole(noise(0))) == 100.0


def test_no_frame_has_more_than_the_cap_as_its_psnr() -> None:
    # one byte of 400 x 400 differs by 1: 10 log10(255^2 * 160000) = 100.17 dB
    forecast = np.zeros((1, 400, 400), np.float32)
    truth = forecast.copy()
    truth[0, 0, 0] = 1.5 / 255
    assert psnr(forecast, truth, whole(truth)) == 100.0


def test_psnr_by_hand() -> None:
    forecast, truth = frame_of([0.0, 0.0]), frame_of([10.5 / 255, 20.5 / 255])
    # bytes differ by 10 and 20: mean square (100 + 400) / 2 = 250
    expected = 10 * math.log10(255**2 / 250)
    assert psnr(forecast, truth, whole(truth)) == pytest.approx(expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_scikit_images(channels: int) -> None:
    forecast, truth = noise(1, channels), noise(2, channels)
    images = [np.moveaxis((255 * frame).astype(np.uint8), 0, -1) for frame in (forecast, truth)]
    expected = structural_similarity(*images, win_size=7, data_range=255, channel_axis=-1)
    assert ssim(forecast, truth, whole(truth)) == pytest.approx(expected, abs=1e-12)


def test_ssim_is_the_mean_of_scikit_images_map_over_measured_pixels() -> None:
    forecast, truth, mask = noise(1), noise(2), whole(noise(2))
    mask[0, 2:6, 5:8] = False
    shown = [np.where(mask, (255 * frame).astype(np.uint8), 0)[0] for frame in (forecast, truth)]
    _, similarity = structural_similarity(*shown, win_size=7, data_range=255, full=True)
    inside = range(3, SIDE - 3)  # a 7 x 7 window fits
    counted = [similarity[row, col] for row in inside for col in inside if mask[0, row, col]]
    assert ssim(forecast, truth, mask) == pytest.approx(np.mean(counted), abs=1e-12)


def test_ssim_is_undefined_where_no_window_fits() -> None:
    mask = np.ones((1, SIDE, SIDE), bool)
    mask[0, 3:-3, 3:-3] = False
    assert math.isnan(ssim(noise(1), noise(2), mask))


def test_sharpness_is_the_largest_laplacian_of_the_bytes() -> None:
    frame = np.zeros((1, SIDE, SIDE), np.float32)
    frame[0, 5, 5] = 50.5 / 255  # kernel centre -4: |-4 * 50| = 200
    assert sharpness_of(frame, whole(frame)) == 200
    frame[0, 5, 5] = 1  # 4 * 255 = 1020, clipped
    assert sharpness_of(frame, whole(frame)) == 255


def test_the_border_is_mirrored_without_the_edge() -> None:
    # each row is 0 30 20; at the left edge both neighbours are 30: 30 + 30 - 2 * 0 = 60;
    # a repeated edge would give 40 at most, a periodic one 50, zeros outside 100
    frame = frame_of(*[[0.0, 30.5 / 255, 20.5 / 255]] * 3)
    assert sharpness_of(frame, whole(frame)) == 60


@pytest.mark.parametrize("seed", range(3))
def test_sharpness_equals_scipys_convolution(seed: int) -> None:
    frame = noise(seed, 2) * 0.2
    kernel = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]
    edges = [
        convolve((255 * channel).astype(np.uint8).astype(int), kernel, mode="mirror")
        for channel in frame
    ]
    assert sharpness_of(frame, whole(frame)) == min(255, np.abs(edges).max())


@pytest.mark.parametrize(
    ("missing", "expected"),
    [((5, 5), 40), ((5, 6), 40), ((6, 6), 80)],
    ids=["itself", "beside it", "diagonal to it"],
)
def test_sharpness_needs_a_pixel_and_its_four_neighbours(
    missing: tuple[int, int], expected: float
) -> None:
    frame = np.zeros((1, SIDE, SIDE), np.float32)
    frame[0, 5, 5], frame[0, 2, 2] = 20.5 / 255, 10.5 / 255  # |-4 * 20| = 80, |-4 * 10| = 40
    mask = whole(frame)
    mask[0, *missing] = False
    assert sharpness_of(frame, mask) == expected


def test_sharpness_is_undefined_if_every_pixel_has_a_missing_neighbour() -> None:
    chess_board = np.indices((1, SIDE, SIDE)).sum(axis=0) % 2 == 0
    assert math.isnan(sharpness_of(noise(1), chess_board))


def test_each_column_holds_the_score_of_its_name() -> None:
    forecast, truth, mask = noise(1) * 0.2, noise(2) * 0.1, whole(noise(2))
    mask[0, 4, 4] = False
    expected = {
        "mse": mse(forecast, truth, mask),
        "fmae": fmae(forecast, truth, mask),
        "ssim": ssim(forecast, truth, mask),
        "psnr": psnr(forecast, truth, mask),
        "sharpness": sharpness(forecast, truth, mask),
        "truth_sharpness": sharpness_of(truth, mask),
    }
    assert len(set(expected.values())) == len(KEYS)  # a swap would show
    assert dict(zip(KEYS, scores(forecast, truth, mask), strict=True)) == expected


def test_a_missing_pixel_counts_nowhere() -> None:
    forecast, truth, mask = noise(1), noise(2), whole(noise(2))
    mask[0, 3:5, 6] = False
    expected = scores(forecast, truth, mask)
    forecast[0, 3:5, 6], truth[0, 3:5, 6] = 0.9, 0.1
    np.testing.assert_array_equal(scores(forecast, truth, mask), expected)


def test_without_a_measured_pixel_no_score_is_defined() -> None:
    assert np.isnan(scores(noise(1), noise(2), whole(noise(2)) & False)).all()


def test_a_perfect_forecast_has_perfect_scores() -> None:
    found = dict(zip(KEYS, scores(noise(1), noise(1), whole(noise(1))), strict=True))
    assert (found["mse"], found["fmae"], found["ssim"]) == (0, 0, pytest.approx(1))
    assert found["sharpness"] == found["truth_sharpness"]


def windows() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Five windows of two leads; one frame is wholly missing."""
    made = []
    for seed in range(5):
        forecast, truth = noise(seed, 2)[:, None], noise(seed + 10, 2)[:, None]
        mask = whole(truth)
        mask[1] = seed != 3
        made.append((forecast, truth, mask))
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


def test_the_overall_score_is_the_mean_over_leads() -> None:
    # column k: 2 frames of sum 2k have mean k, 3 frames of sum 3 (k + 10) have mean k + 10
    column = np.arange(len(KEYS), dtype=float)
    sums = np.stack([2 * column, 3 * (column + 10)])
    counts = np.stack([np.full(len(KEYS), 2.0), np.full(len(KEYS), 3.0)])
    expected = {name: k + 5.0 for k, name in enumerate(KEYS)}
    assert LeadMeans(sums, counts).overall() == pytest.approx(expected)


def test_a_lead_that_was_never_seen_has_no_mean() -> None:
    means = LeadMeans()
    forecast, truth, mask = windows()[3]
    means.add(forecast, truth, mask)
    assert np.isnan(means.by_lead()[1]).all()
    assert math.isnan(means.overall()["mse"])
