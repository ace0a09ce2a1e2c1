"""The fast path equals the plain one: forward, gradients, in every mode, and in any precision."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from convlstm.model.bptt import Memory
from convlstm.model.c_kernels import compiled
from convlstm.model.network import Network
from tests.unit.model.conftest import CELLS, CONTEXT, STEPS, Shape

CONVOLUTIONAL = ("convlstm", "peephole")
SHAPES = (
    Shape(2, 4, 5, 6, hidden=(3, 2), kernel=3),
    Shape(1, 1, 1, 7, hidden=(4,), kernel=1),
    Shape(3, 2, 9, 3, hidden=(2, 3, 4), kernel=5),
    Shape(1, 2, 1, 1, hidden=(1, 1), kernel=3),
)
NO_COMPILER = compiled(torch.float32) is None
Fed = dict[str, Tensor]
MODES = [
    pytest.param(
        Memory(recompute, fused),
        id=f"{'recomputed' if recompute else 'kept'}-by-{'C' if fused else 'torch'}",
        marks=[pytest.mark.skipif(compiled(torch.float32) is None, reason="no C compiler")] * fused,
    )
    for recompute in (False, True)
    for fused in (False, True)
]


def results(net: Network, output: Tensor, *inputs: Tensor) -> list[Tensor]:
    """The output, and the gradients of all weights and `inputs` for a loss that tells all apart."""
    loss = (output * torch.linspace(-1, 2, output.numel()).view_as(output)).sum()
    return [output, *torch.autograd.grad(loss, [*net.parameters(), *inputs])]


def distance(one: Tensor, other: Tensor) -> float:
    """Largest difference, as a part of the largest value of `other`."""
    return float((one - other).detach().abs().max() / other.detach().abs().max().clamp(min=1e-30))


@pytest.mark.parametrize(
    ("dtype", "forward", "backward"),
    [(torch.float64, 1e-12, 1e-12), (torch.float32, 1e-5, 1e-4)],
    ids=["float64", "float32"],
)
@pytest.mark.parametrize("known", [STEPS + 1, CONTEXT])
@pytest.mark.parametrize("kind", ["all", "context", "random"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("cell", CONVOLUTIONAL)
@pytest.mark.parametrize("memory", MODES)
def test_output_and_gradients_equal_those_of_the_cells(
    network: Network,
    frames: Tensor,
    fed: Fed,
    kind: str,
    known: int,
    forward: float,
    backward: float,
    memory: Memory,
) -> None:
    network.memory = replace(memory, buffers=[])
    seen = frames[:, :known].clone().requires_grad_()
    fast = results(network, network(seen, fed[kind]), seen)
    plain = results(network, network.plain(seen, fed[kind]), seen)
    assert distance(fast[0], plain[0]) <= forward
    assert max(map(distance, fast[1:], plain[1:])) <= backward


class Again(torch.autograd.Function):
    """A function run anew for each gradient: gradcheck asks for many, the fast path gives one."""

    @staticmethod
    def forward(ctx: Any, function: Any, *inputs: Tensor) -> Any:
        """The function of `inputs`."""
        ctx.function = function
        ctx.save_for_backward(*inputs)
        return function(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        """Its gradient, after another run."""
        inputs = [x.detach().requires_grad_() for x in ctx.saved_tensors]
        with torch.enable_grad():
            output = ctx.function(*inputs)
        return None, *torch.autograd.grad(output, inputs, grad)


@pytest.mark.parametrize("dtype", [torch.float64])
@pytest.mark.parametrize("shape", [Shape(2, 1, 2, 3, hidden=(2, 1), kernel=3)])
@pytest.mark.parametrize("cell", CONVOLUTIONAL)
def test_gradients_are_those_of_finite_differences_in_float64(
    network: Network, frames: Tensor, fed: Fed
) -> None:
    names = [name for name, _ in network.named_parameters()]

    def output(seen: Tensor, *weights: Tensor) -> Any:
        named = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(network, named, (seen, fed["random"])).square()

    inputs = [x.detach().requires_grad_() for x in network.parameters()]
    assert torch.autograd.gradcheck(
        lambda *x: Again.apply(output, *x),  # type: ignore[no-untyped-call] # torch ships no type for it
        (frames.requires_grad_(), *inputs),
        fast_mode=True,
    )


@pytest.mark.parametrize("memory", MODES)
@pytest.mark.parametrize("cell", CELLS)
def test_bfloat16_stays_within_a_few_of_its_roundings(
    network: Network, frames: Tensor, fed: Fed, memory: Memory
) -> None:
    network.memory = replace(memory, buffers=[])
    list(network.readout.parameters())[-1].data.zero_()  # a bias would hide what becomes of H
    half = results(network, network(frames, fed["context"], torch.bfloat16))
    full = results(network, network(frames, fed["context"]))
    assert all(result.dtype == torch.float32 for result in half)
    for step in range(STEPS):  # a rounding is 2^-8 at most
        assert 0 < distance(half[0][:, step], full[0][:, step]) <= 2 * 2**-8
    assert max(map(distance, half[1:], full[1:])) <= 10 * 2**-8


@pytest.mark.parametrize("cell", ["peephole"])
def test_without_gradients_the_output_is_the_same_and_nothing_is_kept(
    network: Network, frames: Tensor, fed: Fed
) -> None:
    expected = network(frames, fed["random"])
    with torch.no_grad():
        assert torch.equal(network(frames, fed["random"]), expected)
    assert network.memory.buffers == []


@pytest.mark.parametrize("memory", MODES)
def test_two_runs_give_the_same_bits_and_use_the_same_memory(
    network: Network, frames: Tensor, fed: Fed, memory: Memory
) -> None:
    network.memory = replace(memory, buffers=[])
    first = results(network, network(frames, fed["context"]))
    places = [buffer.data_ptr() for buffer in network.memory.buffers]
    second = results(network, network(frames, fed["context"]))
    assert places
    assert all(map(torch.equal, first, second))
    assert sorted(buffer.data_ptr() for buffer in network.memory.buffers) == sorted(places)


def test_gates_that_are_computed_again_are_not_kept(
    network: Network, frames: Tensor, fed: Fed
) -> None:
    def kept() -> dict[str, int]:
        """The numbers that are kept, in the middle between forward and backward."""
        output = network(frames, fed["all"])
        node = output.grad_fn.next_functions[0][0]
        *parts, top = node.saved_tensors
        names = ("entered", "gates", "cell") * (len(parts) // 3)
        totals = dict.fromkeys(names, 0) | {"top": top.numel()}
        for name, part in zip(names, parts, strict=True):
            totals[name] += part.numel()
        return totals

    everything = kept()
    network.memory.recompute = True
    assert kept() == everything | {"gates": everything["gates"] // STEPS}


def test_two_outputs_before_their_gradients_do_not_share_memory(
    network: Network, frames: Tensor, fed: Fed
) -> None:
    results(network, network(frames, fed["all"]))  # leaves buffers that the next one takes
    outputs = network(frames, fed["all"]), network(frames, fed["context"])
    for output, kind in zip(outputs, ("all", "context"), strict=True):
        plain = results(network, network.plain(frames, fed[kind]))
        assert max(map(distance, results(network, output), plain)) <= 1e-4


def test_a_second_gradient_of_one_output_is_refused(
    network: Network, frames: Tensor, fed: Fed
) -> None:
    output = network(frames, fed["all"]).sum()
    output.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.backward()
