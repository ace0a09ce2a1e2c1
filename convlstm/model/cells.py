"""One step in time of the LSTM, the ConvLSTM and the peephole ConvLSTM: the equations, no more.

Shi et al. 2015, Convolutional LSTM Network (arXiv:1506.04214), equations 2 and 3. With X the input,
H the hidden state, C the cell state, * a convolution (or matrix product), o the elementwise
product:

    I = sigmoid(W_xi * X + W_hi * H(t-1) + b_i)   [+ W_ci o C(t-1) inside, with peepholes]
    F = sigmoid(W_xf * X + W_hf * H(t-1) + b_f)   [+ W_cf o C(t-1)]
    C = F o C(t-1) + I o tanh(W_xc * X + W_hc * H(t-1) + b_c)
    O = sigmoid(W_xo * X + W_ho * H(t-1) + b_o)   [+ W_co o C(t)]
    H = O o tanh(C)

The eight maps are one: applied to (X, H) together, its output channels are I, F, O and C in this
order.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

State = tuple[Float[Tensor, "batch hidden *grid"], Float[Tensor, "batch hidden *grid"]]
"""Hidden state H and cell state C, of one shape: (batch, hidden) or (batch, hidden, row, col)."""


class Cell(nn.Module):
    """The gates without peepholes, for any map of (X, H)."""

    def __init__(self, gates: nn.Module) -> None:
        super().__init__()
        self.gates = gates

    def forward(self, x: Float[Tensor, "batch channel *grid"], state: State) -> State:
        """Advance one step: input X(t) and state (H, C)(t-1) give the state (H, C)(t)."""
        hidden, cell = state
        i, f, o, c = self.gates(torch.cat((x, hidden), dim=1)).chunk(4, dim=1)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(c)
        return torch.sigmoid(o) * torch.tanh(cell), cell


class LSTMCell(Cell):
    """The cell in matrix form, for a flattened frame (batch, input)."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(nn.Linear(inputs + hidden, 4 * hidden))


class ConvLSTMCell(Cell):
    """The cell with convolutions of an odd `kernel_size`, which keep any frame size."""

    def __init__(self, inputs: int, hidden: int, kernel_size: int) -> None:
        super().__init__(
            nn.Conv2d(inputs + hidden, 4 * hidden, kernel_size, padding=kernel_size // 2)
        )


class PeepholeConvLSTMCell(ConvLSTMCell):
    """A ConvLSTM whose gates see the cell state through weights for each channel and pixel.

    The weights start at zero, where the cell equals the ConvLSTM. They tie the cell to one frame
    size.
    """

    def __init__(
        self, inputs: int, hidden: int, kernel_size: int, *, grid: tuple[int, int]
    ) -> None:
        super().__init__(inputs, hidden, kernel_size)
        self.peephole_i = nn.Parameter(torch.zeros(hidden, *grid))
        self.peephole_f = nn.Parameter(torch.zeros(hidden, *grid))
        self.peephole_o = nn.Parameter(torch.zeros(hidden, *grid))

    def forward(self, x: Float[Tensor, "batch channel row col"], state: State) -> State:
        """Advance one step: input X(t) and state (H, C)(t-1) give the state (H, C)(t)."""
        hidden, cell = state
        i, f, o, c = self.gates(torch.cat((x, hidden), dim=1)).chunk(4, dim=1)
        i = torch.sigmoid(i + self.peephole_i * cell)
        f = torch.sigmoid(f + self.peephole_f * cell)
        cell = f * cell + i * torch.tanh(c)
        return torch.sigmoid(o + self.peephole_o * cell) * torch.tanh(cell), cell
