"""The unrolled stack: what it may see at which step, and that every weight takes part."""

import pytest
import torch
from torch import Tensor

from convlstm.model.network import Architecture, Network
from tests.unit.model.conftest import CELLS, CONTEXT, STEPS, Shape

Fed = dict[str, Tensor]


@pytest.mark.parametrize("cell", CELLS)
def test_every_parameter_is_in_the_state_and_gets_a_gradient(
    network: Network, frames: Tensor, fed: Fed
) -> None:
    network(frames, fed["context"]).square().sum().backward()
    named = dict(network.named_parameters())
    assert set(network.state_dict()) == set(named)
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in named.values())


@pytest.mark.parametrize("cell", ["peephole"])
def test_the_state_holds_one_entry_for_each_map_and_peephole(network: Network) -> None:
    expected = {"readout.weight", "readout.bias"}
    for layer in range(2):
        expected |= {f"cells.{layer}.{name}" for name in ("gates.weight", "gates.bias")}
        expected |= {f"cells.{layer}.peephole_{gate}" for gate in "ifo"}
    assert set(network.state_dict()) == expected


@pytest.mark.parametrize("cell", CELLS)
def test_a_fully_fed_network_is_its_cells_applied_step_by_step(
    network: Network, shape: Shape, frames: Tensor, fed: Fed
) -> None:
    flat = network.architecture.cell == "lstm"
    grid = () if flat else (shape.rows, shape.cols)
    states = [(torch.zeros(shape.batch, hidden, *grid),) * 2 for hidden in shape.hidden]
    expected = []
    for step in range(STEPS):
        x = frames[:, step].flatten(1) if flat else frames[:, step]
        for layer, one in enumerate(network.cells):
            states[layer] = one(x, states[layer])
            x = states[layer][0]
        expected.append(network.readout(x))
    torch.testing.assert_close(network(frames, fed["all"]), torch.stack(expected, dim=1))


@pytest.mark.parametrize("cell", CELLS)
def test_in_free_operation_no_frame_after_the_context_reaches_the_output(
    network: Network, frames: Tensor, fed: Fed
) -> None:
    frames.requires_grad_()
    network(frames, fed["context"]).sum().backward()
    assert frames.grad is not None
    assert frames.grad[:, :CONTEXT].abs().sum() > 0
    assert frames.grad[:, CONTEXT:].abs().sum() == 0


@pytest.mark.parametrize("cell", CELLS)
def test_a_rollout_from_the_context_alone_equals_training_that_feeds_the_context_alone(
    network: Network, frames: Tensor, fed: Fed
) -> None:
    torch.testing.assert_close(
        network.rollout(frames[:, :CONTEXT], STEPS + 1 - CONTEXT),
        network(frames, fed["context"])[:, CONTEXT - 1 :],
        rtol=0,
        atol=0,
    )


def test_an_unfed_step_takes_the_networks_own_last_output(
    network: Network, frames: Tensor, fed: Fed
) -> None:
    all_but_one = fed["all"].clone()
    all_but_one[:, 2] = False
    replaced = frames.clone()
    replaced[:, 2] = network(frames, fed["all"])[:, 1]
    torch.testing.assert_close(network(frames, all_but_one), network(replaced, fed["all"]))


def test_each_window_of_a_batch_is_fed_by_its_own_row(
    network: Network, frames: Tensor, fed: Fed
) -> None:
    output = network(frames, torch.stack([fed["all"][0], fed["context"][0]]))
    torch.testing.assert_close(output[0], network(frames, fed["all"])[0])
    torch.testing.assert_close(output[1], network(frames, fed["context"])[1])


def test_a_convlstm_takes_frames_of_any_size(network: Network) -> None:
    assert network.architecture.takes_any_size
    assert network.rollout(torch.rand(1, 2, 4, 9, 3), 2).shape == (1, 2, 4, 9, 3)


@pytest.mark.parametrize("cell", ["peephole", "lstm"])
def test_a_tied_cell_takes_frames_of_its_own_size_only(network: Network) -> None:
    assert not network.architecture.takes_any_size
    with pytest.raises((RuntimeError, ValueError)):
        network.rollout(torch.rand(1, 2, 4, 9, 3), 2)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_channels": ()},
        {"hidden_channels": (3, 0)},
        {"kernel_size": 4},
        {"kernel_size": -1},
        {"channels": 0},
        {"rows": -1},
        {"cols": 0},
    ],
    ids=str,
)
def test_an_architecture_of_impossible_numbers_is_refused(change: dict[str, object]) -> None:
    possible = {"cell": "convlstm", "hidden_channels": (3,), "kernel_size": 3}
    possible |= {"channels": 4, "rows": 5, "cols": 6}
    Architecture(**possible)  # type: ignore[arg-type] # numbers and a text
    with pytest.raises(ValueError, match="an impossible network"):
        Architecture(**possible | change)  # type: ignore[arg-type] # numbers and a text


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("cell", CELLS)
def test_the_gpu_forecasts_what_the_cpu_forecasts(network: Network, frames: Tensor) -> None:
    context = frames[:, :CONTEXT]
    expected = network.rollout(context, 3)
    torch.testing.assert_close(
        network.cuda().rollout(context.cuda(), 3).cpu(), expected, rtol=1e-3, atol=1e-4
    )
