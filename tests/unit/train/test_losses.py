"""The losses by hand arithmetic, with and without pixels that were not measured."""

from itertools import product

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor

from convlstm.patch.folding import fold
from convlstm.train.losses import (
    masked_crps,
    masked_mae,
    masked_mse,
    masked_weighted,
    mean_crps,
)

ALPHA = 0.95


def test_the_loss_is_the_mean_square_over_the_mask() -> None:
    forecast, truth = torch.tensor([1.0, 2.0, 100.0]), torch.tensor([0.0, 4.0, 0.0])
    mask = torch.tensor([True, True, False])
    assert masked_mse(forecast, truth, mask).item() == pytest.approx((1 + 4) / 2)


def test_over_a_full_mask_it_is_torchs_own() -> None:
    forecast, truth = torch.rand(2, 2, 3, 4, 5)
    mask = torch.ones_like(truth, dtype=torch.bool)
    expected = torch.nn.functional.mse_loss(forecast, truth)
    torch.testing.assert_close(masked_mse(forecast, truth, mask), expected)


def test_the_loss_of_nothing_is_zero() -> None:
    assert masked_mse(torch.ones(2), torch.zeros(2), torch.zeros(2, dtype=torch.bool)).item() == 0


def test_a_pixel_outside_the_mask_gets_no_gradient() -> None:
    forecast = torch.tensor([3.0, 2.0, 100.0], requires_grad=True)
    masked_mse(forecast, torch.zeros(3), torch.tensor([True, True, False])).backward()  # type: ignore[no-untyped-call] # torch ships no type for it
    assert forecast.grad is not None
    assert forecast.grad.tolist() == [3.0, 2.0, 0.0]  # 2 x / 2 pixels


def test_a_truth_that_would_be_broadcast_is_refused() -> None:
    with pytest.raises(TypeCheckError):
        masked_mse(torch.zeros(2, 3), torch.zeros(1, 3), torch.ones(2, 3, dtype=torch.bool))


def test_the_absolute_loss_is_the_mean_over_the_mask() -> None:
    forecast, truth = torch.tensor([1.0, 2.0, 100.0]), torch.tensor([0.0, 4.0, 0.0])
    mask = torch.tensor([True, True, False])
    assert masked_mae(forecast, truth, mask).item() == pytest.approx((1 + 2) / 2)


def test_the_weighted_loss_is_that_of_hko_7_by_hand() -> None:
    # errors of 0.5, 0.25, 1 and a missing pixel; their true values lie below, at and above 0.5
    forecast, truth = torch.tensor([[[0.75, 0.75, 0, 9]], [[0.25, 0.5, 1, 1]]])[:, None]
    mask = torch.tensor([[[True, True, True, False]]])
    loss = masked_weighted(
        forecast,
        truth,
        mask,
        thresholds=torch.tensor([[0.5, 0.9]]),
        weights=torch.tensor([1.0, 2.0, 30.0]),
    )
    expected = (1 * (0.25 + 0.5) + 2 * (0.0625 + 0.25) + 30 * (1 + 1)) / 3
    assert loss.item() == pytest.approx(expected)


def test_each_channel_is_weighted_by_its_own_thresholds_in_folded_frames_too() -> None:
    # one list of thresholds stands at other places of the ranges of two channels
    frames = np.random.default_rng(0).random((2, 3, 2, 4, 6), dtype=np.float32)
    forecast, truth = map(torch.from_numpy, frames)
    thresholds = torch.tensor([[0.2, 0.7], [0.5, torch.inf]])
    weights = torch.tensor([1.0, 2.0, 30.0])
    heavy = np.where(frames[1] >= 0.7, 30, np.where(frames[1] >= 0.2, 2, 1))
    heavy[:, 1] = np.where(frames[1][:, 1] >= 0.5, 2, 1)
    error = np.abs(frames[0] - frames[1])
    expected = (heavy * (error**2 + error)).mean()
    for p in (1, 2):
        pair = (fold(forecast, p), fold(truth, p))
        mask = torch.ones_like(pair[0], dtype=torch.bool)
        loss = masked_weighted(*pair, mask, thresholds=thresholds, weights=weights)
        assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_with_equal_weights_it_is_the_sum_of_both_errors() -> None:
    forecast, truth = torch.rand(2, 1, 5, 7)
    mask = torch.rand(1, 5, 7) > 0.2
    thresholds, weights = torch.tensor([[0.3, 0.6]]), torch.ones(3)
    torch.testing.assert_close(
        masked_weighted(forecast, truth, mask, thresholds=thresholds, weights=weights),
        masked_mse(forecast, truth, mask) + masked_mae(forecast, truth, mask),
    )


