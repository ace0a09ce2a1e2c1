"""Counts and scores of events: by hand, by the Bureau of Meteorology's `scores`, by their laws."""

import numpy as np
import pytest
import scores.categorical
import torch
import xarray as xr

from convlstm.scores.categorical import COUNTS, Counts
from convlstm.scores.categorical import scores as scores_of
from convlstm.sums import categorical

KEYS = ("csi", "pod", "far", "hss", "frequency_bias")


def events_of(*seeds: int) -> np.ndarray:
    """Random events for each seed, in half of the pixels of a frame with two channels."""
    return np.stack([np.random.default_rng(seed).random((2, 20, 20)) < 0.5 for seed in seeds])


def counts(events: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return categorical.counts(torch.from_numpy(events), torch.from_numpy(mask)).numpy()


def whole(events: np.ndarray) -> np.ndarray:
    return np.ones(events.shape[1:], bool)


def test_the_table_is_counted_by_hand() -> None:
    # hit, false alarm, miss, correct negative, hit
    forecast, truth = [[[1, 1, 0, 0, 1]]], [[[1, 0, 1, 0, 1]]]
    events = np.array([forecast, truth], bool)
    assert counts(events, whole(events)).tolist() == [[2, 1, 1, 1]]
    assert COUNTS == ("hits", "misses", "false_alarms", "correct_negatives")


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_those_of_the_bureau_of_meteorology(seed: int) -> None:
    events = events_of(seed, seed + 10) & events_of(seed + 20, seed + 10)
    ours = scores_of(counts(events, whole(events)))
    forecast, truth = (xr.DataArray(each.astype(float)) for each in events)
    theirs = scores.categorical.BinaryContingencyManager(forecast, truth)
    expected = {
        "csi": theirs.critical_success_index(),
        "pod": theirs.probability_of_detection(),
        "far": theirs.false_alarm_ratio(),
        "hss": theirs.heidke_skill_score(),
        "frequency_bias": theirs.frequency_bias(),
    }
    assert tuple(ours) == KEYS
    for key, value in expected.items():
        assert ours[key][0] == pytest.approx(float(value)), key


def test_pixels_outside_the_mask_are_in_no_cell_of_the_table() -> None:
    events, mask = events_of(0, 1), np.random.default_rng(2).random((2, 20, 20)) < 0.7
    (table,) = counts(events & mask, mask)
    forecast, truth = (each[mask] for each in events)
    pairs = ((True, True), (False, True), (True, False), (False, False))
    assert table.tolist() == [
        np.count_nonzero((forecast == one) & (truth == other)) for one, other in pairs
    ]
    assert Counts(*table).total == mask.sum()


def test_forecasts_are_counted_as_if_each_came_alone() -> None:
    events = events_of(0, 1, 2)
    mask = whole(events)
    alone = [counts(events[[number, 2]], mask)[0] for number in (0, 1)]
    np.testing.assert_array_equal(counts(events, mask), alone)


def test_a_perfect_forecast_has_perfect_scores() -> None:
    events = events_of(1, 1)
    found = scores_of(counts(events, whole(events)))
    for key, value in {"csi": 1, "pod": 1, "far": 0, "hss": 1, "frequency_bias": 1}.items():
        np.testing.assert_allclose(found[key], value, atol=1e-7)


def test_a_blank_forecast_hits_nothing() -> None:
    events = events_of(1, 1) & [[[[False]]], [[[True]]]]
    found = scores_of(counts(events, whole(events)))
    assert (found["csi"] == 0).all()
    assert np.isnan(found["far"]).all()  # of no alarm none is false


def test_without_an_event_the_scores_are_undefined_not_zero() -> None:
    events = np.zeros((2, 2, 20, 20), bool)
    found = scores_of(counts(events, whole(events)))
    for key in KEYS:
        assert np.isnan(found[key]).all(), key
