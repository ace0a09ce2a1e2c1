"""The readout `cascade`: the last frame, carried on, loses its scales one after the other to noise.

Untrained it is the nowcasting system STEPS (Bowler, Pierce and Seed 2006, doi:10.1256/qj.04.100).
The last frame is split into bands of wavelength. Each is carried along the motion of the context
and forgotten with a lifetime of its own; noise of the same wavelengths, as strong as the band is
nearby, takes the place of what is forgotten. At lead time k, with C the carried bands, N noise of
variance 1 that changes with the band's lifetime, and S the strength of the band nearby:

    frame(k) = sum over bands of a C + s sqrt(1 - a^2) S N, plus d, all clipped to [0, 1]
    a = exp(-k / lifetime exp(GAIN r)), s = exp(GAIN q)

The network gives r, q and d as coarse maps, which are zero before training. It learns where rain
grows and decays, and how far it may be trusted, and cannot paint patches. Without `scales` there is
one band that never fades of itself, and no noise: the readout `motion`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from convlstm.model import motion
from convlstm.patch.folding import fold

FIRST_LIFETIME, LIFETIME_GROWTH = 1.5, 2.5  # frames, and per band; as radar has them at 5 minutes
GAIN = 3.0  # of the network's maps in exponents, so that the first steps of training are felt
CHANGE_GAIN = 0.25  # of the network's map of change
ENDLESS_LIFETIME = 1e6  # of the one band of the readout `motion`
OUTSIDE_STRENGTH = 0.03  # of noise in what flows in from outside, before training

Noise = Float[Tensor, "member batch lead band pixelrow pixelcol"]
"""Noise has no channels: they change together."""


@dataclass(frozen=True)
class Basis:
    """The parts that every member of a forecast has, beside what the network decides.

    `bands` are carried to each lead time, along `ways`; `inside` is 1 where the air comes from a
    measured pixel. `strength` is that of the noise in each band, as carried; without noise there is
    none.
    """

    bands: Float[Tensor, "batch lead band channel row col"]
    strength: Float[Tensor, "batch lead band channel row col"] | None
    inside: Float[Tensor, "batch lead 1 row col"]
    flow: Float[Tensor, "batch 2 row col"]
    ways: Float[Tensor, "batch lead 2 row col"]


class Cascade(nn.Module):
    """The bands, and what is learnt of each as a whole.

    Args:
        scales: standard deviations of the Gaussians between the bands, in pixels, ascending.
    """

    def __init__(self, scales: tuple[float, ...]) -> None:
        super().__init__()
        self.scales = scales
        count = len(scales) + 1
        growth = LIFETIME_GROWTH ** torch.arange(count)
        first = FIRST_LIFETIME if scales else ENDLESS_LIFETIME
        self.log_lifetime = nn.Parameter((first * growth).log())
        if scales:
            self.log_outside = nn.Parameter(torch.full((count,), OUTSIDE_STRENGTH).log())

    @property
    def bands(self) -> int:
        """The number of bands."""
        return len(self.scales) + 1

    @property
    def maps_per_channel(self) -> int:
        """The number of maps for each channel of a frame: r and d, and with noise q."""
        return 2 * self.bands + 1 if self.scales else self.bands + 1

    @property
    def inputs(self) -> int:
        """The number of channels that enter beside a frame: those that `entering` joins."""
        measured, lead, flow = 1, 1, 2
        return measured + lead + flow + (self.bands if self.scales else 0)

    @torch.no_grad()
    def basis(
        self,
        context: Float[Tensor, "batch known channel row col"],
        mask: Bool[Tensor, "batch known channel row col"],
        leads: int,
    ) -> Basis:
        """Return the basis of the forecasts of a batch.

        Args:
            context: frames in pixels, in [0, 1].
            mask: of measured pixels.
            leads: the number of lead times.
        """
        seen = mask.all(dim=2)
        flow = motion.motion(context.mean(dim=2), seen)
        ways = motion.paths(flow, leads)
        bands = self.split(context[:, -1] * mask[:, -1])
        strength = self._strength(bands) if self.scales else None

        def carried(maps: Tensor) -> Tensor:
            moved = motion.extrapolated(maps.flatten(1, -3), ways)
            return moved.reshape(*moved.shape[:2], *maps.shape[1:])

        return Basis(
            carried(bands),
            None if strength is None else carried(strength),
            carried(seen[:, -1, None].to(context.dtype)),
            flow,
            ways,
        )

    def _strength(
        self, bands: Float[Tensor, "batch band channel row col"]
    ) -> Float[Tensor, "batch band channel row col"]:
        """Return the deviation of each band within twice the largest scale of each pixel."""
        power = blur(bands.square().flatten(1, 2), 2 * self.scales[-1])
        return power.sqrt().reshape(bands.shape)

    @torch.no_grad()
    def entering(
        self,
        context: Float[Tensor, "batch known channel row col"],
        mask: Bool[Tensor, "batch known channel row col"],
        basis: Basis,
        noise: Noise,
    ) -> Float[Tensor, "memberbatch time entering row col"]:
        """Return the input of each step: of the context, then of each lead time.

        After the frame of the context, or the last frame carried on, come the measured part of each
        patch, the lead time, the motion and the noise.
        """
        (batch, known), grid = context.shape[:2], context.shape[-2:]
        patch_size, (members, _, leads) = basis.bands.shape[-2] // grid[0], noise.shape[:3]
        carried = fold(basis.bands.sum(dim=2), patch_size)
        measured = mask.to(context.dtype).mean(dim=2, keepdim=True)
        lead = (torch.arange(known + leads, device=context.device) - known + 1).clamp(min=0) / 10
        flow = shrink(basis.flow, patch_size)[:, None] / 8
        parts = [
            torch.cat((context, carried), dim=1),
            torch.cat((measured, shrink(basis.inside, patch_size)), dim=1),
            lead[:, None, None, None].expand(batch, -1, 1, *grid),
            flow.expand(batch, known + leads, 2, *grid),
        ]
        common = torch.cat(parts, dim=2).expand(members, *[-1] * 5)
        later = pad(shrink(noise, patch_size), (0, 0, 0, 0, 0, 0, known, 0))
        return torch.cat((common, later), dim=3).flatten(0, 1)

    def split(
        self, frames: Float[Tensor, "batch channel row col"]
    ) -> Float[Tensor, "batch band channel row col"]:
        """Split frames into bands, the finest first; they add up to the frame."""
        smooth = [frames, *(blur(frames, scale) for scale in self.scales)]
        fine = [above - below for above, below in pairwise(smooth)]
        return torch.stack([*fine, smooth[-1]], dim=1)

    @torch.no_grad()
    def noise(
        self,
        white: Float[Tensor, "member batch lead row col"],
        ways: Float[Tensor, "batch lead 2 row col"],
    ) -> Noise:
        """Split white noise into bands of variance 1 that move along and live as long as rain.

        The readout `motion` has no band of noise.
        """
        if not self.scales:
            return white[:, :, :, None][:, :, :, :0]
        rows, cols = white.shape[-2:]
        filters = self._filters(rows, cols, white.device)
        waves = torch.fft.rfft2(white)
        memory = torch.exp(-torch.exp(-self.log_lifetime))[:, None, None]
        fresh = (1 - memory**2).sqrt()
        state, carried = None, []
        for lead in range(white.shape[2]):
            new = torch.fft.irfft2(waves[:, :, lead, None] * filters, s=(rows, cols))
            state = new if state is None else memory * state + fresh * new
            carried.append(_around(state, ways[:, lead]))
        return torch.stack(carried, dim=2)

    def _filters(self, rows: int, cols: int, device: torch.device) -> Float[Tensor, "band row _"]:
        """Return the factor of each wave in each band, for a variance of 1 in a band."""
        down = torch.fft.fftfreq(rows, device=device)[:, None]
        right = torch.fft.rfftfreq(cols, device=device)
        square = 2 * torch.pi**2 * (down**2 + right**2)
        passed = [torch.exp(-square * scale**2) for scale in (0.0, *self.scales)]
        fine = [above - below for above, below in pairwise(passed)]
        filters = torch.stack([*fine, passed[-1]])
        weight = torch.full((len(right),), 2.0, device=device)  # of a wave and its mirror image
        weight[0] = 1
        if cols % 2 == 0:
            weight[-1] = 1
        variance = (filters.square() * weight).sum(dim=(1, 2), keepdim=True) / (rows * cols)
        return filters / variance.sqrt()

    def forward(
        self,
        maps: Float[Tensor, "memberbatch lead map coarserow coarsecol"],
        basis: Basis,
        noise: Noise,
    ) -> Float[Tensor, "member batch lead channel row col"]:
        """Return the members of the forecast, in pixels and clipped.

        Args:
            maps: of the network, for each channel r of all bands, q of all bands and d.
            basis: of the same batch.
            noise: of each member.
        """
        (members, batch, leads), count = noise.shape[:3], self.bands
        channels, (rows, cols) = basis.bands.shape[3], basis.bands.shape[-2:]
        parts = maps.reshape(-1, channels, self.maps_per_channel, *maps.shape[-2:])
        lead = torch.arange(1, leads + 1, device=maps.device).repeat(members * batch)
        age = lead[:, None, None, None, None] / self.log_lifetime.exp()[:, None, None]
        kept = torch.exp(-age * torch.exp(GAIN * parts[:, :, :count]))
        weights = [kept, CHANGE_GAIN * parts[:, :, -1:]]
        if basis.strength is not None:
            # The least keeps the gradient of the square root finite.
            gain = torch.exp(GAIN * parts[:, :, count:-1])
            weights.append((1 - kept**2).clamp(min=1e-6).sqrt() * gain)
        fine = enlarge(torch.cat(weights, dim=2).flatten(1, 2), (rows, cols))
        fine = fine.reshape(members, batch, leads, channels, -1, rows, cols).transpose(3, 4)
        frames = (fine[:, :, :, :count] * basis.bands).sum(dim=3) + fine[:, :, :, count]
        if basis.strength is not None:
            outside = (1 - basis.inside[:, :, None]) * self.log_outside.exp()[:, None, None, None]
            noisy = noise[:, :, :, :, None] * (basis.strength + outside)
            frames = frames + (fine[:, :, :, count + 1 :] * noisy).sum(dim=3)
        return Clip.apply(frames)  # type: ignore[no-untyped-call,no-any-return]


class Clip(torch.autograd.Function):
    """Clipping to [0, 1] whose gradient lets a value outside come back, but not go farther out."""

    @staticmethod
    def forward(ctx, frames: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        """Return the clipped frames."""
        ctx.save_for_backward(frames)
        return frames.clamp(0, 1)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        """Return the gradient where it leads inwards or the value is inside."""
        (frames,) = ctx.saved_tensors
        outwards = ((frames < 0) & (grad > 0)) | ((frames > 1) & (grad < 0))
        return grad.masked_fill(outwards, 0)


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
        count = min(together, members - done)
        white = torch.stack([torch.randn(shape, generator=generator) for _ in range(count)])
        yield white if members > 1 else torch.zeros_like(white)


def blur(maps: Float[Tensor, "batch channel row col"], scale: float) -> Tensor:
    """Blur by a Gaussian of standard deviation `scale` pixels; outside is the edge's value."""
    reach = round(3 * scale)
    places = torch.arange(-reach, reach + 1, dtype=maps.dtype, device=maps.device)
    kernel = torch.exp(-(places**2) / (2 * scale**2))
    kernel = kernel / kernel.sum()
    flat = maps.flatten(0, 1)[:, None]
    flat = conv2d(pad(flat, (0, 0, reach, reach), mode="replicate"), kernel[None, None, :, None])
    flat = conv2d(pad(flat, (reach, reach, 0, 0), mode="replicate"), kernel[None, None, None])
    return flat.reshape(maps.shape)


def enlarge(maps: Float[Tensor, "batch map _ _"], size: tuple[int, int]) -> Tensor:
    """Return the coarse maps at each pixel, bilinear, so that no patch has an edge."""
    return interpolate(maps, size, mode="bilinear", align_corners=False)


def shrink(maps: Float[Tensor, "*lead row col"], patch_size: int) -> Tensor:
    """Return the means of patches."""
    flat = avg_pool2d(maps.flatten(0, -3)[:, None], patch_size)
    return flat.reshape(*maps.shape[:-2], *flat.shape[-2:])


def _around(
    maps: Float[Tensor, "member batch band row col"], way: Float[Tensor, "batch 2 row col"]
) -> Float[Tensor, "member batch band row col"]:
    """Carry maps that go on at the opposite edge, by whole pixels, which keep the variance."""
    rows, cols = maps.shape[-2:]
    whole = way.round().long()
    row = (torch.arange(rows, device=way.device)[:, None] - whole[:, 0]) % rows
    col = (torch.arange(cols, device=way.device) - whole[:, 1]) % cols
    places = (row * cols + col).flatten(1)[:, None].expand(*maps.shape[:3], -1)
    return maps.flatten(3).gather(3, places).reshape(maps.shape)
