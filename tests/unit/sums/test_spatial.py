"""The fractions skill score, by the Bureau of Meteorology's `scores`, by hand, and by its laws."""

import numpy as np
import pytest
import scores.spatial
import torch

from convlstm.scores.spatial import scores as scores_of
from convlstm.sums import spatial

SIDE = 20


def field(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((1, SIDE, SIDE), np.float32)


def fractions(events: np.ndarray, mask: np.ndarray, *sides: int) -> np.ndarray:
    scales = [spatial.squares(torch.from_numpy(mask), side) for side in sides]
    return spatial.fractions(torch.from_numpy(events), scales).numpy()


def parts_of(
    forecast: np.ndarray, truth: np.ndarray, *sides: int, mask: np.ndarray | None = None
) -> np.ndarray:
    """The sums of fractions of one forecast (channel, row, col) by side of the squares."""
    measured = np.ones(truth.shape, bool) if mask is None else mask
    events = np.stack([forecast, truth]) & measured
    return np.asarray(fractions(events, measured, *sides)[0])


def test_the_fractions_are_summed_by_hand() -> None:
    forecast = np.array([[[1, 1, 0], [0, 0, 0], [0, 0, 1]]], bool)
    truth = np.array([[[0, 1, 0], [0, 0, 0], [0, 1, 1]]], bool)
    # squares of 2 x 2 cover, in quarters, 2 1 0 1 by the forecast and 1 1 1 2 by the truth
    assert parts_of(forecast, truth, 2)[0].tolist() == [3 / 16, 6 / 16, 7 / 16]
    # pixel by pixel: two differ, three are forecast, three are true
    assert parts_of(forecast, truth, 1)[0].tolist() == [2, 3, 3]


@pytest.mark.parametrize("limit", [0.3, 0.7])
@pytest.mark.parametrize("side", [1, 4, 5])
def test_the_score_equals_that_of_the_bureau_of_meteorology(side: int, limit: float) -> None:
    forecast, truth = field(1), field(2)
    ours = scores_of(parts_of(forecast >= np.float32(limit), truth >= np.float32(limit), side))
    theirs = scores.spatial.fss_2d_single_field(
        forecast[0].astype(float),
        truth[0].astype(float),
        event_threshold=float(np.float32(limit)),
        window_size=(side, side),
        zero_padding=False,
        threshold_operator=np.greater_equal,
    )
    assert ours["fss"][0] == pytest.approx(theirs)


@pytest.mark.parametrize("side", [1, 4, 5])
def test_a_perfect_forecast_scores_exactly_one_and_a_blank_one_exactly_zero(side: int) -> None:
    truth = field(1) >= 0.3
    assert scores_of(parts_of(truth, truth, side))["fss"] == [1]
    assert scores_of(parts_of(truth & False, truth, side))["fss"] == [0]


def test_without_an_event_the_score_is_undefined_not_zero() -> None:
    dry = field(1) > 2
    assert np.isnan(scores_of(parts_of(dry, dry, 1, 4, 5))["fss"]).all()


def test_a_shifted_forecast_is_forgiven_at_larger_scales() -> None:
    truth = np.zeros((1, SIDE, SIDE), bool)
    truth[..., 8:11, 8:11] = True
    skill = scores_of(parts_of(np.roll(truth, 3, axis=-1), truth, 1, 4, 5))["fss"]
    assert skill[0] == 0  # no pixel in common
    assert 0 < skill[1] < skill[2] < 1


def test_a_square_with_a_missing_pixel_is_left_out() -> None:
    forecast, truth, mask = field(1) > 0.3, field(2) > 0.3, np.ones((1, SIDE, SIDE), bool)
    mask[..., 10:] = False
    half = parts_of(forecast, truth, 1, 4, 5, mask=mask)
    alone = parts_of(forecast[..., :10], truth[..., :10], 1, 4, 5)
    np.testing.assert_allclose(half, alone)


@pytest.mark.parametrize("side", [SIDE, SIDE + 1, SIDE + 2, 3 * SIDE])
def test_a_square_that_is_larger_than_the_frame_counts_nothing(side: int) -> None:
    parts = parts_of(field(1) >= 0.3, field(2) >= 0.3, side)
    assert (parts != 0).any() == (side == SIDE)


def test_forecasts_are_summed_as_if_each_came_alone() -> None:
    first, second, truth = (field(seed) > 0.3 for seed in range(3))
    together = fractions(np.stack([first, second, truth]), truth | True, 1, 4)
    for forecast, parts in zip((first, second), together, strict=True):
        np.testing.assert_array_equal(parts, parts_of(forecast, truth, 1, 4))
