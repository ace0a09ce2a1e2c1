"""Change in time: by hand, and of forecasts that freeze."""

import numpy as np
import pytest
import torch

from convlstm.scores.temporal import scores
from convlstm.sums import temporal


def film(*values: float) -> np.ndarray:
    """Frames of two pixels, of which the second is always 0."""
    return np.array([[[[value, 0]]] for value in values], np.float32)


def changes(
    forecast: np.ndarray, truth: np.ndarray, mask: np.ndarray, last: np.ndarray | None = None
) -> np.ndarray:
    """The sums of a window, whose frames are given with the frames before them."""
    start = np.full_like(truth[0], np.nan) if last is None else last
    measured = mask & np.concatenate([~np.isnan(start)[None], mask[:-1]])
    films = (np.concatenate([np.nan_to_num(start)[None], frames]) for frames in (forecast, truth))
    both = torch.from_numpy(np.stack(list(films)))
    return temporal.changes(both[:, 1:], both[:, :-1], torch.from_numpy(measured)).numpy().T


def whole(frames: np.ndarray) -> np.ndarray:
    return np.ones(frames.shape, bool)


def test_the_change_is_that_from_the_frame_before_by_hand() -> None:
    forecast, truth = film(0.5, 0.75, 0.75), film(1, 0.5, 1)
    sums = changes(forecast, truth, whole(truth), film(0)[0])
    assert sums.tolist() == [[0.5, 1], [0.25, 0.5], [0, 0.5]]
    assert scores(sums)["temporal_change"].tolist() == [0.5, 0.5, 0]


def test_without_the_frame_before_the_first_change_alone_is_undefined() -> None:
    forecast, truth = film(0.5, 0.75, 0.75), film(1, 0.5, 1)
    found = scores(changes(forecast, truth, whole(truth)))["temporal_change"]
    np.testing.assert_array_equal(found, [np.nan, 0.5, 0])


def test_a_pixel_counts_where_it_is_measured_in_both_frames() -> None:
    random = np.random.default_rng(0)
    forecast, truth = random.random((2, 4, 2, 7, 9), np.float32)
    mask = random.random(truth.shape) < 0.7
    last = np.where(random.random(truth.shape[1:]) < 0.7, 0.5, np.nan).astype(np.float32)
    filled = np.where(mask, forecast, 0), np.where(mask, truth, 0)
    found = changes(*filled, mask, last)
    for which, frames in enumerate((forecast, truth)):
        holed = np.concatenate([last[None], np.where(mask, frames, np.nan)])
        expected = np.nansum(np.abs(np.diff(holed, axis=0)), axis=(1, 2, 3))
        np.testing.assert_allclose(found[:, which], expected, rtol=1e-5)


def test_the_truth_changes_as_much_as_itself_and_a_frozen_forecast_not_at_all() -> None:
    truth = np.random.default_rng(0).random((4, 1, 6, 6), np.float32)
    last = truth[3]
    assert scores(changes(truth, truth, whole(truth), last))["temporal_change"].tolist() == [1] * 4
    frozen = np.repeat(last[None], 4, axis=0)
    assert scores(changes(frozen, truth, whole(truth), last))["temporal_change"].tolist() == [0] * 4


def test_where_the_truth_stays_as_it_is_the_score_is_undefined() -> None:
    sums = changes(film(0.5, 0.2), film(1, 1), whole(film(1, 1)), film(1)[0])
    assert sums[:, 0] == pytest.approx([0.5, 0.3])
    assert np.isnan(scores(sums)["temporal_change"]).all()
