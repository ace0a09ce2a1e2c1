"""Pooled scores by hand, by the Bureau of Meteorology's `scores`, by SciPy, and by their laws."""

import math

import numpy as np
import pytest
import scores.categorical
import scores.spatial
import xarray as xr
from scipy.stats import pearsonr

from convlstm.scores.totals import (
    Totals,
    Verifier,
    event_scores,
    fss,
    moments_scores,
    spectral_scores,
)

VERIFIER = Verifier((0.3, 0.7), (1, 4, 5), patch_size=2)
SIDE = 20


def field(seed: int, leads: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).random((leads, 1, SIDE, SIDE), np.float32)


def totals(forecast: np.ndarray, truth: np.ndarray, valid: np.ndarray | None = None) -> Totals:
    (one,) = VERIFIER.totals(
        [forecast], truth, np.ones(truth.shape, bool) if valid is None else valid
    )
    return one


def test_the_table_is_counted_by_hand() -> None:
    forecast = np.array([[[[0.9, 0.9, 0.1, 0.1, 0.8]]]], np.float32)
    truth = np.array([[[[0.9, 0.1, 0.9, 0.1, 0.7]]]], np.float32)
    # at 0.7: hit, false alarm, miss, correct negative, hit (0.7 is an event)
    (one,) = Verifier((0.7,), (1,), 1).totals([forecast], truth, np.ones(truth.shape, bool))
    events = one.events
    assert events[0, 0].tolist() == [2, 1, 1, 1]
    scored = {name: float(value[0, 0]) for name, value in event_scores(events).items()}
    # csi 2/4, pod 2/3, far 1/3, bias 3/3; chance (3*3 + 2*2)/5 = 2.6, hss (3 - 2.6)/(5 - 2.6)
    assert scored == pytest.approx(
        {"csi": 0.5, "pod": 2 / 3, "far": 1 / 3, "hss": 1 / 6, "frequency_bias": 1}
    )


def test_event_scores_equal_those_of_the_bureau_of_meteorology() -> None:
    forecast, truth = field(1), field(2)
    ours = event_scores(totals(forecast, truth).events)
    for number, limit in enumerate(VERIFIER.thresholds):
        theirs = scores.categorical.BinaryContingencyManager(
            xr.DataArray((forecast[0, 0] >= limit).astype(float)),
            xr.DataArray((truth[0, 0] >= limit).astype(float)),
        )
        names = {
            "csi": theirs.critical_success_index(),
            "pod": theirs.probability_of_detection(),
            "far": theirs.false_alarm_ratio(),
            "hss": theirs.heidke_skill_score(),
            "frequency_bias": theirs.frequency_bias(),
        }
        for name, value in names.items():
            assert ours[name][0, number] == pytest.approx(float(value)), name


@pytest.mark.parametrize("which", [0, 1, 2])
def test_fss_equals_that_of_the_bureau_of_meteorology(which: int) -> None:
    forecast, truth = field(1), field(2)
    ours = fss(totals(forecast, truth).fractions)
    side = VERIFIER.scales[which]
    for number, limit in enumerate(VERIFIER.thresholds):
        theirs = scores.spatial.fss_2d_single_field(
            forecast[0, 0].astype(float),
            truth[0, 0].astype(float),
            event_threshold=float(np.float32(limit)),
            window_size=(side, side),
            zero_padding=False,
            threshold_operator=np.greater_equal,
        )
        assert ours[0, number, which] == pytest.approx(theirs)


def test_moments_equal_scipys_and_numpys() -> None:
    forecast, truth = field(1), field(2)
    scored = moments_scores(totals(forecast, truth), 50.0)
    for lead in range(2):
        f, t = forecast[lead].ravel().astype(float), truth[lead].ravel().astype(float)
        assert scored["rmse"][lead] == pytest.approx(50 * math.sqrt(((f - t) ** 2).mean()))
        assert scored["bias"][lead] == pytest.approx(50 * (f - t).mean())
        assert scored["correlation"][lead] == pytest.approx(pearsonr(f, t).statistic)


def test_half_the_amplitude_is_a_quarter_of_the_power() -> None:
    truth = field(1)
    scored = spectral_scores(totals(truth / 2, truth), rows=SIDE, cols=SIDE)
    assert list(scored) == [
        "spectral_ratio_large",
        "spectral_ratio_medium",
        "spectral_ratio_small",
        "dot_grid",
    ]
    assert np.isnan(scored["spectral_ratio_large"]).all()  # no wave of 32 pixels fits into 20
    for name in ("spectral_ratio_medium", "spectral_ratio_small", "dot_grid"):
        np.testing.assert_allclose(scored[name], 0.25, rtol=1e-6)


