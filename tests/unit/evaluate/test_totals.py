"""Sums over windows: each family is given the right pixels, and sums of parts are those of all."""

import pytest
import torch
from torch import Tensor

from convlstm.evaluate.totals import Pooling, Totals
from convlstm.sums import (
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


def field(seed: int, windows: int = 2) -> Tensor:
    """Random windows of three lead times and two channels."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(windows, 3, 2, SIDE, SIDE, generator=generator)


def totals(forecast: Tensor, truth: Tensor, mask: Tensor | None = None) -> Totals:
    (one,) = POOLING.totals(forecast[None], truth, truth > -1 if mask is None else mask)
    return one


def filled(frames: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, frames, 0)


def assert_equal(one: Totals, other: Totals, tolerance: float = 0) -> None:
    for name, mine in vars(one).items():
        own, its = (torch.from_numpy(value) for value in (mine, getattr(other, name)))
        torch.testing.assert_close(own, its, rtol=tolerance, atol=0, equal_nan=True)


def test_a_value_of_the_threshold_is_an_event() -> None:
    forecast = torch.tensor([0.9, 0.9, 0.1, 0.1, 0.8]).reshape(1, 1, 1, 1, 1, 5)
    truth = torch.tensor([0.9, 0.1, 0.9, 0.1, 0.7]).reshape(1, 1, 1, 1, 5)
    # at 0.7: hit, false alarm, miss, correct negative, hit (0.7 is an event)
    (one,) = Pooling((0.7,), (1,), 1).totals(forecast, truth, truth > -1)
    assert one.events[0, 0, 0].tolist() == [2, 1, 1, 1]


def test_events_and_fractions_stand_at_their_lead_time_threshold_and_scale() -> None:
    forecast, truth, mask = field(1), field(2), field(3) > 0.1
    one = totals(forecast, truth, mask)
    assert one.events.shape == (2, 3, 2, 4)
    assert one.fractions.shape == (2, 3, 2, 3, 3)
    for number, limit in enumerate(POOLING.thresholds):
        events = torch.stack([forecast >= limit, truth >= limit]) & mask
        (counts,) = categorical.counts(events, mask)
        assert one.events[:, :, number].tolist() == counts.tolist()
        scales = [spatial.squares(mask, side) for side in POOLING.scales]
        (parts,) = spatial.fractions(events, scales)
        assert one.fractions[:, :, number].tolist() == parts.tolist()


def test_moments_and_power_are_those_of_frames_that_hold_zero_where_a_pixel_is_missing() -> None:
    forecast, truth, mask = field(1), field(2), field(3) > 0.1
    one = totals(forecast, truth, mask)
    both = filled(torch.stack([forecast, truth]), mask)
    (moments,) = continuous.moments(both[:1], both[1], mask)
    torch.testing.assert_close(torch.from_numpy(one.moments), moments, rtol=1e-12, atol=0)
    waves = spectral.power(both)
    for name, expected in {
        "power": spectral.radial(waves, SIDE),
        "lattice": spectral.lattice(waves, SIDE, 2),
    }.items():
        found = torch.from_numpy(getattr(one, name))
        torch.testing.assert_close(found.movedim(2, 0), expected, rtol=1e-12, atol=0)


def test_the_first_forecast_is_scored_by_its_members_and_the_others_as_ensembles_of_one() -> None:
    members, truth, mask = torch.stack([field(1), field(4), 2 * field(5)]), field(2), field(3) > 0.1
    forecasts = torch.stack([members.mean(dim=0), field(6)])
    both = POOLING.totals(forecasts, truth, mask, members, truth[:, 0])
    for own, one in zip((members.clamp(0, 1), field(6)[None]), both, strict=True):
        given = own[:, None], filled(truth, mask), mask
        for name, (expected,) in {
            "ensemble": ensemble.sums(*given),
            "ranks": ranks.counts(*given),
            "probability": probability.frequencies(*given, POOLING.thresholds),
            "variogram": variogram.sums(*given),
        }.items():
            found = torch.from_numpy(getattr(one, name))
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=0, equal_nan=True)


def test_the_change_is_that_from_the_lead_time_before_where_both_are_measured() -> None:
    forecast, truth, mask = field(1), field(2), field(3) > 0.1
    last = torch.where(field(4)[:, 0] > 0.1, field(5)[:, 0], torch.nan)
    (one,) = POOLING.totals(forecast[None], truth, mask, last=last)
    known = torch.cat([~last[:, None].isnan(), mask[:, :-1]], dim=1) & mask
    for which, frames in enumerate((forecast, truth)):
        before = torch.cat([last[:, None].nan_to_num(), filled(frames, mask)[:, :-1]], dim=1)
        (expected,) = temporal.changes(filled(frames, mask)[None], before[None], known)
        found = torch.from_numpy(one.temporal[..., which])
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    assert totals(forecast, truth, mask).temporal[:, 0].tolist() == [[0, 0]] * 2


def test_probabilities_of_one_forecast_are_its_table_of_events() -> None:
    one = totals(field(1), field(2), field(3) > 0.1)
    hits, misses, false_alarms, correct_negatives = one.events.transpose(3, 0, 1, 2)
    forecasts, events = one.probability.transpose(3, 4, 0, 1, 2)
    assert events.tolist() == [misses.tolist(), hits.tolist()]
    expected = [correct_negatives + misses, hits + false_alarms]
    assert forecasts.tolist() == [part.tolist() for part in expected]


def test_forecasts_are_clipped_before_anything_is_summed() -> None:
    beyond, truth = 3 * field(2) - 1, field(1)
    assert_equal(totals(beyond, truth), totals(beyond.clamp(0, 1), truth))


def test_missing_pixels_count_nowhere() -> None:
    forecast, truth, mask = field(1), field(2), field(1) > -1
    mask[..., :7, 3:9] = False
    before = totals(forecast, truth, mask)
    forecast[~mask], truth[~mask] = 1, torch.nan
    assert_equal(totals(forecast, truth, mask), before)
    assert before.events[0, 0, 0].sum() == 2 * (SIDE**2 - 7 * 6)


def test_totals_of_two_halves_add_up_to_those_of_one_pass() -> None:
    forecast, truth = field(1, windows=4), field(2, windows=4)
    parts = [totals(forecast[own], truth[own]) for own in (slice(0, 1), slice(1, 4))]
    together = totals(forecast, truth).sum()
    assert_equal(parts[0].sum() + parts[1].sum(), together, tolerance=1e-12)
    # channels are summed as windows are
    joined = totals(
        forecast.transpose(0, 1).flatten(1, 2)[None], truth.transpose(0, 1).flatten(1, 2)[None]
    )
    assert_equal(joined.sum(), together, tolerance=1e-9)


def test_forecasts_of_a_batch_are_scored_as_if_each_came_alone() -> None:
    first, second, truth = (field(seed) for seed in range(3))
    mask = field(3) > 0.1
    together = POOLING.totals(torch.stack([first, second]), truth, mask)
    for forecast, one in zip((first, second), together, strict=True):
        for number in range(2):
            own = slice(number, number + 1)
            alone = totals(forecast[own], truth[own], mask[own])
            mine = Totals(**{name: value[own] for name, value in vars(one).items()})
            assert_equal(mine, alone, tolerance=1e-12)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_sums_up_what_a_cpu_does() -> None:
    members, truth, mask = torch.stack([field(1), field(4), field(5)]), field(2), field(3) > 0.1
    forecasts = torch.stack([members.mean(dim=0), field(6)])
    given = forecasts, truth, mask, members, truth[:, 0]
    on_gpu = POOLING.totals(*(own.cuda() for own in given))
    for mine, its in zip(on_gpu, POOLING.totals(*given), strict=True):
        assert_equal(mine, its, tolerance=1e-6)
