"""Ranks of the truth among members: by hand, by the Bureau of Meteorology's `scores`, by laws."""

import numpy as np
import pytest
import torch
import xarray as xr
from scores.probability import rank_histogram

from convlstm.scores import ranks
from convlstm.sums import ranks as rank_sums

SHAPE = (2, 1, 30, 25)  # lead, channel, row, col


def drawn(members: int) -> tuple[np.ndarray, np.ndarray]:
    """Members and truth of one distribution, of which a third is exactly 0, as in rain."""
    numbers = np.random.default_rng(0).random((members + 1, *SHAPE), np.float32)
    numbers = np.maximum(1.5 * numbers - 0.5, 0)
    return numbers[:-1], numbers[-1]


def counts_of(members: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The counts of one forecast by an ensemble."""
    own, true, measured = map(torch.from_numpy, (members[:, None], truth, mask))
    return rank_sums.counts(own, true, measured)[0].numpy()


def whole(truth: np.ndarray) -> np.ndarray:
    return np.ones(truth.shape, bool)


def test_the_ranks_of_four_truths_among_three_members_by_hand() -> None:
    members = np.array([[1, 5, 0, 2], [3, 6, 0, 2], [2, 7, 4, 9]], np.float32)
    truth = np.array([2.5, 9, 0, 2], np.float32)
    found = counts_of(
        members[:, None, None, None], truth[None, None, None], whole(truth)[None, None, None]
    )
    # 2.5 is above 2 of 1, 2, 3; 9 above all 3; 0 ties with two of 0, 0, 4 and may have rank 0, 1 or
    # 2; so may 2 among 2, 2, 9
    assert found == pytest.approx(np.array([[2 / 3, 2 / 3, 2 / 3 + 1, 1]]))


@pytest.mark.parametrize("count", [1, 2, 8])
def test_the_frequencies_are_those_of_the_bureau_of_meteorology(count: int) -> None:
    members, truth = drawn(count)
    names = ("member", "lead", "channel", "row", "col")
    ranked = ~(members == truth).all(axis=0)
    expected = rank_histogram(
        xr.DataArray(members, dims=names),
        xr.DataArray(np.where(ranked, truth, np.nan), dims=names[1:]),
        "member",
        preserve_dims="lead",
    )
    found = counts_of(members, truth, whole(truth))
    np.testing.assert_allclose(found.sum(axis=1), ranked.sum(axis=(1, 2, 3)))
    frequencies = found / found.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(frequencies, expected.transpose("lead", "rank"), rtol=1e-9)


def test_members_of_the_truths_own_distribution_have_a_flat_histogram_and_others_have_not() -> None:
    members, truth = drawn(4)
    flat, biased = (
        ranks.scores(counts_of(own, truth, whole(truth)))["rank_deviation"]
        for own in (members, np.float32(0.3) * members)
    )
    assert (flat < 0.1).all()
    assert (biased > 0.5).all()


def test_a_pixel_that_is_dry_in_the_truth_and_in_all_members_is_left_out() -> None:
    members, truth = drawn(4)
    before = counts_of(members, truth, whole(truth))
    frame = np.zeros((5, *SHAPE), np.float32)  # as large again, and dry
    wider = np.concatenate([np.concatenate([members, truth[None]]), frame], axis=-1)
    after = counts_of(wider[:-1], wider[-1], whole(wider[-1]))
    np.testing.assert_array_equal(after, before)


def test_one_forecast_has_two_ranks_and_no_deviation() -> None:
    members, truth = drawn(1)
    counts = counts_of(members, truth, whole(truth))
    below, above = (
        np.count_nonzero(compared, axis=(1, 2, 3))
        for compared in (truth < members[0], truth > members[0])
    )
    np.testing.assert_array_equal(counts, np.stack([below, above], axis=1))
    assert np.isnan(ranks.scores(counts)["rank_deviation"]).all()


def test_missing_pixels_count_nowhere() -> None:
    members, truth = drawn(4)
    mask = np.random.default_rng(2).random(SHAPE) < 0.6
    before = counts_of(members, truth, mask)
    np.testing.assert_array_equal(counts_of(members, np.where(mask, truth, 9), mask), before)
    ranked = mask & ~(members == truth).all(axis=0)
    np.testing.assert_allclose(before.sum(axis=1), ranked.sum(axis=(1, 2, 3)))
