"""The loss by hand arithmetic, with and without pixels that were not measured."""

import pytest
import torch
from jaxtyping import TypeCheckError

from convlstm.train.losses import masked_mse


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
