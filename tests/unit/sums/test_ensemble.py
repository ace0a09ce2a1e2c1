"""The fair CRPS as another library has it, and the spread beside the error that it should equal."""

import numpy as np
import pytest
import torch
import xarray as xr
from scores.probability import crps_for_ensemble

from convlstm.scores import ensemble
from convlstm.sums import ensemble as ensemble_sums

SHAPE = (3, 2, 6, 5)  # lead, channel, row, col
EVERYWHERE = np.ones(SHAPE, bool)


def drawn(members: int) -> tuple[np.ndarray, np.ndarray]:
    """Members and truth, of which a third is exactly 0, as in rain."""
    numbers = np.random.default_rng(0).random((members + 1, *SHAPE), np.float32)
    numbers = np.maximum(1.5 * numbers - 0.5, 0)
    return numbers[:-1], numbers[-1]


def sums(members: np.ndarray, truth: np.ndarray, mask: np.ndarray = EVERYWHERE) -> np.ndarray:
    """The sums of one forecast by an ensemble."""
    own, true, measured = map(torch.from_numpy, (members[:, None], truth, mask))
    return ensemble_sums.sums(own, true, measured)[0].numpy()


def pooled(
    members: np.ndarray, truth: np.ndarray, mask: np.ndarray = EVERYWHERE
) -> dict[str, np.ndarray]:
    return ensemble.scores(sums(members, truth, mask), value_width=50.0)


@pytest.mark.parametrize("count", [2, 3, 8])
def test_the_crps_is_the_fair_one_of_the_library_scores(count: int) -> None:
    members, truth = drawn(count)
    names = ("member", "lead", "channel", "row", "col")
    expected = crps_for_ensemble(
        xr.DataArray(members.astype(np.float64), dims=names),
        xr.DataArray(truth.astype(np.float64), dims=names[1:]),
        "member",
        method="fair",
        preserve_dims="all",
    )
    own, true = torch.from_numpy(members[:, None]), torch.from_numpy(truth)
    np.testing.assert_allclose(ensemble_sums.fair_crps(own, true)[0], expected, atol=1e-7)
    by_lead = expected.mean(("channel", "row", "col")) * 50
    np.testing.assert_allclose(pooled(members, truth)["crps"], by_lead, rtol=1e-6)


def test_the_crps_of_one_forecast_is_its_mean_absolute_error_and_it_has_no_spread() -> None:
    members, truth = drawn(1)
    result = pooled(members, truth)
    expected = 50 * np.abs(members[0] - truth).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(result["crps"], expected, rtol=1e-6)
    assert np.isnan(result["spread_skill"]).all()


def test_members_of_the_truths_own_distribution_spread_as_much_as_their_mean_errs() -> None:
    # Fortin et al. 2014: this holds for any number of members, thanks to the factor (M + 1) / M
    numbers = np.random.default_rng(1).normal(size=(4, 1, 1, 300, 300)).astype(np.float32)
    result = pooled(numbers[:-1], numbers[-1], np.ones((1, 1, 300, 300), bool))
    assert result["spread_skill"][0] == pytest.approx(1, abs=0.01)
    narrow = pooled(numbers[:-1] / 10, numbers[-1], np.ones((1, 1, 300, 300), bool))
    assert narrow["spread_skill"][0] < 0.2


def test_spread_and_error_by_hand() -> None:
    members = np.array([1.0, 3.0], np.float32).reshape(2, 1, 1, 1, 1)
    truth = np.full((1, 1, 1, 1), 5.0, np.float32)
    own = ensemble.Sums(*sums(members, truth, np.ones(truth.shape, bool)).T)
    # variance 2 of the members, times 3 / 2; the mean, 2, is 3 off; CRPS (4 + 2) / 2 - 2 / 2
    assert [part.item() for part in own] == pytest.approx([1, 2, 3, 9])


def test_missing_pixels_count_nowhere() -> None:
    members, truth = drawn(4)
    mask = np.random.default_rng(2).random(SHAPE) < 0.6
    before = sums(members, truth, mask)
    np.testing.assert_array_equal(sums(members, np.where(mask, truth, 9), mask), before)
    assert before[:, 0].tolist() == mask.sum(axis=(1, 2, 3)).tolist()
