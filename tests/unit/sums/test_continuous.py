"""Pooled scores of values, by hand, by NumPy and by SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from convlstm.scores.continuous import scores
from convlstm.sums import continuous


def field(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((2, 1, 20, 20), np.float32)


def moments(forecast: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The sums of one forecast."""
    forecasts, true, measured = map(torch.from_numpy, (forecast[None], truth, mask))
    return continuous.moments(forecasts, true, measured)[0].numpy()


def whole(frames: np.ndarray) -> np.ndarray:
    return np.ones(frames.shape, bool)


def test_moments_are_sums_by_hand() -> None:
    forecast = np.array([[[[1.0, 0.5]]], [[[0.0, 0.0]]]], np.float32)
    truth = np.array([[[[0.5, 0.25]]], [[[1.0, 0.0]]]], np.float32)
    mask = np.array([[[[True, True]]], [[[True, False]]]])
    # n, f, t, f^2, t^2, f t
    assert moments(forecast, truth, mask).tolist() == [
        [2, 1.5, 0.75, 1.25, 0.3125, 0.625],
        [1, 0, 1, 0, 1, 0],
    ]


def test_scores_equal_scipys_and_numpys() -> None:
    forecast, truth = field(1), field(2)
    found = scores(moments(forecast, truth, whole(truth)), 50.0)
    assert list(found) == ["rmse", "bias", "correlation"]
    for lead in range(2):
        f, t = forecast[lead].ravel().astype(float), truth[lead].ravel().astype(float)
        assert found["rmse"][lead] == pytest.approx(50 * math.sqrt(((f - t) ** 2).mean()))
        assert found["bias"][lead] == pytest.approx(50 * (f - t).mean())
        assert found["correlation"][lead] == pytest.approx(pearsonr(f, t).statistic)


def test_scores_of_added_moments_are_those_of_all_pixels_together() -> None:
    pairs = [(field(seed), field(seed + 10) / 2) for seed in range(3)]
    added = sum(moments(*pair, whole(pair[0])) for pair in pairs)
    forecast, truth = (np.concatenate(side, axis=3) for side in zip(*pairs, strict=True))
    together = scores(moments(forecast, truth, whole(truth)), 1.0)
    for key, value in scores(np.asarray(added), 1.0).items():
        np.testing.assert_allclose(value, together[key], rtol=1e-9)


def test_a_perfect_forecast_has_perfect_scores() -> None:
    truth = field(1)
    found = scores(moments(truth, truth, whole(truth)), 1.0)
    for key, value in {"rmse": 0, "bias": 0, "correlation": 1}.items():
        np.testing.assert_allclose(found[key], value, atol=1e-7)


@pytest.mark.parametrize("blank", ["forecast", "truth"])
def test_without_variation_the_correlation_is_undefined(blank: str) -> None:
    frames = {"forecast": field(1), "truth": field(2)}
    frames[blank] = np.zeros_like(frames[blank])
    found = scores(moments(**frames, mask=whole(field(1))), 1.0)
    assert np.isnan(found["correlation"]).all()
    assert np.isfinite(found["rmse"]).all()


def test_without_a_measured_pixel_no_score_is_defined() -> None:
    nothing = np.zeros((2, 1, 20, 20), np.float32)
    for value in scores(moments(nothing, nothing, nothing > 0), 1.0).values():
        assert np.isnan(value).all()
