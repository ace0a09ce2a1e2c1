"""Sums over windows: each family is given the right pixels, and sums of parts are those of all."""

import numpy as np

from convlstm.evaluate.totals import Pooling, Totals
from convlstm.scores import (
    categorical,
    continuous,
    ensemble,
    probability,
    ranks,
    spatial,
    spectral,
    temporal,
    variogram,
)

POOLING = Pooling((0.3, 0.7), (1, 4, 5), patch_size=2)
SIDE = 20


def field(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((3, 2, SIDE, SIDE), np.float32)


def totals(forecast: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> Totals:
    (one,) = POOLING.totals([forecast], truth, np.ones(truth.shape, bool) if mask is None else mask)
    return one


def test_a_value_of_the_threshold_is_an_event() -> None:
    forecast = np.array([[[[0.9, 0.9, 0.1, 0.1, 0.8]]]], np.float32)
    truth = np.array([[[[0.9, 0.1, 0.9, 0.1, 0.7]]]], np.float32)
    # at 0.7: hit, false alarm, miss, correct negative, hit (0.7 is an event)
    (one,) = Pooling((0.7,), (1,), 1).totals([forecast], truth, np.ones(truth.shape, bool))
    assert one.events[0, 0].tolist() == [2, 1, 1, 1]


def test_events_and_fractions_stand_at_their_lead_time_threshold_and_scale() -> None:
    forecast, truth, mask = field(1), field(2), field(3) > 0.1
    one = totals(forecast, truth, mask)
    assert one.events.shape == (3, 2, 4)
    assert one.fractions.shape == (3, 2, 3, 3)
    for lead, number in np.ndindex(3, 2):
        limit = np.float32(POOLING.thresholds[number])
        events = np.stack([forecast[lead] >= limit, truth[lead] >= limit]) & mask[lead]
        (counts,) = categorical.counts(events, mask[lead])
        np.testing.assert_array_equal(one.events[lead, number], counts)
        for which, side in enumerate(POOLING.scales):
            ((parts,),) = spatial.fractions(events, [spatial.squares(mask[lead], side)])
            np.testing.assert_array_equal(one.fractions[lead, number, which], parts)


def test_moments_and_power_are_those_of_frames_that_hold_zero_where_a_pixel_is_missing() -> None:
    forecast, truth, mask = field(1), field(2), field(3) > 0.1
    one = totals(forecast, truth, mask)
    filled = np.where(mask, forecast, 0), np.where(mask, truth, 0)
    np.testing.assert_array_equal(one.moments, continuous.moments(*filled, mask))
    for which, frames in enumerate(filled):
        waves = spectral.power(frames)
        np.testing.assert_array_equal(one.power[:, which], spectral.radial(waves))
        np.testing.assert_array_equal(one.lattice[:, which], spectral.lattice(waves, 2))


def test_the_first_forecast_is_scored_by_its_members_and_the_others_as_ensembles_of_one() -> None:
    members, truth, mask = np.stack([field(1), field(4), 2 * field(5)]), field(2), field(3) > 0.1
    first, second = POOLING.totals([members.mean(axis=0), field(6)], truth, mask, members, truth[0])
    for own, one in ((np.clip(members, 0, 1), first), (field(6)[None], second)):
        given = own, np.where(mask, truth, 0), mask
        np.testing.assert_array_equal(one.ensemble, ensemble.sums(*given))
        np.testing.assert_array_equal(one.ranks, ranks.counts(*given))
        np.testing.assert_array_equal(
            one.probability, probability.frequencies(*given, POOLING.thresholds)
        )
        (expected,) = variogram.sums([own], *given[1:])
        np.testing.assert_array_equal(one.variogram, expected)
    filled = np.where(mask, field(6), 0), np.where(mask, truth, 0)
    np.testing.assert_array_equal(second.temporal, temporal.changes(*filled, mask, truth[0]))


def test_probabilities_of_one_forecast_are_its_table_of_events() -> None:
    one = totals(field(1), field(2), field(3) > 0.1)
    hits, misses, false_alarms, correct_negatives = np.moveaxis(one.events, -1, 0)
    forecasts, events = np.moveaxis(one.probability, 2, 0)
    np.testing.assert_array_equal(events, np.stack([misses, hits], axis=-1))
    expected = np.stack([correct_negatives + misses, hits + false_alarms], axis=-1)
    np.testing.assert_array_equal(forecasts, expected)


def test_forecasts_are_clipped_before_anything_is_summed() -> None:
    beyond, truth = 3 * field(2) - 1, field(1)
    clipped = totals(np.clip(beyond, 0, 1), truth)
    for name, mine in vars(totals(beyond, truth)).items():
        np.testing.assert_array_equal(mine, getattr(clipped, name), err_msg=name)


def test_missing_pixels_count_nowhere() -> None:
    forecast, truth, mask = field(1), field(2), np.ones((3, 2, SIDE, SIDE), bool)
    mask[..., :7, 3:9] = False
    before = totals(forecast, truth, mask)
    forecast[~mask], truth[~mask] = 1, np.float32("nan")
    after = totals(forecast, truth, mask)
    for name, mine in vars(before).items():
        np.testing.assert_array_equal(mine, getattr(after, name), err_msg=name)
    assert before.events[0, 0].sum() == 2 * (SIDE**2 - 7 * 6)


def test_totals_of_two_halves_add_up_to_those_of_one_pass() -> None:
    windows = [(field(seed), field(seed + 10)) for seed in range(4)]
    parts = [totals(*window) for window in windows]
    together = (parts[0] + parts[1]) + (parts[2] + parts[3])
    # channels are summed as windows are
    joined = totals(*(np.concatenate(side, axis=1) for side in zip(*windows, strict=True)))
    for name, mine in vars(together).items():
        np.testing.assert_allclose(mine, getattr(joined, name), rtol=1e-9, err_msg=name)


def test_forecasts_of_one_window_are_scored_as_if_each_came_alone() -> None:
    first, second, truth = (field(seed) for seed in range(3))
    mask = field(3) > 0.1
    together = POOLING.totals([first, second], truth, mask)
    for forecast, one in zip((first, second), together, strict=True):
        for name, mine in vars(totals(forecast, truth, mask)).items():
            np.testing.assert_array_equal(mine, getattr(one, name), err_msg=name)
