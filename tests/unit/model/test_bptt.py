"""The fast path equals the plain one: forward, gradients, in every mode, and in any precision."""

from typing import Any

import pytest
import torch
from torch import Tensor

from convlstm.model.device import working_precision
from convlstm.model.network import Architecture, Network

CONTEXT, STEPS = 3, 6
SHAPES = (  # batch, channels, rows, cols, hidden channels, kernel size
    (2, 4, 5, 6, (3, 2), 3),
    (1, 1, 1, 7, (4,), 1),
    (3, 2, 9, 3, (2, 3, 4), 5),
    (1, 2, 1, 1, (1, 1), 3),
)
MASKS = ("all", "context", "random")


def network(cell: str, shape: Any, dtype: torch.dtype) -> Network:
    """With random peepholes: at zero, where they start, they would hide a fault."""
    _, channels, rows, cols, hidden, kernel = shape
    torch.manual_seed(0)
    net = Network(Architecture(cell, hidden, kernel, channels=channels, rows=rows, cols=cols))  # type: ignore[arg-type] # a text
    for name, weight in net.named_parameters():
        if "peephole" in name:
            torch.nn.init.normal_(weight)
    return net.to(dtype)


def sequence(shape: Any, dtype: torch.dtype, known: int = STEPS + 1) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(shape[0], known, *shape[1:4], generator=generator, dtype=dtype)


def mask(kind: str, batch: int) -> Tensor:
    """True at all steps, in the context, or anywhere, as `sampling: reverse` draws it."""
    random = torch.rand(batch, STEPS, generator=torch.Generator().manual_seed(2)) < 0.5
    fed = {
        "all": torch.ones(batch, STEPS, dtype=torch.bool),
        "context": (torch.arange(STEPS) < CONTEXT).repeat(batch, 1),
        "random": random,
    }[kind]
    fed[:, 0] = True
    return fed


def results(net: Network, output: Tensor, *inputs: Tensor) -> list[Tensor]:
    """The output, and the gradients of all weights and `inputs` for a loss that tells all apart."""
    loss = (output * torch.linspace(-1, 2, output.numel()).view_as(output)).sum()
    return [output, *torch.autograd.grad(loss, [*net.parameters(), *inputs])]


def distance(one: Tensor, other: Tensor) -> float:
    """Largest difference, as a part of the largest value of `other`."""
    return float((one - other).detach().abs().max() / other.detach().abs().max().clamp(min=1e-30))


@pytest.mark.parametrize("known", [STEPS + 1, CONTEXT])
@pytest.mark.parametrize("fed", MASKS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("cell", ["convlstm", "peephole"])
def test_output_and_gradients_equal_those_of_the_cells(
    cell: str, shape: Any, fed: str, known: int
) -> None:
    for dtype, forward, backward in ((torch.float64, 1e-12, 1e-12), (torch.float32, 1e-5, 1e-4)):
        net, drawn = network(cell, shape, dtype), mask(fed, shape[0])
        frames = sequence(shape, dtype, known).requires_grad_()
        fast = results(net, net(frames, drawn), frames)
        plain = results(net, net.plain(frames, drawn), frames)
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


@pytest.mark.parametrize("cell", ["convlstm", "peephole"])
def test_gradients_are_those_of_finite_differences_in_float64(cell: str) -> None:
    shape = (2, 1, 2, 3, (2, 1), 3)
    net, fed = network(cell, shape, torch.float64), mask("random", 2)
    names = [name for name, _ in net.named_parameters()]

    def output(frames: Tensor, *weights: Tensor) -> Any:
        named = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(net, named, (frames, fed)).square()

    inputs = [x.detach().requires_grad_() for x in net.parameters()]
    frames = sequence(shape, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *x: Again.apply(output, *x),  # type: ignore[no-untyped-call] # torch ships no type for it
        (frames, *inputs),
        fast_mode=True,
    )


@pytest.mark.parametrize("cell", ["convlstm", "peephole", "lstm"])
def test_bfloat16_stays_within_a_few_of_its_roundings(cell: str) -> None:
    shape = SHAPES[0]
    net, frames, fed = (
        network(cell, shape, torch.float32),
        sequence(shape, torch.float32),
        mask("context", 2),
    )
    list(net.readout.parameters())[-1].data.zero_()  # a bias would hide what becomes of H
    half = results(net, net(frames, fed, torch.bfloat16))
    full = results(net, net(frames, fed))
    assert all(result.dtype == torch.float32 for result in half)
    for step in range(STEPS):  # a rounding is 2^-8 at most
        assert 0 < distance(half[0][:, step], full[0][:, step]) <= 2 * 2**-8
    assert max(map(distance, half[1:], full[1:])) <= 10 * 2**-8


def test_without_gradients_the_output_is_the_same_and_nothing_is_kept() -> None:
    shape = SHAPES[0]
    net, frames, fed = (
        network("peephole", shape, torch.float32),
        sequence(shape, torch.float32),
        mask("random", 2),
    )
    expected = net(frames, fed)
    with torch.no_grad():
        assert torch.equal(net(frames, fed), expected)
    assert net.spare == []


def test_two_runs_give_the_same_bits_and_use_the_same_memory() -> None:
    shape = SHAPES[0]
    net, frames, fed = (
        network("convlstm", shape, torch.float32),
        sequence(shape, torch.float32),
        mask("context", 2),
    )
    first = results(net, net(frames, fed))
    places = [part.data_ptr() for part in net.spare]
    second = results(net, net(frames, fed))
    assert all(map(torch.equal, first, second))
    assert sorted(part.data_ptr() for part in net.spare) == sorted(places)


def test_two_outputs_before_their_gradients_do_not_share_memory() -> None:
    shape = SHAPES[0]
    net, frames = network("convlstm", shape, torch.float32), sequence(shape, torch.float32)
    results(net, net(frames, mask("all", 2)))
    outputs = net(frames, mask("all", 2)), net(frames, mask("context", 2))
    for output, kind in zip(outputs, ("all", "context"), strict=True):
        plain = results(net, net.plain(frames, mask(kind, 2)))
        assert max(map(distance, results(net, output), plain)) <= 1e-4


def test_a_second_gradient_of_one_output_is_refused() -> None:
    shape = SHAPES[0]
    net = network("convlstm", shape, torch.float32)
    output = net(sequence(shape, torch.float32), mask("all", 2)).sum()
    output.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.backward()


@pytest.mark.parametrize(
    ("asked", "has_units", "taken"),
    [
        ("auto", True, torch.float32),
        ("float32", True, torch.float32),
        ("bfloat16", True, torch.bfloat16),
        ("bfloat16", False, torch.float32),
    ],
)
def test_a_cpu_takes_bfloat16_where_it_is_asked_for_and_has_the_units(
    monkeypatch: pytest.MonkeyPatch, asked: Any, has_units: bool, taken: torch.dtype
) -> None:
    for units in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, units, lambda: has_units)
    assert working_precision(asked, torch.device("cpu")) == taken
