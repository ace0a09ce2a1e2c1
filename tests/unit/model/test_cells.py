"""Each cell equals the equations of Shi et al. 2015 in float64 NumPy, convolved by SciPy."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
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
    x: np.ndarray, hidden: np.ndarray, before: np.ndarray, *, product: Map, w: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Equations 2 and 3 as they are printed: a map of X, a map of H and a bias in each gate."""
    own = x.shape[1]
    bias_shape = (-1,) + (1,) * (x.ndim - 2)

    def gate(number: int) -> np.ndarray:
        rows = slice(number * HIDDEN, (number + 1) * HIDDEN)
        kernel, bias = w["gates.weight"][rows], w["gates.bias"][rows].reshape(bias_shape)
        return np.asarray(product(x, kernel[:, :own]) + product(hidden, kernel[:, own:]) + bias)

    i = sigmoid(gate(0) + w.get("peephole_i", 0) * before)
    f = sigmoid(gate(1) + w.get("peephole_f", 0) * before)
    after = f * before + i * np.tanh(gate(3))
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
    state = torch.randn(BATCH, HIDDEN, *grid), torch.randn(BATCH, HIDDEN, *grid)
    expected = state[0].numpy().astype(np.float64), state[1].numpy().astype(np.float64)
    for x in inputs:
        state = cell(x, state)
        expected = equations(
            x.numpy().astype(np.float64), *expected, product=product, w=weights(cell)
        )
    for found, right in zip(state, expected, strict=True):
        np.testing.assert_allclose(found.detach(), right, rtol=0, atol=1e-6)


def test_an_untrained_peephole_cell_is_a_convlstm_cell() -> None:
    torch.manual_seed(0)
    plain, peephole = ConvLSTMCell(1, 2, 3), PeepholeConvLSTMCell(1, 2, 3, grid=(4, 4))
    peephole.gates.load_state_dict(plain.gates.state_dict())
    x, state = torch.randn(1, 1, 4, 4), (torch.randn(1, 2, 4, 4), torch.randn(1, 2, 4, 4))
    assert torch.equal(plain(x, state)[0], peephole(x, state)[0])


@pytest.mark.parametrize("kind", ["convlstm", "peephole"])
@pytest.mark.parametrize(
    "narrow",
    [(BATCH, HIDDEN, ROWS, 1), (BATCH, HIDDEN, 1, COLS), (BATCH, 1, ROWS, COLS), (1, 1, 1, 1)],
    ids=str,
)
def test_a_cell_state_that_would_be_broadcast_is_refused(
    kind: str, narrow: tuple[int, ...]
) -> None:
    """By the shapes of the signatures, which are executed in these tests."""
    cell, grid, _ = cell_of(kind)
    x, hidden = torch.zeros(BATCH, INPUTS, *grid), torch.zeros(BATCH, HIDDEN, *grid)
    assert np.broadcast_shapes(hidden.shape, narrow) == tuple(hidden.shape)
    cell(x, (hidden, torch.zeros_like(hidden)))
    with pytest.raises(TypeCheckError):
        cell(x, (hidden, torch.zeros(narrow)))
