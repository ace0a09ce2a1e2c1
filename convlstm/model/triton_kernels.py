"""The arithmetic of the gates on a GPU, by Triton, which comes with the CUDA builds of torch.

They are the functions of `gates.c`.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from convlstm.model.kernels import Gates, Own, Peepholes, Sums, Two, pixel_gap

BLOCK = 512
"""How many channels of pixels one program computes."""


@dataclass(frozen=True)
class TritonKernels:
    """The functions for gates of one dtype.

    The gradient of the bias they leave to torch, which sums in one order every time.
    """

    dtype: torch.dtype
    sums_bias = False

    def forward(
        self, z: Gates, state: Own, peepholes: Peepholes, *, gates: Gates, cell: Own, hidden: Two
    ) -> None:
        """Write I, F, O, G, C and H of a step, as `Kernels` has it."""
        places = [part for one in hidden for part in (one, pixel_gap(one))]
        with torch.cuda.device(_number(z)):
            _forward[_programs(cell)](
                *(z, state, *(peepholes or (None,) * 3)),
                *(gates, cell, *places, *_sizes(cell)),
                block=BLOCK,
            )

    def backward(
        self,
        dh: Two,
        cell: Own,
        before: Own,
        peepholes: Peepholes,
        written: tuple[Gates, Own, Sums],
    ) -> None:
        """Overwrite the gates and dC with gradients, as `Kernels` has it."""
        parts = [part for one in dh for part in (one, pixel_gap(one))]
        with torch.cuda.device(_number(cell)):
            _backward[_programs(cell)](
                *(*parts, cell, before, pixel_gap(before), *(peepholes or (None,) * 3)),
                *(*written[:2], *_sizes(cell)),
                block=BLOCK,
            )


def _number(tensor: Tensor) -> int:
    """Return the number of the device on which to compute; -1, which changes none, for a CPU."""
    return tensor.get_device()


def _programs(cell: Own) -> tuple[int]:
    return (triton.cdiv(cell.numel(), BLOCK),)


def _sizes(cell: Own) -> tuple[int, int, int]:
    _, rows, cols, own = cell.shape
    return cell.numel(), rows * cols, own


@triton.jit  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    z, state, peep_i, peep_f, peep_o, gates, cell, hidden, hidden_gap, above, above_gap, total,
    grid, own: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    there, pixel, channel = at < total, at // own, at % own
    four, seen = pixel * 4 * own + channel, pixel % grid * own + channel
    was = tl.load(state + at, there)
    i = tl.load(z + four, there).to(tl.float32)
    f = tl.load(z + four + own, there).to(tl.float32)
    o = tl.load(z + four + 2 * own, there).to(tl.float32)
    g = tl.load(z + four + 3 * own, there).to(tl.float32)
    if peep_i is not None:
        i += tl.load(peep_i + seen, there) * was
        f += tl.load(peep_f + seen, there) * was
    i, f, g = tl.sigmoid(i), tl.sigmoid(f), 1 - 2 * tl.sigmoid(g)  # of -2 times the candidate
    c = f * was + i * g
    if peep_i is not None:
        o += tl.load(peep_o + seen, there) * c
    o = tl.sigmoid(o)
    h = o * (1 - 2 * tl.sigmoid(-2 * c))
    tl.store(gates + four, i, there)
    tl.store(gates + four + own, f, there)
    tl.store(gates + four + 2 * own, o, there)
    tl.store(gates + four + 3 * own, g, there)
    tl.store(state + at, c, there)
    tl.store(cell + at, c, there)
    tl.store(hidden + pixel * hidden_gap + channel, h, there)
    tl.store(above + pixel * above_gap + channel, h, there)


@triton.jit  # type: ignore[untyped-decorator]
def _backward(  # type: ignore[no-untyped-def]
    above, above_gap, later, later_gap, cell, before, before_gap, peep_i, peep_f, peep_o, gates,
    dc, total, grid, own: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    there, pixel, channel = at < total, at // own, at % own
    four, seen = pixel * 4 * own + channel, pixel % grid * own + channel
    i = tl.load(gates + four, there).to(tl.float32)
    f = tl.load(gates + four + own, there).to(tl.float32)
    o = tl.load(gates + four + 2 * own, there).to(tl.float32)
    g = tl.load(gates + four + 3 * own, there).to(tl.float32)
    dh = tl.load(above + pixel * above_gap + channel, there).to(tl.float32)
    dh += tl.load(later + pixel * later_gap + channel, there).to(tl.float32)
    t = 1 - 2 * tl.sigmoid(-2 * tl.load(cell + at, there).to(tl.float32))
    grad_o = dh * t * o * (1 - o)
    d = tl.load(dc + at, there) + dh * o * (1 - t * t)
    if peep_i is not None:
        d += tl.load(peep_o + seen, there) * grad_o
    grad_i = d * g * i * (1 - i)
    was = tl.load(before + pixel * before_gap + channel, there).to(tl.float32)
    grad_f = d * was * f * (1 - f)
    earlier = d * f
    if peep_i is not None:
        earlier += tl.load(peep_i + seen, there) * grad_i
        earlier += tl.load(peep_f + seen, there) * grad_f
    tl.store(gates + four, grad_i, there)
    tl.store(gates + four + own, grad_f, there)
    tl.store(gates + four + 2 * own, grad_o, there)
    tl.store(gates + four + 3 * own, d * i * (1 - g * g), there)
    tl.store(dc + at, earlier, there)


@lru_cache
def compiled(dtype: torch.dtype) -> TritonKernels | None:
    """Return the functions for gates of this dtype, or None if they cannot be had here."""
    own, pixel = TritonKernels(dtype), torch.zeros(1, 1, 1, 1, device="cuda")
    one, z = pixel.to(dtype), pixel.to(dtype).repeat(1, 1, 1, 4)
    try:
        own.forward(z, pixel, (), gates=z, cell=one, hidden=(one, one))
    except Exception:  # Triton tells no kinds apart: no C compiler, a GPU that is too old
        return None
    return own
