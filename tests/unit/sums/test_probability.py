"""Scores of probabilities: by hand, by SciPy, by `scores`, and by the parts of the Brier score."""

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import mannwhitneyu
from scores.probability import brier_score_for_ensemble

from convlstm.scores.probability import scores
from convlstm.sums import categorical, probability

SHAPE = (2, 1, 20, 15)  # lead, channel, row, col
THRESHOLDS = (0.2, 0.5)


def drawn(members: int) -> tuple[np.ndarray, np.ndarray]:
    """Members that resemble the truth, and the truth."""
    random = np.random.default_rng(0)
    truth = random.random(SHAPE, np.float32) ** 2
    noise = random.normal(0, 0.2, (members, *SHAPE)).astype(np.float32)
    return np.clip(truth + noise, 0, 1), truth


def frequencies(
    members: np.ndarray, truth: np.ndarray, mask: np.ndarray, thresholds: tuple[float, ...]
) -> np.ndarray:
    """The frequencies of one forecast by an ensemble."""
    own, true, measured = map(torch.from_numpy, (members[:, None], truth, mask))
    return probability.frequencies(own, true, measured, thresholds)[0].numpy()


def whole(truth: np.ndarray) -> np.ndarray:
    return np.ones(truth.shape, bool)


def test_frequencies_are_counted_by_hand() -> None:
    members = np.array([[0.9, 0.1, 0.9, 0.1, 0.5], [0.9, 0.9, 0.1, 0.1, 0.5]], np.float32)
    truth = np.array([0.9, 0.9, 0.1, 0.1, 0.4], np.float32)
    shape = (1, 1, 1, 5)
    found = frequencies(
        members.reshape(2, *shape), truth.reshape(shape), np.ones(shape, bool), (0.5,)
    )
    # 1 pixel has no member with the event, 2 have one, 2 both (0.5 is an event); in 0, 1 and 1 of
    # them it came true
    np.testing.assert_array_equal(found, [[[[1, 2, 2], [0, 1, 1]]]])


@pytest.mark.parametrize("count", [1, 2, 8])
def test_the_brier_score_is_that_of_the_bureau_of_meteorology(count: int) -> None:
    members, truth = drawn(count)
    names = ("member", "lead", "channel", "row", "col")
    expected = brier_score_for_ensemble(
        xr.DataArray(members, dims=names),
        xr.DataArray(truth, dims=names[1:]),
        "member",
        np.array(THRESHOLDS, np.float32),
        preserve_dims="lead",
        fair_correction=False,
    )
    found = scores(frequencies(members, truth, whole(truth), THRESHOLDS))["brier"]
    np.testing.assert_allclose(found, expected.transpose("lead", "threshold"), rtol=1e-9)


def test_the_roc_area_is_scipys_u_over_the_number_of_pairs() -> None:
    members, truth = drawn(5)
    found = scores(frequencies(members, truth, whole(truth), THRESHOLDS))["roc_area"]
    for lead, number in np.ndindex(found.shape):
        limit = np.float32(THRESHOLDS[number])
        probability, event = (members[:, lead] >= limit).mean(axis=0), truth[lead] >= limit
        ours, others = probability[event], probability[~event]
        expected = mannwhitneyu(ours, others).statistic / (ours.size * others.size)
        assert found[lead, number] == pytest.approx(expected)


def test_the_brier_score_is_reliability_minus_resolution_plus_uncertainty() -> None:
    """Murphy 1973 (doi:10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2)."""
    members, truth = drawn(6)
    table = frequencies(members, truth, whole(truth), THRESHOLDS)
    forecasts, events = np.moveaxis(table, 2, 0)
    base = (events.sum(axis=-1) / forecasts.sum(axis=-1))[..., None]
    came_true = np.divide(events, forecasts, out=np.zeros_like(events), where=forecasts > 0)
    weight = forecasts / forecasts.sum(axis=-1, keepdims=True)
    wrong = (weight * (np.arange(7) / 6 - came_true) ** 2).sum(axis=-1)
    resolution = (weight * (came_true - base) ** 2).sum(axis=-1)
    expected = wrong - resolution + (base * (1 - base))[..., 0]
    np.testing.assert_allclose(scores(table)["brier"], expected, rtol=1e-9)


def test_scores_of_one_forecast_follow_from_its_table_of_hits_and_misses() -> None:
    (forecast,), truth = drawn(1)
    events = np.stack([forecast[0], truth[0]]) >= np.float32(0.5)
    (counts,) = categorical.counts(*map(torch.from_numpy, (events, whole(truth[0]))))
    hits, misses, false_alarms, correct_negatives = counts.tolist()
    table = frequencies(forecast[None], truth, whole(truth), (0.5,))
    expected = [correct_negatives + misses, hits + false_alarms], [misses, hits]
    np.testing.assert_array_equal(table[0, 0], expected)
    found = {key: value[0, 0] for key, value in scores(table).items()}
    assert found["brier"] == pytest.approx((misses + false_alarms) / 300)
    detected, false = hits / (hits + misses), false_alarms / (false_alarms + correct_negatives)
    assert found["roc_area"] == pytest.approx((1 + detected - false) / 2)


@pytest.mark.parametrize("limit", [0.0, 2.0], ids=["always an event", "never"])
def test_where_the_event_always_or_never_is_the_roc_area_is_undefined(limit: float) -> None:
    members, truth = drawn(3)
    found = scores(frequencies(members, truth, whole(truth), (limit,)))
    assert np.isnan(found["roc_area"]).all()
    assert (found["brier"] == 0).all()


def test_without_a_measured_pixel_no_score_is_defined() -> None:
    members, truth = drawn(3)
    for value in scores(frequencies(members, truth, truth > 2, THRESHOLDS)).values():
        assert np.isnan(value).all()


def test_missing_pixels_count_nowhere() -> None:
    members, truth = drawn(4)
    mask = np.random.default_rng(2).random(SHAPE) < 0.6
    before = frequencies(members, truth, mask, THRESHOLDS)
    np.testing.assert_array_equal(
        frequencies(members, np.where(mask, truth, 9), mask, THRESHOLDS), before
    )
    expected = np.repeat(mask.sum(axis=(1, 2, 3))[:, None], 2, axis=1)
    np.testing.assert_array_equal(before[:, :, 0].sum(axis=-1), expected)
