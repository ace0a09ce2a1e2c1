"""A loss that falls, the best epoch kept, the same run twice, and nothing lost to a NaN."""

import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from convlstm.model.batches import Batches
from convlstm.model.c_kernels import compiled
from convlstm.runtime.errors import NonFinite, NoRoom
from convlstm.train.loop import Epoch, Training
from convlstm.train.losses import Total, masked_mse
from convlstm.train.params import Train
from convlstm.train.replaying import Replayed
from convlstm.train.validation import validate
from tests.builders import REPORT, params_of

CPU = torch.device("cpu")


SMALL: dict[str, Any] = REPORT | {"hidden_channels": (6,), "epochs": 6, "batch_size": 5}


CASCADE = {"readout": "cascade", "members": 2, "loss": "crps"}


def trained(batches: Batches, **changes: Any) -> tuple[Training, list[Epoch]]:
    training = Training(batches, params_of(Train, **SMALL | changes), CPU)
    return training, list(training.epochs(lambda _: None))


class Spoilt:
    """Loss functions that are no number at some iterations."""

    def __init__(self, *at: int) -> None:
        self.at, self.calls = at, 0

    def __call__(self, forecast: Tensor, truth: Tensor, mask: Tensor, total: Total) -> Tensor:
        """Return `masked_mse`, or NaN."""
        self.calls += 1
        loss = masked_mse(forecast, truth, mask, total)
        return loss * float("nan") if self.calls in self.at else loss


class Ticking:
    """A clock that is a second later each time that it is read."""

    def __init__(self) -> None:
        self.now = 0

    def monotonic(self) -> float:
        """Return the time in seconds."""
        self.now += 1
        return float(self.now)


def weights(learner: Training) -> list[float]:
    return [w for weight in learner.model.network.parameters() for w in weight.flatten().tolist()]


def test_training_lowers_the_loss_and_the_validation_error(batches: Batches) -> None:
    _, epochs = trained(batches, epochs=12, lr=0.01)
    assert epochs[-1].train_loss < 0.7 * epochs[0].train_loss
    assert epochs[-1].validation["mse"] < epochs[0].validation["mse"]


@pytest.mark.parametrize("cell", ["convlstm", "peephole", "lstm"])
@pytest.mark.parametrize("readout", ["frame", "motion", "cascade"])
def test_each_cell_and_readout_trains_to_the_same_weights_twice(
    batches: Batches, cell: str, readout: str
) -> None:
    changes = {"cell": cell, "epochs": 2, "sampling": "linear", "readout": readout}
    changes |= CASCADE if readout == "cascade" else {}
    first, second = (trained(batches, **changes)[0] for _ in range(2))
    weights = second.model.network.state_dict()
    for name, weight in first.model.network.state_dict().items():
        assert torch.equal(weight, weights[name]), name


STEP = {"lr_schedule": "step"}
NO_LIMIT: dict[str, Any] = {"epochs": None, "steps": None, "minutes": None}
RANDOM: dict[str, Any] = {"random_windows": True}
WORSE: dict[str, Any] = {"lr": 0.3, "lr_schedule": "constant", "epochs": 8}
REVERSE = {"sampling": "reverse"}
WEIGHTED: dict[str, Any] = {"loss": "weighted", "loss_thresholds": (20.0, 50.0, 90.0, 99.0)}
KNOBS: dict[str, tuple[dict[str, Any], object]] = {
    "readout": ({}, "motion"),
    "cascade_scales": (CASCADE, (2.0,)),
    "members": (CASCADE, 3),
    "loss": ({}, "mae"),
    "crps_alpha": (CASCADE, 0.5),
    "loss_thresholds": (WEIGHTED, (40.0, 50.0, 90.0, 99.0)),
    "loss_weights": (WEIGHTED, (1.0, 1.0, 9.0, 9.0, 9.0)),
    "average_decay": ({}, 0.9),
    "cell": ({}, "peephole"),
    "hidden_channels": ({}, (6, 6)),
    "kernel_size": ({}, 5),
    "lr": ({}, 0.001),
    "lr_schedule": ({}, "cosine"),
    "lr_step_percent": (STEP, 50.0),
    "lr_step_factor": (STEP, 0.25),
    "lr_final_factor": ({"lr_schedule": "exponential"}, 0.1),
    "gradient_clip": ({}, 0.001),
    "max_skipped_steps": ({}, 1),
    "batch_size": ({}, 3),
    "random_windows": ({}, True),
    "wet_preference": (RANDOM, 9.0),
    "augment": ({}, "flips"),
    "epochs": ({}, 3),
    "steps": (NO_LIMIT | {"steps": 4}, 5),
    "minutes": (NO_LIMIT | {"minutes": 0.1}, 0.2),
    "patience": (WORSE, 1),
    "sampling": ({}, "reverse"),
    "sampling_step_percent": ({"sampling": "step"}, 80.0),
    "sampling_linear_percent": ({"sampling": "linear"}, 20.0),
    "sampling_exponential_k": ({"sampling": "exponential"}, 0.5),
    "sampling_inverse_sigmoid_k": ({"sampling": "inverse_sigmoid"}, 1.0),
    "sampling_reverse_start_percent": (REVERSE, 60.0),
    "sampling_reverse_end_percent": (REVERSE, 100.0),
    "sampling_reverse_alpha_percent": (REVERSE, 100.0),
    "recompute_gates": ({}, True),
    "fused_gates": ({}, False),
    "cuda_graph": (CASCADE, False),
    "precision": ({"precision": "float32"}, "bfloat16"),
    "seed": ({}, 1),
    "deterministic": ({}, False),
}
"""For each key of train: the choices under which it matters, and another value for it."""


