"""The basis of a forecast: all that is known before the network decides, the same for each member.

The motion of the context carries the last frame on to each lead time, split into bands of
wavelength. The network, which decides how far each band is to be trusted, sees the context carried
to the place of the last frame: there rain that only moves stands still, and what the network sees
is how it changes (Lagrangian coordinates, as Ritvanen et al. 2023,
doi:10.1109/JSTARS.2023.3238016).
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from convlstm.model import motion
from convlstm.model.grids import blur, blur_measured, enlarge, shrink
from convlstm.model.noise import Scales
from convlstm.patch.folding import fold

DRY_BELOW = 0.004  # of the value range: nothing, in bytes less than a step
STRENGTH_REACH = 2.0  # of the Gaussian within which the strength of a band is taken, in its scale
FLOW_UNIT_PIXELS = 8.0  # per frame, which enters the network as 1
LEAD_UNIT = 10.0  # frames
VARIATION_REACH_PIXELS = 16.0  # at least, or the edge of a shower would vary without a limit
LEAST_MEAN = 0.03  # of the value range: of less rain the deviation is no larger a part
BEYOND_UNIT_PIXELS = 32.0

Coarse = Float[Tensor, "batch lead row col"]


@dataclass(frozen=True)
class Basis:
    """The basis of the forecasts of a batch.

    `inputs` enter the network, one for each frame of the context and for each lead time. `fine` and
    `coarse` are the bands of the last frame, carried to each lead time; they add up to the frame.
    `strength` is the deviation of each band nearby, `variation` the same as a part of the mean
    nearby, and `dry` the part nearby where nothing falls: there a value may lie below what can be
    seen. A forecast without noise has none of the three. `inside` is 1 where the air comes from the
    frame, and `beyond` how far from the frame it comes. The `ways` lead back to the last frame, in
    pixels.
    """

    inputs: Float[Tensor, "batch time entering row col"]
    fine: Float[Tensor, "batch lead fineband channel pixelrow pixelcol"]
    coarse: Float[Tensor, "batch lead coarseband channel row col"]
    strength: Float[Tensor, "batch lead band channel row col"] | None
    variation: Float[Tensor, "batch lead band channel row col"] | None
    dry: Float[Tensor, "batch lead channel row col"] | None
    inside: Coarse
    beyond: Coarse
    ways: Float[Tensor, "batch lead 2 pixelrow pixelcol"]
    coarse_ways: Float[Tensor, "batch lead 2 row col"]

    @property
    def leads(self) -> int:
        """The number of lead times."""
        return self.ways.shape[1]


def inputs_of(channels: int) -> int:
    """Return the channels of `Basis.inputs`, for as many channels of a folded frame."""
    missing, lead, flow = 1, 1, 2
    return channels + missing + lead + flow


@torch.no_grad()
def basis_of(
    context: Float[Tensor, "batch known channel pixelrow pixelcol"],
    mask: Bool[Tensor, "batch known channel pixelrow pixelcol"],
    leads: int,
    scales: Scales,
) -> Basis:
    """Return the basis of the forecasts of a batch.

    Args:
        context: frames in pixels, in [0, 1].
        mask: of measured pixels.
        leads: the number of lead times.
        scales: between the bands.
    """
    p, known = scales.patch_size, context.shape[1]
    measured = mask.to(context.dtype)  # once, as a product with what is true or false is slow
    seen = measured.amin(dim=2)
    context = context * measured
    flow = motion.motion(context.mean(dim=2), seen)
    paths = motion.paths(flow, max(leads, known - 1))
    ways, coarse_ways = paths[:, :leads], shrink(paths[:, :leads], p) / p
    last, smooth = _filled(context[:, -1], measured[:, -1], scales)
    finest = _finest(last, scales)
    bands = _Bands(last, finest, smooth, seen[:, -1:], scales)
    fine, coarse, inside = bands.carried(ways, coarse_ways)
    strength, variation, dry = (None,) * 3 if not scales.noisy else bands.nearby(coarse_ways)
    return Basis(
        _inputs(torch.cat((context, seen[:, :, None]), dim=2), flow, paths, leads, p),
        fine,
        coarse,
        strength,
        variation,
        dry,
        inside,
        _beyond(coarse_ways) * p / BEYOND_UNIT_PIXELS,
        ways,
        coarse_ways,
    )


def _filled(
    last: Float[Tensor, "batch channel pixelrow pixelcol"],
    measured: Float[Tensor, "batch channel pixelrow pixelcol"],
    scales: Scales,
) -> tuple[
    Float[Tensor, "batch channel pixelrow pixelcol"], Float[Tensor, "batch channel row col"]
]:
    """Return the last frame, filled where nothing was measured, and its smoothest band.

    With noise, the smoothest band reaches into what was not measured and beyond the edge: a frame
    that ended there would end in a straight line.
    """
    p = scales.patch_size
    means = shrink(last, p)
    if not scales.coarse:
        return last, torch.zeros_like(means)
    smooth = blur_measured(means, shrink(measured, p), scales.coarse[-1] / p)
    return last + (1 - measured) * enlarge(smooth, p), smooth


def _finest(
    last: Float[Tensor, "batch channel pixelrow pixelcol"], scales: Scales
) -> list[Float[Tensor, "batch channel pixelrow pixelcol"]]:
    """Return the bands that Gaussians part on the grid of pixels."""
    smooth = [last, *(blur(last, scale) for scale in scales.fine)]
    return [finer - coarser for finer, coarser in pairwise(smooth)]


@dataclass(frozen=True)
class _Bands:
    """The last frame and its finest bands, from which all bands are split at any lead time."""

    last: Float[Tensor, "batch channel pixelrow pixelcol"]
    finest: list[Float[Tensor, "batch channel pixelrow pixelcol"]]
    smooth: Float[Tensor, "batch channel row col"]
    seen: Float[Tensor, "batch 1 pixelrow pixelcol"]
    scales: Scales

    def carried(
        self,
        ways: Float[Tensor, "batch lead 2 pixelrow pixelcol"],
        coarse_ways: Float[Tensor, "batch lead 2 row col"],
    ) -> tuple[
        Float[Tensor, "batch lead fineband channel pixelrow pixelcol"],
        Float[Tensor, "batch lead coarseband channel row col"],
        Coarse,
    ]:
        """Return the fine and the coarse bands at each lead time, and what comes from the frame.

        The frame is carried before it is split, because an interpolation between patches would
        blur it, and cubic, which keeps the finest band.
        """
        channels, p = self.last.shape[1], self.scales.patch_size
        maps = torch.cat((self.last, *self.finest, self.seen), dim=1)
        moved = torch.stack(
            [motion.carried(maps, way, mode="bicubic") for way in ways.unbind(1)], dim=1
        )
        inside = moved[:, :, -1:].clamp(0, 1)
        outside = enlarge(_along(self.smooth[:, None], coarse_ways)[:, :, 0], p)
        frames = moved[:, :, :channels] + (1 - inside) * outside
        batch, leads = frames.shape[:2]
        flat = moved[:, :, channels:-1].flatten(0, 1)
        finest = flat.reshape(len(flat), len(self.scales.fine), channels, *flat.shape[-2:])
        fine, coarse = self._split(frames.flatten(0, 1), list(finest.unbind(1)))
        near = shrink(inside, p)[:, :, 0]
        return (
            fine.reshape(batch, leads, *fine.shape[1:]),
            coarse.reshape(batch, leads, *coarse.shape[1:]),
            near,
        )

    def _split(
        self,
        frames: Float[Tensor, "batch channel pixelrow pixelcol"],
        finest: list[Float[Tensor, "batch channel pixelrow pixelcol"]],
    ) -> tuple[
        Float[Tensor, "batch fineband channel pixelrow pixelcol"],
        Float[Tensor, "batch coarseband channel row col"],
    ]:
        """Split frames, of which the finest bands are known, into all bands."""
        p = self.scales.patch_size
        means = shrink(frames, p)
        smooth = [means, *(blur(means, scale / p) for scale in self.scales.coarse)]
        coarse = [finer - coarser for finer, coarser in pairwise(smooth)]
        fine = frames[:, None][:, :0]
        if p > 1:
            rest = frames - enlarge(means, p) - sum(finest, torch.zeros_like(frames))
            fine = torch.stack([*finest, rest], dim=1)
        return fine, torch.stack([*coarse, smooth[-1]], dim=1)

    def nearby(
        self, coarse_ways: Float[Tensor, "batch lead 2 row col"]
    ) -> tuple[
        Float[Tensor, "batch lead band channel row col"],
        Float[Tensor, "batch lead band channel row col"],
        Float[Tensor, "batch lead channel row col"],
    ]:
        """Return strength, variation and the dry part at each lead time."""
        own = (*self._strength_and_variation(), self._dry()[:, None])
        moved = _along(torch.cat(own, dim=1), coarse_ways)
        strength, variation, dry = moved.split_with_sizes([len(part[0]) for part in own], dim=2)
        return strength, variation, dry[:, :, 0]

    def _strength_and_variation(
        self,
    ) -> tuple[
        Float[Tensor, "batch band channel row col"], Float[Tensor, "batch band channel row col"]
    ]:
        """Return the deviation of each band around each patch, taken over its own scale.

        The second is the deviation as a part of the mean, both taken over a wider area.
        """
        p = self.scales.patch_size
        fine, coarse = self._split(self.last, self.finest)
        power = torch.cat((shrink(fine.square(), p), coarse.square()), dim=1)
        measured = shrink(self.seen, p).expand_as(power[:, 0])
        levels, weights = shrink(self.last, p), torch.cat((measured, measured), dim=1)
        strengths, variations = [], []
        for own, top in zip(power.unbind(1), self.scales.tops, strict=True):
            near = max(STRENGTH_REACH * top, float(p)) / p
            strengths.append(blur_measured(own * measured, measured, near).sqrt())
            far, both = max(near, VARIATION_REACH_PIXELS / p), torch.cat((own, levels), dim=1)
            square, mean = blur_measured(both * weights, weights, far).chunk(2, dim=1)
            variations.append(square.sqrt() / (mean + LEAST_MEAN))
        return torch.stack(strengths, dim=1), torch.stack(variations, dim=1)

    def _dry(self) -> Float[Tensor, "batch channel row col"]:
        """Return the part around each patch where nothing falls."""
        p = self.scales.patch_size
        scale = max((*self.scales.coarse[:1], 2.0 * p)) / p
        return blur(shrink((self.last <= DRY_BELOW).to(self.last.dtype), p), scale)


def _along(
    maps: Float[Tensor, "batch band channel row col"],
    ways: Float[Tensor, "batch lead 2 row col"],
) -> Float[Tensor, "batch lead band channel row col"]:
    """Carry smooth maps to each lead time; beyond the edge they are those of the edge."""
    flat = maps.flatten(1, 2)
    moved = [motion.carried(flat, way, padding="border") for way in ways.unbind(1)]
    return torch.stack(moved, dim=1).reshape(len(maps), len(moved), *maps.shape[1:])


def _beyond(ways: Float[Tensor, "batch lead 2 row col"]) -> Coarse:
    """Return how far outside of the grid each path begins, in pixels of this grid."""
    total = torch.zeros_like(ways[:, :, 0])
    for start, size in zip(motion.starts(ways).unbind(dim=2), ways.shape[-2:], strict=True):
        total += (start - start.clamp(0, size - 1)).square()
    return total.sqrt()


def _inputs(
    seen: Float[Tensor, "batch known map pixelrow pixelcol"],
    flow: Float[Tensor, "batch 2 pixelrow pixelcol"],
    paths: Float[Tensor, "batch way 2 pixelrow pixelcol"],
    leads: int,
    patch_size: int,
) -> Float[Tensor, "batch time entering row col"]:
    """Return the context, carried to the last frame, and that frame again for each lead time.

    After the frame come the missing part of each patch, the lead time and the motion. Where nothing
    is missing it is 0, and the pixels of a patch, which are much alike, together weigh as one: what
    many weights multiply by the same number would be learnt too fast, and shut the gates for good.

    Args:
        seen: the channels of each frame of the context, and what of it is measured.
        flow: the motion.
        paths: along it.
        leads: the number of lead times.
        patch_size: the side of a patch.
    """
    batch, known = seen.shape[:2]
    earlier = [
        motion.carried(frames, paths[:, known - 2 - time])
        for time, frames in enumerate(seen[:, :-1].unbind(1))
    ]
    moved = torch.stack([*earlier, seen[:, -1]], dim=1)
    frames, measured = fold(moved[:, :, :-1], patch_size), shrink(moved[:, :, -1:], patch_size)
    grid = frames.shape[-2:]
    lead = (torch.arange(known + leads, device=flow.device) - known + 1).clamp(min=0) / LEAD_UNIT
    parts = [
        _with_last(frames / patch_size, leads),
        _with_last(1 - measured, leads),
        lead.to(flow.dtype)[:, None, None, None].expand(batch, -1, 1, *grid),
        (shrink(flow, patch_size)[:, None] / FLOW_UNIT_PIXELS).expand(batch, len(lead), 2, *grid),
    ]
    return torch.cat(parts, dim=2)


def _with_last(
    maps: Float[Tensor, "batch known map row col"], leads: int
) -> Float[Tensor, "batch time map row col"]:
    """Return maps in time, the last of which stay for each lead time."""
    return torch.cat((maps, maps[:, -1:].expand(-1, leads, -1, -1, -1)), dim=1)
