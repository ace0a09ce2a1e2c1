"""The unrolled stack: what it may see at which step, and that every weight takes part."""

import pytest
import torch
from torch import Tensor

from convlstm.model.network import Architecture, Network

CELLS = ("convlstm", "peephole", "lstm")
CONTEXT, STEPS = 3, 5


def network(cell: str, hidden: tuple[int, ...] = (3, 2)) -> Network:
    torch.manual_seed(0)
    return Network(Architecture(cell, hidden, kernel_size=3, channels=4, rows=5, cols=6))  # type: ignore[arg-type] # a text of CELLS


def frames(count: int = STEPS + 1) -> Tensor:
    return torch.rand(2, count, 4, 5, 6, generator=torch.Generator().manual_seed(1))


def mask(steps: int = STEPS, known: int = CONTEXT) -> Tensor:
    return (torch.arange(steps) < known).repeat(2, 1)


@pytest.mark.parametrize("cell", CELLS)
def test_every_parameter_is_in_the_state_and_gets_a_gradient(cell: str) -> None:
    net = network(cell)
    net(frames(), mask()).square().sum().backward()
    named = dict(net.named_parameters())
    assert set(net.state_dict()) == set(named)
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in named.values())


def test_the_state_holds_one_entry_for_each_map_and_peephole() -> None:
    expected = {"readout.weight", "readout.bias"}
    for layer in range(2):
        expected |= {f"cells.{layer}.{name}" for name in ("gates.weight", "gates.bias")}
        expected |= {f"cells.{layer}.peephole_{gate}" for gate in "ifo"}
    assert set(network("peephole").state_dict()) == expected


@pytest.mark.parametrize("cell", CELLS)
def test_a_fully_fed_network_is_its_cells_applied_step_by_step(cell: str) -> None:
    net, seen = network(cell), frames()
    flat = cell == "lstm"
    states = [
        (torch.zeros(2, hidden) if flat else torch.zeros(2, hidden, 5, 6),) * 2 for hidden in (3, 2)
    ]
    expected = []
    for step in range(STEPS):
        x = seen[:, step].flatten(1) if flat else seen[:, step]
        for layer, one in enumerate(net.cells):
            states[layer] = one(x, states[layer])
            x = states[layer][0]
        expected.append(net.readout(x))
    torch.testing.assert_close(net(seen, mask(known=STEPS)), torch.stack(expected, dim=1))


@pytest.mark.parametrize("cell", CELLS)
def test_in_free_operation_no_frame_after_the_context_reaches_the_output(cell: str) -> None:
    net, seen = network(cell), frames().requires_grad_()
    net(seen, mask()).sum().backward()
    assert seen.grad is not None
    assert seen.grad[:, :CONTEXT].abs().sum() > 0
    assert seen.grad[:, CONTEXT:].abs().sum() == 0


@pytest.mark.parametrize("cell", CELLS)
def test_a_rollout_from_the_context_alone_equals_training_with_mask_0(cell: str) -> None:
    net, seen = network(cell), frames()
    leads = STEPS + 1 - CONTEXT
    torch.testing.assert_close(
        net.rollout(seen[:, :CONTEXT], leads), net(seen, mask())[:, CONTEXT - 1 :], rtol=0, atol=0
    )


def test_an_unfed_step_takes_the_networks_own_last_output() -> None:
    net, seen = network("convlstm"), frames()
    fed = mask(known=STEPS)
    fed[:, 2] = False
    free = net(seen, fed)
    replaced = seen.clone()
    replaced[:, 2] = net(seen, mask(known=STEPS))[:, 1]
    torch.testing.assert_close(free, net(replaced, mask(known=STEPS)))


def test_each_window_of_a_batch_follows_its_own_mask() -> None:
    net, seen = network("convlstm"), frames()
    fed = torch.stack([mask(known=STEPS)[0], mask()[0]])
    output = net(seen, fed)
    torch.testing.assert_close(output[0], net(seen, mask(known=STEPS))[0])
    torch.testing.assert_close(output[1], net(seen, mask())[1])


def test_a_convlstm_takes_frames_of_any_size() -> None:
    assert network("convlstm").rollout(torch.rand(1, 2, 4, 9, 3), 2).shape == (1, 2, 4, 9, 3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("cell", CELLS)
def test_the_gpu_forecasts_what_the_cpu_forecasts(cell: str) -> None:
    net = network(cell)
    expected = net.rollout(frames()[:, :CONTEXT], 3)
    torch.testing.assert_close(
        net.cuda().rollout(frames()[:, :CONTEXT].cuda(), 3).cpu(), expected, rtol=1e-3, atol=1e-4
    )