def test_a_perfect_forecast_has_perfect_scores() -> None:
    truth = field(1)
    all_of_it = totals(truth, truth)
    scored = moments_scores(all_of_it, 1.0) | event_scores(all_of_it.events[:, 0])
    perfect = {"rmse": 0, "bias": 0, "correlation": 1, "csi": 1, "pod": 1, "far": 0, "hss": 1}
    for name, value in perfect.items():
        np.testing.assert_allclose(scored[name], value, atol=1e-7)
    np.testing.assert_array_equal(fss(all_of_it.fractions), 1)


def test_a_blank_forecast_hits_nothing() -> None:
    truth = field(1)
    blank = totals(np.zeros_like(truth), truth)
    scored = event_scores(blank.events)
    assert (scored["csi"] == 0).all()
    assert np.isnan(scored["far"]).all()  # of no alarm none is false
    assert np.isnan(moments_scores(blank, 1.0)["correlation"]).all()
    np.testing.assert_array_equal(fss(blank.fractions), 0)


def test_without_an_event_the_scores_are_undefined_not_zero() -> None:
    dry = np.zeros((2, 1, SIDE, SIDE), np.float32)
    nothing = totals(dry, dry)
    scored = event_scores(nothing.events)
    for name in ("csi", "pod", "far", "hss", "frequency_bias"):
        assert np.isnan(scored[name]).all(), name
    assert np.isnan(fss(nothing.fractions)).all()


def test_a_shifted_forecast_is_forgiven_at_larger_scales() -> None:
    truth = np.zeros((1, 1, SIDE, SIDE), np.float32)
    truth[..., 8:11, 8:11] = 1
    skill = fss(totals(np.roll(truth, 3, axis=-1), truth).fractions)[0, 0]
    assert skill[0] == 0  # no pixel in common
    assert 0 < skill[1] < skill[2] < 1


def test_missing_pixels_count_nowhere() -> None:
    forecast, truth, valid = field(1), field(2), np.ones((2, 1, SIDE, SIDE), bool)
    valid[..., :7, 3:9] = False
    before = totals(forecast, truth, valid)
    forecast[~valid], truth[~valid] = 1, np.float32("nan")
    after = totals(forecast, truth, valid)
    for name, mine in vars(before).items():
        np.testing.assert_array_equal(mine, getattr(after, name), err_msg=name)
    assert before.events[0, 0].sum() == SIDE**2 - 7 * 6


def test_a_square_with_a_missing_pixel_is_left_out() -> None:
    forecast, truth, valid = field(1), field(2), np.ones((2, 1, SIDE, SIDE), bool)
    valid[..., 10:] = False
    half = totals(forecast, truth, valid).fractions
    alone = totals(*(part[..., :10] for part in (forecast, truth, valid))).fractions
    np.testing.assert_allclose(half, alone)


def test_totals_of_two_halves_add_up_to_those_of_one_pass() -> None:
    windows = [(field(seed), field(seed + 10)) for seed in range(4)]
    parts = [totals(*window) for window in windows]
    together = (parts[0] + parts[1]) + (parts[2] + parts[3])
    joined = totals(*(np.concatenate(side, axis=1) for side in zip(*windows, strict=True)))
    for name in ("moments", "events", "fractions"):
        np.testing.assert_allclose(getattr(together, name), getattr(joined, name), rtol=1e-9)


def test_forecasts_of_one_window_are_scored_as_if_each_came_alone() -> None:
    first, second, truth = (field(seed) for seed in range(3))
    valid = field(3) > 0.1
    together = VERIFIER.totals([first, second], truth, valid)
    for forecast, one in zip((first, second), together, strict=True):
        for name, mine in vars(totals(forecast, truth, valid)).items():
            np.testing.assert_array_equal(mine, getattr(one, name), err_msg=name)


@pytest.mark.parametrize("side", [SIDE, SIDE + 1, SIDE + 2, 3 * SIDE])
def test_a_square_that_is_larger_than_the_frame_counts_nothing(side: int) -> None:
    (one,) = Verifier((0.3,), (side,), 1).totals([field(1)], field(2), field(3) > -1)
    assert (one.fractions != 0).any() == (side == SIDE)
