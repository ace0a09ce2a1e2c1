"""The noise of an ensemble: bands of white noise that move along with the rain and live as long.

It is drawn at each pixel, from a seed, and split by Gaussians into bands of wavelength: the finest
on the grid of pixels, the others on the coarse grid of patches, which has all that they have. In
each band long waves are stronger than short ones, as in rain.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample, pad

from convlstm.model.grids import constant, shrink

MIDDLE_PATCHES = 0.75
"""Between the noise of both grids, as a Gaussian in patches: finer noise of the coarse grid would
show its places when it is interpolated."""
SPECTRAL_SLOPE = 3.0
"""The power of a wave falls with this power of its wavenumber, as in rain (2.5 to 3.5 in two
dimensions): white noise within a band has too much of its shortest waves, and looks like a grid."""
MARGIN = 2  # coarse pixels that go on at the opposite edge, as far as a cubic interpolation sees


Edges = tuple[tuple[float, float], ...]
"""The Gaussians below and above each band, in pixels of a grid."""


class Noise(NamedTuple):
    """Noise of variance 1 in each band; it has no channels, because they change together."""

    fine: Float[Tensor, "member batch lead fineband pixelrow pixelcol"]
    coarse: Float[Tensor, "member batch lead coarseband row col"]


class Scales(NamedTuple):
    """The standard deviations of the Gaussians between the bands, in pixels, ascending.

    Between the fine and the coarse ones lies `middle`, which parts the two grids. Without `noisy`
    the bands have no noise.
    """

    fine: tuple[float, ...]
    coarse: tuple[float, ...]
    patch_size: int
    noisy: bool

    @classmethod
    def of(cls, scales: tuple[float, ...], patch_size: int) -> "Scales":
        """Tell the scales on the grid of pixels from those on the coarse grid; none is no noise."""
        middle = cls((), (), patch_size, noisy=False).middle
        fine = tuple(scale for scale in scales if scale < middle)
        coarse = tuple(scale for scale in scales if scale > middle)
        return cls(fine, coarse, patch_size, noisy=bool(scales))

    @property
    def middle(self) -> float:
        """The scale that parts the grids; without patches there is one grid."""
        return MIDDLE_PATCHES * self.patch_size if self.patch_size > 1 else 0.0

    @property
    def fine_bands(self) -> int:
        """The number of bands on the grid of pixels; without patches there is none."""
        return len(self.fine) + 1 if self.patch_size > 1 else 0

    @property
    def coarse_bands(self) -> int:
        """The number of bands on the coarse grid."""
        return len(self.coarse) + 1

    @property
    def tops(self) -> tuple[float, ...]:
        """The largest scale of each band, in pixels; the last band has none and takes its least."""
        middle = (self.middle,) if self.patch_size > 1 else ()
        edges = (*self.fine, *middle, *self.coarse)
        return (*edges, edges[-1]) if edges else (1.0,)


def draw_noise(
    members: int, shape: tuple[int, int, int, int], generator: torch.Generator, together: int
) -> Iterator[Float[Tensor, "member batch lead row col"]]:
    """Yield white noise for some members at a time, drawn on the CPU for every device.

    It is drawn member after member, so that their number changes none of them. One member stands
    for the forecast without noise: it gets zeros, though its numbers are drawn.

    Args:
        members: their number.
        shape: of the forecast: (batch, lead, row, col) in pixels.
        generator: gives the next numbers of its seed.
        together: the most members at a time.
    """
    for done in range(0, members, together):
        # Nothing here takes a second thread, because who draws beside a step would take its own.
        white = torch.empty(min(together, members - done), *shape)
        for member in white:
            member.normal_(generator=generator)
        yield white if members > 1 else torch.from_numpy(np.zeros(white.shape, np.float32))


@torch.no_grad()
def bands_of(
    white: Float[Tensor, "member batch lead pixelrow pixelcol"],
    ways: Float[Tensor, "batch lead 2 pixelrow pixelcol"],
    scales: Scales,
    lifetimes: Float[Tensor, " band"],
) -> Noise:
    """Split white noise into bands that move and forget, each an autoregressive process.

    Args:
        white: noise, as `draw_noise` yields it.
        ways: from `motion.paths`.
        scales: between the bands.
        lifetimes: of the bands, in frames.
    """
    p, bands = scales.patch_size, scales.fine_bands
    middle = scales.middle / p
    memory = torch.exp(-1 / lifetimes)[:, None, None]
    patches = shrink(white, p) * p  # means of patches have a variance of 1 / p^2
    coarse_ways = shrink(ways, p) / p
    fine = pairwise((0.0, *scales.fine, scales.middle) if bands else (0.0,))
    # A narrower band than an octave would be spots of one size.
    coarse = [
        (below, max(above, 2 * below))
        for below, above in pairwise((middle, *(s / p for s in scales.coarse), float("inf")))
    ]
    return Noise(
        _lasting(white, tuple(fine), memory[:bands], ways, whole=True),
        _lasting(patches, tuple(coarse), memory[bands:], coarse_ways, whole=False),
    )


def _lasting(
    white: Float[Tensor, "member batch lead row col"],
    edges: Edges,
    memory: Float[Tensor, "band 1 1"],
    ways: Float[Tensor, "batch lead 2 row col"],
    *,
    whole: bool,
) -> Float[Tensor, "member batch lead band row col"]:
    """Return noise of each band, carried along."""
    rows, cols = white.shape[-2:]
    if not edges:
        return white[:, :, :, None][:, :, :, :0]
    filters = _filters(rows, cols, edges, white.dtype, white.device)
    waves, fresh = torch.fft.rfft2(white), (1 - memory**2).sqrt()
    state, carried = white.new_zeros(()), []
    for lead in range(white.shape[2]):
        new = torch.fft.irfft2(waves[:, :, lead, None] * filters, s=(rows, cols))
        state = new.addcmul_(memory, state)
        carried.append((_by_whole_pixels if whole else _between_pixels)(state, ways[:, lead]))
        if lead == 0:
            filters = filters * fresh  # what is new from now on
    return torch.stack(carried, dim=2)


@constant
def _filters(
    rows: int, cols: int, edges: Edges, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "band row _"]:
    """Return the factor of each wave in each band, for a variance of 1 in a band."""
    down = torch.fft.fftfreq(rows, dtype=dtype)[:, None]
    right = torch.fft.rfftfreq(cols, dtype=dtype)
    square = 2 * torch.pi**2 * (down**2 + right**2)

    def passed(edge: float) -> Tensor:
        # what nothing passes is the mean, of which a window has no noise
        return (square == 0).to(dtype) if edge == float("inf") else torch.exp(-square * edge**2)

    steep = torch.where(square > 0, square, 1).pow(-SPECTRAL_SLOPE / 4)
    filters = torch.stack([(passed(below) - passed(above)) * steep for below, above in edges])
    weight = torch.full((len(right),), 2.0, dtype=dtype)  # of a wave and its mirror image
    weight[0] = 1
    if cols % 2 == 0:
        weight[-1] = 1
    variance = (filters.square() * weight).sum(dim=(1, 2), keepdim=True) / (rows * cols)
    return (filters / variance.sqrt().clamp(min=1e-12)).to(device)


def _by_whole_pixels(
    maps: Float[Tensor, "member batch band row col"], way: Float[Tensor, "batch 2 row col"]
) -> Float[Tensor, "member batch band row col"]:
    """Carry maps that go on at the opposite edge, by whole pixels, which keep the variance."""
    rows, cols = maps.shape[-2:]
    whole = way.round().long()
    row = (torch.arange(rows, device=way.device)[:, None] - whole[:, 0]) % rows
    col = (torch.arange(cols, device=way.device) - whole[:, 1]) % cols
    places = (row * cols + col).flatten(1)[:, None].expand(*maps.shape[:3], -1)
    return maps.flatten(3).gather(3, places).reshape(maps.shape)


def _between_pixels(
    maps: Float[Tensor, "member batch band row col"], way: Float[Tensor, "batch 2 row col"]
) -> Float[Tensor, "member batch band row col"]:
    """Carry maps that go on at the opposite edge, cubic: whole coarse pixels would be jumps."""
    members, batch, bands, rows, cols = maps.shape
    flat = maps.transpose(0, 1).reshape(batch, members * bands, rows, cols)
    flat = pad(flat, (MARGIN,) * 4, mode="circular")
    row = (torch.arange(rows, dtype=way.dtype, device=way.device)[:, None] - way[:, 0]) % rows
    col = (torch.arange(cols, dtype=way.dtype, device=way.device) - way[:, 1]) % cols
    row, col = row + MARGIN, col + MARGIN
    places = (2 * col / (cols + 2 * MARGIN - 1) - 1, 2 * row / (rows + 2 * MARGIN - 1) - 1)
    moved = grid_sample(flat, torch.stack(places, -1), mode="bicubic", align_corners=True)
    return moved.reshape(batch, members, bands, rows, cols).transpose(0, 1)
