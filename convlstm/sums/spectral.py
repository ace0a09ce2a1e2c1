"""Power of plane waves by wavenumber and at the period of the patches."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

Waves = Float[Tensor, "*lead row half"]


def power(frames: Float[Tensor, "*lead channel row col"]) -> Waves:
    """Return the power of every plane wave, summed over channels.

    Of real frames, a wave and the one in the opposite direction have equal power: both together
    stand at the one to the right. The sum over all waves is the mean square of a pixel.
    """
    cols = frames.shape[-1]
    # In float64, because small waves may have a millionth of the mean's power.
    waves = torch.fft.rfft2(frames.double(), norm="forward")
    found: Tensor = (waves.real**2 + waves.imag**2).sum(dim=-3)
    found[..., 1 : (cols + 1) // 2] *= 2  # the others are opposite to themselves, or both there
    return found


def radial(waves: Waves, cols: int) -> Float[Tensor, "*lead wavenumber"]:
    """Return power by wavenumber 0, 1, ... (waves across the shorter side), over all directions.

    Waves shorter than two pixels in every direction but the diagonals are left out.

    Args:
        waves: from `power`.
        cols: of the frames.
    """
    number = _wavenumber(waves.shape[-2], cols).flatten()
    counts = number.bincount()[: min(waves.shape[-2], cols) // 2 + 1].tolist()
    # Sorted by wavenumber, because to add at indices a GPU takes any order.
    order = number.argsort(stable=True)[: sum(counts)]
    parts = torch.split_with_sizes(waves.flatten(-2)[..., order.to(waves.device)], counts, dim=-1)
    return torch.stack([part.sum(dim=-1) for part in parts], dim=-1)


def lattice(waves: Waves, cols: int, patch_size: int) -> Float[Tensor, "*lead"]:
    """Return the power of waves that repeat with every patch, with a period of `patch_size`.

    Args:
        waves: from `power`.
        cols: of the frames.
        patch_size: in pixels.
    """
    rows, half = waves.shape[-2:]
    chosen = torch.zeros(rows, cols, dtype=torch.float64)
    steps = torch.arange(patch_size, dtype=torch.float64) / patch_size
    row, col = ((steps * size).round().long() % size for size in (rows, cols))
    chosen[row[:, None], col] = 1
    chosen[0, 0] = 0
    opposite = chosen[-torch.arange(rows) % rows][:, -torch.arange(cols) % cols]
    weights = ((chosen + opposite) / 2)[:, :half].to(waves.device)
    return (waves * weights).sum(dim=(-2, -1))


def _wavenumber(rows: int, cols: int) -> Int[Tensor, "row half"]:
    down = torch.fft.fftfreq(rows, dtype=torch.float64)
    right = torch.fft.rfftfreq(cols, dtype=torch.float64)
    return (torch.hypot(down[:, None], right) * min(rows, cols)).round().long()
