"""Every value equals its definition on frames made by hand; missing pixels count nowhere."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve
from skimage.metrics import structural_similarity

from convlstm.scores.frame import Values
from convlstm.sums import frame as frame_sums

SIDE = 12


def whole(frame: np.ndarray) -> np.ndarray:
    return np.ones(frame.shape, bool)


def frame_of(*rows: list[float]) -> np.ndarray:
    return np.array([rows], np.float32)


def noise(seed: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((channels, SIDE, SIDE), np.float32)


def values(forecast: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """The values of one frame."""
    given = map(torch.from_numpy, (forecast[None], truth, mask))
    return dict(zip(Values._fields, frame_sums.values(*given)[0].tolist(), strict=True))


def ssim(forecast: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    return values(forecast, truth, mask)["ssim"]


def psnr(forecast: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    return values(forecast, truth, mask)["psnr"]


def sharpness_of(frame: np.ndarray, mask: np.ndarray) -> float:
    return values(frame, np.zeros_like(frame), mask)["sharpness"]


def test_bytes_are_truncated_and_never_wrap_around() -> None:
    # 255 * 0.5 = 127.5; below 0 and above 1 is clipped
    frame = np.array([-0.5, 0.0, 0.5, 1.0, 1.5], np.float32)
    found = frame_sums.as_bytes(torch.from_numpy(frame))
    assert found.tolist() == [0, 0, 127, 255, 255]


def test_mse_is_a_sum_after_clipping() -> None:
    forecast, truth = frame_of([1.5, -0.5], [0.5, 0.0]), frame_of([0.5, 0.5], [0.0, 0.0])
    # clipped: 1, 0, 0.5, 0; differences 0.5, -0.5, 0.5, 0; squares 0.25 * 3
    assert values(forecast, truth, whole(truth))["mse"] == pytest.approx(0.75)


def test_fmae_is_a_sum_before_clipping() -> None:
    forecast, truth = frame_of([1.5, -0.5], [0.5, 0.0]), frame_of([0.5, 0.5], [0.0, 0.0])
    # |1.5 - 0.5| + |-0.5 - 0.5| + |0.5| + 0 = 2.5
    assert values(forecast, truth, whole(truth))["fmae"] == pytest.approx(2.5)


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
    assert ssim(forecast, truth, whole(truth)) == pytest.approx(expected, abs=1e-6)


def test_ssim_is_the_mean_of_scikit_images_map_over_measured_pixels() -> None:
    forecast, truth, mask = noise(1), noise(2), whole(noise(2))
    mask[0, 2:6, 5:8] = False
    shown = [np.where(mask, (255 * frame).astype(np.uint8), 0)[0] for frame in (forecast, truth)]
    _, similarity = structural_similarity(*shown, win_size=7, data_range=255, full=True)
    inside = range(3, SIDE - 3)  # a 7 x 7 window fits
    counted = [similarity[row, col] for row in inside for col in inside if mask[0, row, col]]
    assert ssim(forecast, truth, mask) == pytest.approx(np.mean(counted), abs=1e-6)


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


def test_each_column_holds_the_value_of_its_name() -> None:
    forecast, truth = noise(1) * 0.2, noise(2) * 0.1
    f, t = (torch.from_numpy(own) for own in (forecast[None], truth))
    mask, shown, true = torch.ones_like(t) > 0, frame_sums.as_bytes(f), frame_sums.as_bytes(t)
    expected = {
        "mse": frame_sums.mse(f, t).item(),
        "fmae": frame_sums.fmae(f, t).item(),
        "ssim": frame_sums.ssim(shown, true, mask).item(),
        "psnr": frame_sums.psnr(shown, true, mask).item(),
        "sharpness": frame_sums.sharpness(shown, mask).item(),
        "truth_sharpness": frame_sums.sharpness(true, mask).item(),
    }
    assert len(set(expected.values())) == len(Values._fields)  # a swap would show
    assert values(forecast, truth, whole(truth)) == expected


def test_frames_of_any_batch_have_the_values_that_each_has_alone() -> None:
    forecasts = np.stack([[noise(seed), noise(seed + 1)] for seed in (1, 3, 5)])
    truth = np.stack([noise(7), noise(8)])
    mask = np.random.default_rng(0).random(truth.shape) < 0.9
    together = frame_sums.values(*map(torch.from_numpy, (forecasts, truth, mask))).numpy()
    for which, number in np.ndindex(3, 2):
        alone = values(forecasts[which, number], truth[number], mask[number])
        np.testing.assert_allclose(together[which, number], list(alone.values()), rtol=1e-12)


def test_a_missing_pixel_counts_nowhere() -> None:
    forecast, truth, mask = noise(1), noise(2), whole(noise(2))
    mask[0, 3:5, 6] = False
    expected = values(forecast, truth, mask)
    forecast[0, 3:5, 6], truth[0, 3:5, 6] = 0.9, np.nan
    assert values(forecast, truth, mask) == expected


def test_without_a_measured_pixel_no_score_is_defined() -> None:
    found = values(noise(1), noise(2), whole(noise(2)) & False)
    assert all(math.isnan(value) for value in found.values())


def test_a_perfect_forecast_has_perfect_scores() -> None:
    found = values(noise(1), noise(1), whole(noise(1)))
    assert (found["mse"], found["fmae"], found["ssim"]) == (0, 0, 1)
    assert found["sharpness"] == found["truth_sharpness"]


def test_a_frame_in_which_no_area_fits_has_no_ssim() -> None:
    small = np.zeros((1, 6, 9), np.float32)
    found = values(small, small, whole(small))
    assert math.isnan(found["ssim"])
    assert (found["mse"], found["psnr"], found["sharpness"]) == (0, 100, 0)
