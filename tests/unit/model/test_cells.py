"""Each cell equals the report's equations in float64 NumPy, with convolutions of SciPy's."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d

from convlstm.model.cells import Cell, ConvLSTMCell, LSTMCell, PeepholeConvLSTMCell

BATCH, INPUTS, HIDDEN, ROWS, COLS, STEPS = 2, 3, 4, 5, 7, 3

Map = Callable[[np.ndarray, np.ndarray], np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def weights(cell: Cell) -> dict[str, np.ndarray]:
    return {
        name: weight.detach().numpy().astype(np.float64) for name, weight in cell.named_parameters()
    }


def convolution(frames: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """(batch, in, row, col) with (out, in, row, col), zeros around the border."""
    return np.array(
        [
            [
                sum(correlate2d(c, k, mode="same") for c, k in zip(frame, kernel, strict=True))
                for kernel in kernels
            ]
            for frame in frames
        ]
    )


def equations(
    x: np.ndarray, hidden: np.ndarray, memory: np.ndarray, *, product: Map, w: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """I, F, C, O, H as the report writes them: a map of X, a map of H and a bias in each gate."""
    own = x.shape[1]
    bias_shape = (-1,) + (1,) * (x.ndim - 2)

    def gate(number: int) -> np.ndarray:
        rows = slice(number * HIDDEN, (number + 1) * HIDDEN)
        kernel, bias = w["gates.weight"][rows], w["gates.bias"][rows].reshape(bias_shape)
        return np.asarray(product(x, kernel[:, :own]) + product(hidden, kernel[:, own:]) + bias)

    i = sigmoid(gate(0) + w.get("peephole_i", 0) * memory)
    f = sigmoid(gate(1) + w.get("peephole_f", 0) * memory)
    after = f * memory + i * np.tanh(gate(3))
    o = sigmoid(gate(2) + w.get("peephole_o", 0) * after)
    return o * np.tanh(after), after


def cell_of(kind: str) -> tuple[Cell, tuple[int, ...], Map]:
    match kind:
        case "lstm":
            return LSTMCell(INPUTS, HIDDEN), (), lambda x, w: x @ w.T
        case "convlstm":
            return ConvLSTMCell(INPUTS, HIDDEN, 3), (ROWS, COLS), convolution
        case _:
            cell = PeepholeConvLSTMCell(INPUTS, HIDDEN, 3, grid=(ROWS, COLS))
            for name, weight in cell.named_parameters():
                if name.startswith("peephole"):
                    torch.nn.init.normal_(weight)
            return cell, (ROWS, COLS), convolution


@pytest.mark.parametrize("kind", ["lstm", "convlstm", "peephole"])
def test_a_cell_equals_the_equations_in_float64(kind: str) -> None:
    torch.manual_seed(0)
    cell, grid, product = cell_of(kind)
    inputs = torch.randn(STEPS, BATCH, INPUTS, *grid)
    hidden, memory = torch.randn(BATCH, HIDDEN, *grid), torch.randn(BATCH, HIDDEN, *grid)
    expected = hidden.numpy().astype(np.float64), memory.numpy().astype(np.float64)
    for x in inputs:
        hidden, memory = cell(x, (hidden, memory))
        expected = equations(
            x.numpy().astype(np.float64), *expected, product=product, w=weights(cell)
        )
    np.testing.assert_allclose(hidden.detach(), expected[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(memory.detach(), expected[1], rtol=0, atol=1e-6)


def test_an_untrained_peephole_cell_is_a_convlstm_cell() -> None:
    torch.manual_seed(0)
    plain, peephole = ConvLSTMCell(1, 2, 3), PeepholeConvLSTMCell(1, 2, 3, grid=(4, 4))
    peephole.gates.load_state_dict(plain.gates.state_dict())
    x, state = torch.randn(1, 1, 4, 4), (torch.randn(1, 2, 4, 4), torch.randn(1, 2, 4, 4))
    assert torch.equal(plain(x, state)[0], peephole(x, state)[0])
