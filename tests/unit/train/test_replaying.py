"""Passes that are replayed give the same weights, and a step has nothing that a graph cannot take.

A CUDA graph is a list of kernels with the memory that they read and write. `Tape` is the same of
torch's operations, so a machine without a GPU can tell whether a step may be replayed.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from convlstm.model.batches import Batches
from convlstm.train.drawing import Drawing
from convlstm.train.loop import Training
from convlstm.train.losses import alone, masked_crps
from convlstm.train.objective import Objective
from convlstm.train.params import Train
from convlstm.train.replaying import Capture, Replay, Replayed, on_device
from tests.builders import params_of

CPU, META = torch.device("cpu"), torch.device("meta")
CHANGES: dict[str, Any] = {
    "hidden_channels": (4, 4),
    "batch_size": 5,  # of 12 windows, so that the last step has another shape
    "epochs": 3,
    "fused_gates": False,  # kernels of our own are no operations of torch
    "precision": "float32",
}
READOUTS: dict[str, dict[str, Any]] = {
    "cascade": {},
    "bfloat16": {"precision": "bfloat16"},
    "again": {"recompute_gates": True},
    "peephole": {"cell": "peephole"},
    "one": {"members": 1, "loss": "weighted"},
    "motion": {"readout": "motion", "members": 1, "loss": "mae"},
}


class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch ships no types for it
    """Records the operations of a call, and does them again with the same memory."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[tuple[Callable[..., Any], Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do an operation, and record it."""
        result = func(*args, **kwargs or {})
        numbers = [one for one in tree_leaves(result) if isinstance(one, int | float)]
        assert not numbers, f"{func} waits"
        self.operations.append((func, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        """Do all operations again, and put what each makes where it was the first time."""
        for func, args, kwargs, result in self.operations:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if old is not None and _memory(old) != _memory(new):
                    old.copy_(new)


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def taped(work: Callable[[], Tensor]) -> tuple[Tensor, Replay]:
    with Tape() as tape:
        result = work()
    return result, tape.replay


def trained(
    batches: Batches, changes: dict[str, Any], capture: Capture | None = None
) -> tuple[Training, list[str]]:
    training = Training(batches, params_of(Train, **CHANGES | changes), CPU)
    notes: list[str] = []
    if capture is not None:
        passes = training._forward_and_backward
        training._passes = Replayed(passes, training.network, capture, notes.append)
    list(training.epochs(lambda _: None))
    return training, notes


def same(one: Training, other: Training) -> bool:
    pairs = zip(one.network.parameters(), other.network.parameters(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize("readout", READOUTS)
def test_a_training_that_replays_its_steps_ends_with_the_same_bits(
    batches: Batches, monkeypatch: pytest.MonkeyPatch, readout: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    captured = []

    def counted(work: Callable[[], Tensor]) -> tuple[Tensor, Replay]:
        captured.append(work)
        return taped(work)

    plain, _ = trained(batches, READOUTS[readout])
    replayed, notes = trained(batches, READOUTS[readout], counted)
    assert notes == ["steps are replayed as a CUDA graph"]
    assert len(captured) == 2  # one for steps of five windows, one for those of two
    assert same(replayed, plain)


def fails(_: Callable[[], Tensor]) -> tuple[Tensor, Replay]:
    raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nat line 1")


def ends_badly(work: Callable[[], Tensor]) -> tuple[Tensor, Replay]:
    work()
    raise RuntimeError("CUDA error: operation failed due to a previous error during capture")


def is_wrong(work: Callable[[], Tensor]) -> tuple[Tensor, Replay]:
    loss = work()
    return loss, lambda: loss.mul_(1.5)


@pytest.mark.parametrize(
    ("capture", "reason"),
    [(fails, "CUDA error: operation not permitted"), (is_wrong, "it gives other gradients")],
)
def test_where_no_graph_can_be_had_or_trusted_python_goes_on_and_says_so_once(
    batches: Batches, capture: Capture, reason: str
) -> None:
    training, notes = trained(batches, {}, capture)
    assert len(notes) == 1
    assert reason in notes[0]
    assert "\n" not in notes[0]
    assert same(training, trained(batches, {})[0])


def test_a_step_without_a_number_is_no_reason_to_replay_nothing(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def spoilt(*given: Any) -> Tensor:
        nonlocal calls
        calls += 1
        return masked_crps(*given) * (float("nan") if calls == 1 else 1.0)

    monkeypatch.setattr("convlstm.train.objective.masked_crps", spoilt)
    training, notes = trained(batches, {"max_skipped_steps": 1}, taped)
    assert training.skipped == 1
    assert notes == ["steps are replayed as a CUDA graph"]


@pytest.mark.parametrize(("capture", "calls"), [(taped, 2), (ends_badly, 3)])
def test_a_graph_shares_no_buffers_with_the_steps_that_python_calls(
    batches: Batches, capture: Capture, calls: int
) -> None:
    network = Training(batches, params_of(Train, **CHANGES), CPU).network
    found: list[int] = []

    def passes(scale: Tensor) -> Tensor:
        found.append(len(network.memory.buffers))
        network.memory.buffers.append(scale)
        network.zero_grad()
        loss = sum((w.square().sum() * scale for w in network.parameters()), torch.zeros(()))
        loss.backward()  # type: ignore[no-untyped-call] # torch ships no type for it
        return loss.detach()

    Replayed(passes, network, capture, print)(torch.ones(()))
    assert found == [0] * calls  # not that of the call before


class Strict(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses what a GPU would have to wait for: a copy from the CPU, or a value that is read.

    On the device meta, which has no values, torch itself refuses the latter.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do an operation whose tensors are all of one device."""
        result = func(*args, **kwargs or {})
        tensors = [one for one in tree_leaves((args, kwargs, result)) if isinstance(one, Tensor)]
        assert len({tensor.device.type for tensor in tensors}) < 2, f"{func} copies"
        return result


@pytest.mark.parametrize("readout", READOUTS)
def test_the_passes_of_a_step_neither_copy_from_the_cpu_nor_wait(
    batches: Batches, monkeypatch: pytest.MonkeyPatch, readout: str
) -> None:
    # CUDA takes a scalar of the CPU as an argument, which meta does not
    monkeypatch.setattr("convlstm.model.gates.ONE", torch.ones((), device=META))
    params = params_of(Train, **CHANGES | READOUTS[readout])
    network = Training(batches, params, CPU).network.to(META)
    objective = Objective(network, batches, params, alone)
    frames, mask, white, _ = (part.to(META) for part in next(Drawing(batches, params).epoch(1)))
    for again in (False, True):  # the constants are copied once
        with Strict() if again else nullcontext():  # type: ignore[no-untyped-call]
            network.zero_grad()
            loss = objective.of_members(frames, mask, white, torch.bfloat16)
            loss.backward()  # type: ignore[no-untyped-call] # torch ships no type for it
    assert all(weight.grad is not None for weight in network.cells.parameters())


def test_on_a_cpu_steps_are_passed_on_as_they_are(batches: Batches) -> None:
    drawn = list(Drawing(batches, params_of(Train, **CHANGES)).epoch(1))
    assert all(one is own for one, own in zip(on_device(iter(drawn), CPU), drawn, strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("readout", READOUTS)
def test_a_gpu_replays_its_steps_to_the_same_weights(batches: Batches, readout: str) -> None:
    ended = []
    for graph in (True, True, False):
        changes = READOUTS[readout] | {"fused_gates": True, "cuda_graph": graph}
        training = Training(batches, params_of(Train, **CHANGES | changes), torch.device("cuda"))
        notes: list[str] = []
        training.on_note = notes.append
        list(training.epochs(lambda _: None))
        assert notes == ["steps are replayed as a CUDA graph"] * graph
        ended.append(training)
    assert same(ended[0], ended[1])
    pairs = zip(ended[0].network.parameters(), ended[2].network.parameters(), strict=True)
    assert all(torch.allclose(*pair, rtol=1e-2, atol=1e-4) for pair in pairs)