def test_the_knobs_are_all_keys_of_train() -> None:
    assert set(KNOBS) == set(Train.model_fields)


@pytest.mark.parametrize("key", KNOBS)
def test_every_knob_acts(batches: Batches, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    choices, value = KNOBS[key]
    if key == "fused_gates" and compiled(torch.float32) is None:
        pytest.skip("no C compiler")
    assert getattr(params_of(Train, **SMALL | choices), key) != value

    def outcome(**changes: Any) -> object:
        """The weights after each step, a choice, or how the training has ended."""
        monkeypatch.setattr("convlstm.train.budget.time", Ticking())
        if key == "max_skipped_steps":
            monkeypatch.setattr("convlstm.train.objective.masked_mse", Spoilt(2))
        learner = Training(batches, params_of(Train, **SMALL | {"epochs": 2} | changes), CPU)
        if key == "cuda_graph":
            monkeypatch.setattr("convlstm.train.loop.CUDAGraphs", lambda: print)
            learner.device = torch.device("cuda")  # on which alone it acts
            return isinstance(learner._passes, Replayed)
        seen: list[list[float]] = []
        try:
            list(learner.epochs(lambda _: seen.append(weights(learner))))
        except NonFinite:
            return "a loss that is no number"
        return seen, torch.are_deterministic_algorithms_enabled()

    assert outcome(**choices | {key: value}) != outcome(**choices)


def test_a_run_goes_on_in_the_precision_in_which_it_began(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learner(*, has_units: bool, seconds: dict[torch.dtype, float]) -> Training:
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_units)
        monkeypatch.setattr("convlstm.model.device._seconds", lambda _, dtype: seconds[dtype])
        return Training(batches, params_of(Train, **SMALL | {"precision": "auto"}), CPU)

    fast, slow = ({torch.float32: 1.0, torch.bfloat16: own} for own in (0.5, 2.0))
    begun = learner(has_units=True, seconds=fast)
    assert (begun.precision, begun.model.training_precision) == ("bfloat16", "bfloat16")
    goes_on = learner(has_units=True, seconds=slow)
    assert goes_on.identity() == begun.identity()
    assert goes_on.precision == "float32"
    goes_on.restore(begun.state())
    assert (goes_on.precision, goes_on.model.training_precision) == ("bfloat16", "bfloat16")
    elsewhere = learner(has_units=False, seconds=slow)
    with pytest.raises(ValueError, match="in bfloat16, which this machine has not"):
        elsewhere.restore(begun.state())
    assert elsewhere.precision == "float32"


def test_a_run_goes_on_with_the_gates_with_which_it_began(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learner(kernels: object) -> Training:
        monkeypatch.setattr("convlstm.train.loop.kernels_of", lambda *_: kernels)
        return Training(batches, params_of(Train, **SMALL | {"fused_gates": True}), CPU)

    fused, plain = learner(object()), learner(None)
    assert (fused.network.memory.fused, plain.network.memory.fused) == (True, False)
    assert fused.identity() == plain.identity()
    with pytest.raises(ValueError, match="fused gates, which this machine cannot compile"):
        plain.restore(fused.state())
    assert not plain.network.memory.fused
    goes_on = learner(object())
    goes_on.restore(plain.state())
    assert not goes_on.network.memory.fused


def test_the_best_epochs_weights_are_kept(batches: Batches) -> None:
    training, epochs = trained(batches, lr=0.3, lr_schedule="constant", epochs=8)
    errors = [epoch.validation["mse"] for epoch in epochs]
    assert min(errors) < errors[-1], "this run must get worse at its end to show anything"
    assert validate(training.model, batches, members=1)["mse"] == pytest.approx(
        min(errors), rel=1e-6
    )


@pytest.mark.parametrize(
    ("limit", "steps"),
    [  # of 3 per epoch; the clock is read after each step and each validation
        ({"epochs": 2}, [3, 6]),
        ({"steps": 4}, [3, 4]),
        ({"steps": 6}, [3, 6]),
        ({"steps": 1}, [1]),
        ({"minutes": 6 / 60}, [3, 5]),  # 3 steps, a validation, 2 steps
        ({"minutes": 4 / 60}, [3]),  # spent with the validation
        ({"minutes": 0.001}, [1]),
    ],
)
def test_a_run_ends_with_its_budget_and_validates_what_it_has_learnt(
    batches: Batches,
    monkeypatch: pytest.MonkeyPatch,
    limit: dict[str, float],
    steps: list[int],
) -> None:
    monkeypatch.setattr("convlstm.train.budget.time", Ticking())
    learner = Training(batches, params_of(Train, **SMALL | NO_LIMIT | limit), CPU)
    seen = [(epoch.number, learner.iteration) for epoch in learner.epochs(lambda _: None)]
    assert seen == list(enumerate(steps, start=1))


@pytest.mark.parametrize("limit", [{"epochs": 4}, {"steps": 12}, {"minutes": 15 / 60}])
def test_the_schedules_reach_their_end_with_any_budget(
    batches: Batches, monkeypatch: pytest.MonkeyPatch, limit: dict[str, float]
) -> None:
    monkeypatch.setattr("convlstm.train.budget.time", Ticking())
    schedules = {"sampling": "linear", "sampling_linear_percent": 100, "lr_schedule": "cosine"}
    learner = Training(batches, params_of(Train, **SMALL | NO_LIMIT | schedules | limit), CPU)
    rates, chances = [], []

    def on_step(_: float) -> None:
        rates.append(learner._last[0] / learner.params.lr)
        chances.append(learner._last[1])

    list(learner.epochs(on_step))
    # in a quarter of a minute 12 steps and 3 validations, each a second
    spent = [step + step // 3 for step in range(12)] if "minutes" in limit else range(12)
    parts = [done / (15 if "minutes" in limit else 12) for done in spent]
    assert chances == pytest.approx([1 - part for part in parts], abs=1e-3)
    low = learner.params.lr_final_factor
    cosine = [low + (1 - low) * (1 + math.cos(math.pi * part)) / 2 for part in parts]
    assert rates == pytest.approx(cosine, abs=1e-3)


def test_training_ends_when_its_patience_does(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([3.0, 2.0, 4.0, 1.0, 5.0, 1.0, 0.5])
    usual = validate(Training(batches, params_of(Train, **REPORT), CPU).model, batches, 1)
    monkeypatch.setattr("convlstm.train.loop.validate", lambda *_: usual | {"mse": next(scores)})
    _, epochs = trained(batches, epochs=7, patience=2)
    assert [epoch.validation["mse"] for epoch in epochs] == [3, 2, 4, 1, 5, 1]


@pytest.mark.parametrize("cell", ["convlstm", "peephole", "lstm"])
def test_each_cell_learns_from_random_windows_that_are_turned(batches: Batches, cell: str) -> None:
    _, epochs = trained(
        batches, cell=cell, epochs=12, lr=0.01, random_windows=True, augment="turns"
    )
    assert epochs[-1].train_loss < 0.8 * epochs[0].train_loss


def test_gradients_are_clipped_to_their_norm(batches: Batches) -> None:
    training, _ = trained(batches, epochs=1, gradient_clip=1e-6)
    squares = [
        weight.grad.square().sum()
        for weight in training.network.parameters()
        if weight.grad is not None
    ]
    assert float(torch.stack(squares).sum().sqrt()) <= 1.0001e-6


def test_an_epoch_logs_the_last_probability_and_rate(batches: Batches) -> None:
    _, epochs = trained(
        batches, sampling="step", sampling_step_percent=50, epochs=4, lr_schedule="constant"
    )
    assert [epoch.sampling_probability for epoch in epochs] == [1, 1, 0, 0]
    assert [epoch.lr for epoch in epochs] == [0.003] * 4


def test_a_row_of_training_csv_has_the_columns_in_their_order() -> None:
    scores = {
        "mse": 1.0,
        "fmae": 2.0,
        "ssim": 3.0,
        "psnr": 4.0,
        "sharpness": 5.0,
        "truth_sharpness": 6.0,
        "crps": 8.0,
    }
    row = Epoch(1, 0.1, 0.5, 7.0, scores).row()
    assert row == {
        "epoch": 1,
        "lr": 0.1,
        "sampling_probability": 0.5,
        "train_loss": 7.0,
        "valid_mse": 1.0,
        "valid_crps": 8.0,
        "valid_ssim": 3.0,
        "valid_psnr": 4.0,
        "valid_fmae": 2.0,
        "valid_sharpness": 5.0,
    }
    assert [*row][0::9] == ["epoch", "valid_sharpness"]


def test_the_training_error_is_a_sum_over_the_pixels_of_a_frame(batches: Batches) -> None:
    training = Training(
        batches, params_of(Train, **REPORT, hidden_channels=(2,), batch_size=100), CPU
    )
    for weight in training.network.parameters():
        torch.nn.init.zeros_(weight)  # it forecasts zeros, so the error is the truth's own square
    (step,) = training.drawing.epoch(1)
    expected = step.frames[:, 1:].square().sum(dim=(2, 3, 4)).mean().item()
    assert training._iterate(step) == pytest.approx(expected, rel=1e-5)


def test_a_loss_that_is_no_number_stops_before_it_touches_a_weight(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = Training(batches, params_of(Train, **REPORT, epochs=3), CPU)
    monkeypatch.setattr("convlstm.train.objective.masked_mse", Spoilt(5))
    seen = []
    with pytest.raises(NonFinite) as raised:
        for _ in learner.epochs(lambda _: seen.append(weights(learner))):
            pass
    assert learner.steps_per_epoch == 3
    assert str(raised.value).startswith("epoch 2, batch 2: loss nan, norm of the gradient nan")
    for remedy in ("learning rate of", "lower lr", "gradient_clip", "max_skipped_steps = 0"):
        assert remedy in str(raised.value)
    assert len(seen) == 4
    assert weights(learner) == seen[-1]
    assert raised.value.status == 3


def test_an_infinite_gradient_of_a_finite_loss_stops_too(batches: Batches) -> None:
    learner = Training(batches, params_of(Train, **REPORT, epochs=1), CPU)
    weight = next(learner.network.parameters())
    weight.register_hook(lambda gradient: gradient * float("inf"))  # type: ignore[no-untyped-call] # torch ships no type for it
    with pytest.raises(NonFinite, match="epoch 1, batch 1: loss 0"):
        list(learner.epochs(lambda _: None))


def test_as_many_steps_are_left_out_as_are_allowed_and_no_more(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = params_of(Train, **REPORT, epochs=2, max_skipped_steps=2)
    monkeypatch.setattr("convlstm.train.objective.masked_mse", Spoilt(1, 5))
    learner = Training(batches, params, CPU)
    first = weights(learner)
    seen: list[list[float]] = []
    epochs = list(learner.epochs(lambda _: seen.append(weights(learner))))
    assert learner.skipped == 2
    assert seen[0] == first
    assert seen[4] == seen[3] != seen[2]
    assert all(math.isfinite(epoch.train_loss) for epoch in epochs)
    monkeypatch.setattr("convlstm.train.objective.masked_mse", Spoilt(1, 3, 5))
    with pytest.raises(NonFinite, match="epoch 2, batch 2"):
        list(Training(batches, params, CPU).epochs(lambda _: None))


def test_a_validation_that_is_no_number_is_never_the_best(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = Training(batches, params_of(Train, **REPORT, epochs=2), CPU)
    monkeypatch.setattr("convlstm.train.loop.validate", lambda *_: {"mse": float("nan")})
    with pytest.raises(NonFinite, match="epoch 1: the validation MSE is nan"):
        list(learner.epochs(lambda _: None))
    assert learner.finished == []


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("place", ["objective.masked_mse", "loop.on_device"])
def test_a_full_memory_names_what_to_lower(
    batches: Batches, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
) -> None:
    learner = Training(batches, params_of(Train, **REPORT, epochs=1), CPU)

    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(f"convlstm.train.{place}", full)
    with pytest.raises(NoRoom) as raised:
        list(learner.epochs(lambda _: None))
    line = str(raised.value)
    assert line.startswith("batch_size = 4 windows of 5 frames of 18 x 18 pixels do not fit into")
    assert re.search(r"\([\d,]{6,} bytes were in use at most\)", line)
    assert line.endswith("lower batch_size, tile_size or hidden_channels, or set recompute_gates")
    assert raised.value.status == 4


def test_another_error_is_not_taken_for_a_full_memory(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "convlstm.train.objective.masked_mse", lambda *_: torch.ones(2) @ torch.ones(3)
    )
    learner = Training(batches, params_of(Train, **REPORT, epochs=1), CPU)
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        list(learner.epochs(lambda _: None))


@pytest.mark.parametrize("wanted", [True, False])
def test_deterministic_algorithms_are_asked_for_as_the_param_says(
    batches: Batches, wanted: bool
) -> None:
    Training(batches, params_of(Train, **REPORT, deterministic=wanted), CPU)
    assert torch.are_deterministic_algorithms_enabled() == wanted


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_bits_twice_if_deterministic(batches: Batches) -> None:
    found = []
    for _ in range(2):
        learner = Training(batches, params_of(Train, **REPORT, epochs=2), torch.device("cuda"))
        list(learner.epochs(lambda _: None))
        found.append(weights(learner))
    assert found[0] == found[1]