@pytest.mark.parametrize("members", [2, 3, 5])
@pytest.mark.parametrize("alpha", [1.0, 0.95])
def test_the_crps_is_its_definition_summed_pair_by_pair(members: int, alpha: float) -> None:
    # Lang et al. 2024, equation 4, in plain Python
    values = torch.rand(members, 4, dtype=torch.float64)
    truth = torch.rand(4, dtype=torch.float64)
    epsilon = (1 - alpha) / members
    totals = [
        sum(
            abs(a - y) + abs(b - y) - (1 - epsilon) * abs(a - b)
            for (i, a), (j, b) in product(enumerate(own), repeat=2)
            if i != j
        )
        / (2 * members * (members - 1))
        for own, y in zip(values.T.tolist(), truth.tolist(), strict=True)
    ]
    weights = torch.tensor([1.0, 0.5, 0, 2], dtype=torch.float64)
    expected = (totals[0] + totals[1] / 2 + 2 * totals[3]) / 3.5
    assert mean_crps(values, truth, weights, alpha).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("members", [1, 2, 4])
def test_the_gradient_of_the_crps_is_that_of_finite_differences(members: int) -> None:
    values = torch.rand(members, 5, dtype=torch.float64, requires_grad=True)
    truth, weights = torch.rand(2, 5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: 3 * mean_crps(x, truth, weights, 0.9), values)


def test_the_fair_crps_of_two_members_about_the_truth_is_zero_and_the_almost_fair_one_is_not() -> (
    None
):
    # by hand: (3 + 3 - k 6) / 2 with k = 1, and k = 1 - 0.05 / 2
    members, truth, weight = torch.tensor([[-3.0], [3.0]]), torch.zeros(1), torch.ones(1)
    assert mean_crps(members, truth, weight, 1.0).item() == 0
    assert mean_crps(members, truth, weight, 0.95).item() == pytest.approx(0.025 * 3, rel=1e-5)


def test_the_crps_of_one_member_is_its_absolute_error() -> None:
    score = mean_crps(torch.tensor([[2.0]]), torch.tensor([-1.0]), torch.ones(1), 0.95)
    assert score.item() == 3


def test_the_loss_of_an_ensemble_is_that_of_blocks_details_and_changes() -> None:
    members, truth = torch.rand(2, 1, 3, 1, 32, 16), torch.rand(1, 3, 1, 32, 16)
    mask = torch.ones_like(truth, dtype=torch.bool)

    def means(frames: Tensor, side: int) -> Tensor:
        """Block means at each pixel by reshaping, an independent way."""
        blocks = frames.reshape(1, 3, 32 // side, side, 16 // side, side).mean(dim=(3, 5))
        return blocks.repeat_interleave(side, 2).repeat_interleave(side, 3)

    fields = [means(frames, side) for side in (1, 4, 16) for frames in (*members, truth)]
    one, four, sixteen = (torch.cat(fields[start : start + 3]) for start in (0, 3, 6))
    parts = (one, four, sixteen, one - four, four - sixteen)
    scores = [mean_crps(part[:2], part[2], torch.ones_like(part[2]), ALPHA) for part in parts]
    for part in (one, four):
        changes = part[:, 1:] - part[:, :-1]
        weights = torch.ones_like(changes[2])
        scores.append(mean_crps(changes[:2], changes[2], weights, ALPHA) / 2)
    torch.testing.assert_close(masked_crps(members, truth, mask, ALPHA), sum(scores) / 3)


def test_a_member_without_details_costs_more_than_one_with_them() -> None:
    # the truth is a chessboard; members are flat, or chessboards that may be the wrong way round
    chess = torch.tensor([0.0, 1.0]).repeat(8).roll(0) * torch.ones(16, 1)
    truth = (chess + torch.arange(16)[:, None]) % 2
    right = torch.stack((truth, 1 - truth))[:, None, None, None]
    flat = torch.full_like(right, 0.5)
    mask = torch.ones(1, 1, 1, 16, 16, dtype=torch.bool)
    losses = [masked_crps(own, truth[None, None, None], mask, ALPHA) for own in (right, flat)]
    assert losses[0] < losses[1]


def test_a_missing_pixel_counts_in_no_block() -> None:
    members, truth = torch.rand(2, 1, 1, 1, 20, 9), torch.rand(1, 1, 1, 20, 9)
    mask = torch.rand_like(truth) < 0.7
    other = torch.where(mask, members, torch.rand_like(members)).requires_grad_()
    loss = masked_crps(other, truth, mask, ALPHA)
    torch.testing.assert_close(
        loss, masked_crps(members, torch.where(mask, truth, 9.0), mask, ALPHA)
    )
    loss.backward()  # type: ignore[no-untyped-call] # torch ships no type for it
    assert other.grad is not None
    assert not other.grad[:, ~mask].any()
    assert masked_crps(members, truth, torch.zeros_like(mask), ALPHA).item() == 0
