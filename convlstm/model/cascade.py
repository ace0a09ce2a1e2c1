"""The readout `cascade`: the last frame, carried on, loses its scales one after the other to noise.

Untrained it is close to the nowcasting system STEPS (Bowler, Pierce and Seed 2006,
doi:10.1256/qj.04.100). The last frame is split into bands of wavelength. Each is carried along the
motion of the context and forgotten with a lifetime of its own; noise of the same wavelengths, as
strong as the band is nearby, takes the place of what is forgotten. At lead time k, with B a carried
band, N noise of variance 1 that changes with the band's lifetime, S the strength of the band nearby
and V the same as a part of the mean nearby, and Z the dry part nearby, where a value may lie below
what can be seen, the bands are added from the coarsest, and x is the sum of those before:

    x(k) = d - e depth Z at first, then + a B + sqrt(1 - a^2) s A N
    A = S + floor + (share + part V) max(x, 0)
    a = exp(-k / lifetime exp(GAIN r)), s = exp(GAIN q), e = exp(GAIN z)

The frame is x after the finest band, clipped to [0, 1]. Where a member has more rain, its details
are stronger, as in a multiplicative cascade; the share gives details to rain that it invents where
there was none. The network gives r, q, z and d as coarse maps, which are zero before training and
move with the rain. It learns where rain grows and decays and how far it may be trusted, cannot
paint patches, and runs once for all members. Without `scales` nothing fades of itself, and there is
no noise: the readout `motion`.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from convlstm.model import motion
from convlstm.model.basis import Basis
from convlstm.model.grids import enlarge
from convlstm.model.noise import Noise, Scales, bands_of

FIRST_LIFETIME, LIFETIME_GROWTH = 1.5, 2.1  # frames, and per band; as radar has them at 5 minutes
GAIN = 3.0  # of the network's maps in exponents, so that the first steps of training are felt
GLOBAL_GAIN = 10.0  # of what is learnt of a band as a whole, of which Adam moves each number slowly
CHANGE_GAIN = 0.25  # of the network's map of change
ENDLESS_LIFETIME = 1e6  # of the bands of the readout `motion`
FIRST_FLOOR, FLOOR_GROWTH = 0.004, 2.0  # of the value range, and per band; before training
FIRST_DEPTH = 0.1  # of the value range
FIRST_SHARE = 0.05
FIRST_PART = 0.2


class Decided(NamedTuple):
    """The decisions of the network on each band, at the place of the rain at each lead time.

    `kept` is a and `loud` is sqrt(1 - a^2) s in the equation; `offset` is e depth. A forecast
    without noise has only the first two.
    """

    kept: Float[Tensor, "batch lead band channel row col"]
    change: Float[Tensor, "batch lead channel row col"]
    offset: Float[Tensor, "batch lead channel row col"] | None
    loud: Float[Tensor, "batch lead band channel row col"] | None


class Cascade(nn.Module):
    """The bands, and what is learnt of each as a whole.

    Args:
        scales: standard deviations of the Gaussians between the bands, in pixels, ascending.
        patch_size: the side of a patch, in pixels.
    """

    def __init__(self, scales: tuple[float, ...], patch_size: int) -> None:
        super().__init__()
        self.scales = Scales.of(scales, patch_size)
        self.log_lifetime = nn.Parameter(torch.zeros(self.bands))
        self.outside = nn.Parameter(torch.zeros(2, self.maps_per_channel))
        if self.scales.noisy:
            self.log_floor = nn.Parameter(torch.zeros(self.bands))
            self.log_depth = nn.Parameter(torch.zeros(()))
            self.log_share = nn.Parameter(torch.zeros(self.bands))
            self.log_part = nn.Parameter(torch.zeros(self.bands))

    @property
    def bands(self) -> int:
        """The number of bands."""
        return self.scales.fine_bands + self.scales.coarse_bands

    @property
    def maps_per_channel(self) -> int:
        """The number of maps for each channel of a frame: d and r, and with noise z and q."""
        return 2 * self.bands + 2 if self.scales.noisy else self.bands + 1

    def lifetimes(self) -> Float[Tensor, " band"]:
        """Return the lifetime of each band, in frames."""
        growth = LIFETIME_GROWTH ** torch.arange(self.bands, device=self.log_lifetime.device)
        first = FIRST_LIFETIME if self.scales.noisy else ENDLESS_LIFETIME
        return first * growth * torch.exp(GLOBAL_GAIN * self.log_lifetime)

    def noise(
        self, white: Float[Tensor, "member batch lead pixelrow pixelcol"], basis: Basis
    ) -> Noise:
        """Return the noise of each band that white noise holds."""
        return bands_of(white, basis.ways, self.scales, self.lifetimes())

    def forward(
        self,
        maps: Float[Tensor, "batch lead map row col"],
        basis: Basis,
        white: Float[Tensor, "member batch lead pixelrow pixelcol"],
    ) -> Float[Tensor, "member batch lead channel pixelrow pixelcol"]:
        """Return the members of the forecast, in pixels and clipped.

        Args:
            maps: of the network, for each channel d, r of all bands, and with noise z and q of all
                bands; at the place of the last frame.
            basis: of the same batch.
            white: noise of each member.
        """
        decided = self._decided(maps, basis)
        p, fine = self.scales.patch_size, self.scales.fine_bands
        known = decided.kept[:, :, fine:] * basis.coarse
        details = (enlarge(decided.kept[:, :, :fine], p) * basis.fine).sum(dim=2)
        if self.scales.noisy:
            frames = self._with_noise(known, details, decided, basis, self.noise(white, basis))
        else:
            only = enlarge(known.sum(dim=2) + decided.change, p) + details
            frames = only.expand(len(white), *only.shape)
        return frames.clamp(0, 1)

    def _decided(self, maps: Float[Tensor, "batch lead map row col"], basis: Basis) -> Decided:
        """Return what the maps of the network decide."""
        change, fading, *noisy = self._at_lead(maps, basis).split_with_sizes(self._parts(), dim=2)
        lead = torch.arange(1, basis.leads + 1, device=maps.device)[:, None, None, None, None]
        age = lead / self.lifetimes()[:, None, None, None]
        kept = torch.exp(-age * torch.exp(GAIN * fading))
        offset = loud = None
        if self.scales.noisy:
            depth = GLOBAL_GAIN * self.log_depth + GAIN * noisy[0][:, :, 0]
            offset = FIRST_DEPTH * torch.exp(depth)
            # The least keeps the gradient of the square root finite.
            lost = (1 - kept**2).clamp(min=1e-6).sqrt()
            loud = lost * torch.exp(GAIN * noisy[1])
        return Decided(kept, CHANGE_GAIN * change[:, :, 0], offset, loud)

    def _with_noise(
        self,
        known: Float[Tensor, "batch lead coarseband channel row col"],
        details: Float[Tensor, "batch lead channel pixelrow pixelcol"],
        decided: Decided,
        basis: Basis,
        noise: Noise,
    ) -> Float[Tensor, "member batch lead channel pixelrow pixelcol"]:
        """Add up the bands, the coarsest first, each with its noise."""
        assert basis.strength is not None
        assert basis.variation is not None
        assert basis.dry is not None
        assert decided.offset is not None
        assert decided.loud is not None
        p, fine, loud = self.scales.patch_size, self.scales.fine_bands, decided.loud
        growth = FLOOR_GROWTH ** torch.arange(self.bands, device=known.device)
        floor = FIRST_FLOOR * growth * torch.exp(GLOBAL_GAIN * self.log_floor)
        share = FIRST_SHARE * torch.exp(GLOBAL_GAIN * self.log_share)
        part = FIRST_PART * torch.exp(GLOBAL_GAIN * self.log_part)
        relative = share[:, None, None, None] + part[:, None, None, None] * basis.variation
        strength = basis.strength + floor[:, None, None, None]
        start = decided.change - decided.offset * basis.dry
        total = start.expand(len(noise.fine), *start.shape)

        def amplitude(band: int) -> Tensor:
            return loud[:, :, band] * (strength[:, :, band] + relative[:, :, band] * total.relu())

        for band in reversed(range(fine, self.bands)):
            own = noise.coarse[:, :, :, band - fine, None]
            total = total + known[:, :, band - fine] + amplitude(band) * own
        frames = enlarge(total, p) + details
        for band in range(fine):
            frames = frames + enlarge(amplitude(band), p) * noise.fine[:, :, :, band, None]
        return frames

    def _parts(self) -> list[int]:
        """Return the numbers of maps of d, r, z and q."""
        return [1, self.bands, 1, self.bands] if self.scales.noisy else [1, self.bands]

    def _at_lead(
        self, maps: Float[Tensor, "batch lead map row col"], basis: Basis
    ) -> Float[Tensor, "batch lead partmap channel row col"]:
        """Return the maps where the rain is at each lead time.

        Outside of the frame the edge's maps go on, changed by what is learnt of there.
        """
        moved = motion.carried_maps(maps, basis.coarse_ways)
        moved = moved.reshape(*moved.shape[:2], -1, self.maps_per_channel, *moved.shape[3:])
        outside = GLOBAL_GAIN / GAIN * self.outside[..., None, None, None]
        beyond = basis.beyond[:, :, None, None]
        there = (1 - basis.inside[:, :, None, None]) * outside[0] + beyond * outside[1]
        return moved.transpose(2, 3) + there
