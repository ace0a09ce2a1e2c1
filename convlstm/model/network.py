"""The network: a stack of cells, and a readout that makes a forecast of its uppermost states.

With the readout `frame` the network paints the next frame and goes on from its own output, as the
report's did. With `motion` and `cascade` it sees how the frames of the context change while they
move, and says how the last one, carried on, changes until each lead time (`cascade`).
`Network.plain` is the definition, cell by cell; `Network.forward` computes the same by the fast
path in `bptt`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from convlstm.model.basis import basis_of, inputs_of
from convlstm.model.bptt import Memory, unroll
from convlstm.model.cascade import Cascade
from convlstm.model.cells import Cell, ConvLSTMCell, LSTMCell, PeepholeConvLSTMCell, State
from convlstm.patch.folding import unfold


@dataclass(frozen=True)
class Architecture:
    """The numbers that decide the shapes of all weights.

    `hidden_channels` has one entry for each layer, the lowest first; for the lstm, whose layers
    have no grid, it counts units. `channels`, `rows` and `cols` are those of a folded frame, and
    `kernel_size` counts folded pixels. `scales` are those between the bands of a cascade, and
    `patch_size` unfolds its frames; the readout `frame` needs neither.
    """

    cell: Literal["convlstm", "peephole", "lstm"]
    hidden_channels: tuple[int, ...]
    kernel_size: int
    channels: int
    rows: int
    cols: int
    readout: Literal["frame", "motion", "cascade"] = "frame"
    scales: tuple[float, ...] = ()
    patch_size: int = 1

    def __post_init__(self) -> None:
        sizes = (*self.hidden_channels, self.kernel_size, self.channels, self.rows, self.cols)
        if {type(size) for size in (*sizes, self.patch_size)} != {int}:  # from a file, 64.0 or true
            raise ValueError(f"a size that is no whole number: {self}")
        if min(sizes) < 1 or self.kernel_size % 2 == 0 or not self.hidden_channels:
            raise ValueError(f"an impossible network: {self}")
        patch, bands = self.patch_size**2, (self.readout == "cascade") == bool(self.scales)
        if not bands or patch < 1 or self.channels % patch or min(self.scales, default=1) <= 0:
            raise ValueError(f"an impossible readout: {self}")

    @property
    def takes_any_size(self) -> bool:
        """Whether frames may differ in size from those of training."""
        return self.cell == "convlstm"


class Network(nn.Module):
    """Layers of cells, and a readout from the uppermost hidden state to the next frame."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        flat = a.cell == "lstm"
        self.cascade = None if a.readout == "frame" else Cascade(a.scales, a.patch_size)
        entering, leaving = a.channels, a.channels
        if self.cascade is not None:
            entering = inputs_of(a.channels)
            leaving = self.cascade.maps_per_channel * a.channels // a.patch_size**2
        self.entering = entering
        pixels = a.rows * a.cols
        inputs = (entering * pixels if flat else entering, *a.hidden_channels)
        self.grid = () if flat else (a.rows, a.cols)
        self.entry: nn.Module = nn.Flatten() if flat else nn.Identity()
        self.cells = nn.ModuleList(_cell(a, below, own) for below, own in pairwise(inputs))
        self.readout: nn.Module = (
            nn.Sequential(
                nn.Linear(inputs[-1], leaving * pixels),
                nn.Unflatten(1, (leaving, a.rows, a.cols)),
            )
            if flat
            else nn.Conv2d(inputs[-1], leaving, kernel_size=1)
        )
        if self.cascade is not None:  # untrained, it is an extrapolation, or STEPS
            for weight in self.readout.parameters():
                nn.init.zeros_(weight)
        self.memory = Memory()

    def plain(
        self, frames: Float[Tensor, "batch known channel row col"], fed: Bool[Tensor, "batch steps"]
    ) -> Float[Tensor, "batch steps output row col"]:
        """Unroll `steps` steps; the output of step t is the forecast of frame t + 1.

        Args:
            frames: true frames in [0, 1], of which the first `known` exist. In a free forecast
                these are the context, and no later frame can reach the network.
            fed: where step t takes the true frame t. Elsewhere, and at all steps from `known` on,
                it takes the output of step t - 1. The first step is always fed.
        """
        states = [self._zero_state(frames, hidden) for hidden in self.architecture.hidden_channels]
        outputs: list[Tensor] = []
        for step in range(fed.shape[1]):
            if step == 0 or (step < frames.shape[1] and fed[:, step].all()):
                frame = frames[:, step]
            elif step < frames.shape[1]:
                frame = torch.where(fed[:, step, None, None, None], frames[:, step], outputs[-1])
            else:
                frame = outputs[-1]
            x = self.entry(frame)
            for layer, cell in enumerate(self.cells):
                states[layer] = cell(x, states[layer])
                x = states[layer][0]
            outputs.append(self.readout(x))
        return torch.stack(outputs, dim=1)

    def forward(
        self,
        frames: Float[Tensor, "batch known channel row col"],
        fed: Bool[Tensor, "batch steps"],
        dtype: torch.dtype | None = None,
    ) -> Float[Tensor, "batch steps output row col"]:
        """Compute `plain` by the fast path.

        Args:
            frames: as in `plain`.
            fed: as in `plain`; on the CPU, or reading it would wait for the device.
            dtype: precision of the convolutions and matrix products: bfloat16, or None for that of
                the weights.
        """
        if self.architecture.cell == "lstm":  # its steps are matrix products: nothing to gain
            with torch.autocast(frames.device.type, dtype, enabled=dtype == torch.bfloat16):
                return self.plain(frames, fed.to(frames.device)).to(frames.dtype)
        return unroll(
            frames,
            fed,
            [list(cell.parameters()) for cell in self.cells],
            list(self.readout.parameters()),
            dtype or frames.dtype,
            self.memory,
        )

    def rollout(
        self,
        context: Float[Tensor, "batch known channel row col"],
        leads: int,
        dtype: torch.dtype | None = None,
    ) -> Float[Tensor, "batch leads channel row col"]:
        """Forecast freely the `leads` frames that follow the context."""
        batch, known = context.shape[:2]
        fed = torch.ones(batch, known + leads - 1, dtype=torch.bool)
        return self.forward(context, fed, dtype)[:, known - 1 :]

    def ensemble(
        self,
        context: Float[Tensor, "batch known channel row col"],
        mask: Bool[Tensor, "batch known channel row col"],
        leads: int,
        white: Iterable[Float[Tensor, "member batch lead pixelrow pixelcol"]],
        dtype: torch.dtype | None = None,
    ) -> Iterator[Float[Tensor, "member batch lead _ pixelrow pixelcol"]]:
        """Forecast members by the readout `motion` or `cascade`, in pixels and in [0, 1].

        Args:
            context: folded true frames in [0, 1].
            mask: of measured pixels.
            leads: the number of lead times.
            white: noise of some members at a time, as `noise.draw_noise` yields it.
            dtype: as in `forward`.

        Yields:
            As many members at a time as `white` does.
        """
        assert self.cascade is not None
        patch_size = self.architecture.patch_size
        pixels, measured = unfold(context, patch_size), unfold(mask, patch_size)
        basis = basis_of(pixels, measured, leads, self.cascade.scales)
        fed = torch.ones(basis.inputs.shape[:2], dtype=torch.bool)
        maps = self(basis.inputs, fed, dtype)[:, -leads:]
        for some in white:
            yield self.cascade(maps, basis, some.to(context.device, non_blocking=True))

    def _zero_state(self, frames: Tensor, hidden: int) -> State:
        grid = frames.shape[-2:] if self.grid else ()  # a ConvLSTM takes any frame size
        zero = frames.new_zeros(len(frames), hidden, *grid)
        return zero, zero


def _cell(a: Architecture, inputs: int, hidden: int) -> Cell:
    match a.cell:
        case "convlstm":
            return ConvLSTMCell(inputs, hidden, a.kernel_size)
        case "peephole":
            return PeepholeConvLSTMCell(inputs, hidden, a.kernel_size, grid=(a.rows, a.cols))
        case "lstm":
            return LSTMCell(inputs, hidden)
