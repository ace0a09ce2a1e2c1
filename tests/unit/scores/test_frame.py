"""Means of the values of frames by lead time leave out what is undefined."""

import math

import numpy as np
import pytest

from convlstm.scores import frame
from convlstm.scores.frame import LeadMeans, Values

COUNT = len(Values._fields)


def windows() -> np.ndarray:
    """The values of five windows of two leads, of which one frame has none."""
    made = np.random.default_rng(0).random((5, 2, COUNT))
    made[3, 1] = np.nan
    return made


def test_means_by_lead_leave_out_what_is_undefined() -> None:
    means = LeadMeans()
    means.add(windows())
    expected = np.nanmean(windows(), axis=0)
    np.testing.assert_allclose(np.transpose(means.by_lead()), expected, rtol=1e-12)


def test_each_score_is_the_mean_of_the_value_of_its_name() -> None:
    means = LeadMeans()
    means.add(windows())
    found = frame.scores(means.by_lead())
    assert tuple(found) == Values._fields
    for key, value in means.by_lead()._asdict().items():
        np.testing.assert_array_equal(found[key], value)


def test_two_halves_merged_equal_one_pass() -> None:
    parts, whole_run = (LeadMeans(), LeadMeans()), LeadMeans()
    whole_run.add(windows())
    for number, part in enumerate(parts):
        part.add(windows()[number::2])
    parts[0].merge(parts[1])
    np.testing.assert_allclose(parts[0].by_lead(), whole_run.by_lead(), rtol=1e-12)


def test_the_overall_score_is_the_mean_over_leads() -> None:
    # column k: 2 frames of sum 2k have mean k, 3 frames of sum 3 (k + 10) have mean k + 10
    column = np.arange(COUNT, dtype=float)
    sums = np.stack([2 * column, 3 * (column + 10)])
    counts = np.stack([np.full(COUNT, 2.0), np.full(COUNT, 3.0)])
    expected = {name: k + 5.0 for k, name in enumerate(Values._fields)}
    assert LeadMeans(sums, counts).overall() == pytest.approx(expected)


def test_a_lead_that_was_never_seen_has_no_mean() -> None:
    means = LeadMeans()
    means.add(windows()[3:4])
    assert np.isnan(means.by_lead().mse).tolist() == [False, True]
    assert math.isnan(means.overall()["mse"])
