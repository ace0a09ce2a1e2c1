"""A number that is allowed trains, or is refused as too large for the arithmetic: nothing else."""

from typing import Any

import pytest
import torch

from convlstm.model.batches import Batches
from convlstm.runtime.errors import UserError
from convlstm.train.loop import Training
from convlstm.train.params import Train
from tests.builders import REPORT, params_of

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {"hidden_channels": (2,), "epochs": 1, "batch_size": 50}
KINDS: dict[str, dict[str, Any]] = {
    "lr": {},
    "lr_final_factor": {"lr_schedule": "cosine"},
    "lr_step_factor": {"lr_schedule": "step", "lr_step_percent": 1e-300},
    "gradient_clip": {},
    "crps_alpha": {},
    "cascade_scales": {},
    "wet_preference": {"random_windows": True},
    "loss_thresholds": {"loss": "weighted", "members": 1, "loss_weights": (1.0, 2.0)},
    "loss_weights": {"loss": "weighted", "members": 1, "loss_thresholds": (118.0,)},
    "sampling_inverse_sigmoid_k": REPORT | {"sampling": "inverse_sigmoid"},
    "sampling_exponential_k": REPORT | {"sampling": "exponential"},
    "sampling_linear_percent": REPORT | {"sampling": "linear"},
    "sampling_reverse_alpha_percent": REPORT | {"sampling": "reverse"},
    "max_skipped_steps": {},
    "patience": {},
    "batch_size": {},
    "minutes": {"epochs": None, "patience": 1},
    "hidden_channels": {},
    "kernel_size": {},
}
"""The keys that hold numbers, and what else it takes that they are used."""
EXTREMES = (1e300, 1e39, 1e30, 1e-30, 1e-39, 1e-300, 10**310, 10**19, 10**12, 10**12 - 1, 100_001)


@pytest.mark.parametrize("value", EXTREMES, ids=lambda value: f"{str(value)[:6]}")
@pytest.mark.parametrize("key", KINDS)
def test_an_extreme_number_trains_or_ends_in_lines(
    batches: Batches, key: str, value: float
) -> None:
    own: dict[str, Any] = {**SMALL, **KINDS[key]}
    shape: dict[str, Any] = dict.fromkeys(
        ["cascade_scales", "loss_thresholds", "hidden_channels"], (value,)
    )
    shape |= {"loss_weights": (value, value)}
    try:
        params = params_of(Train, **own | {key: shape.get(key, value)})
    except ValueError:
        return  # refused by its range
    try:
        for _ in Training(batches, params, CPU).epochs(lambda _: None):
            if params.minutes:
                break
    except UserError:
        pass
