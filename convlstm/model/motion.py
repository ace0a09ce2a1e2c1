"""Motion of the context by optical flow, and the carrying of maps along it; batched, in torch.

Lucas and Kanade 1981, solved by iteration for all pairs of successive frames at once: a motion that
is constant over the context is what an extrapolation assumes, and noise averages out. Where too
little is seen, the motion of the whole frame takes over.
"""

from functools import partial
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate

from convlstm.model.grids import across, constant

PAIRS = 6  # of successive frames; over half an hour of radar the motion hardly changes
COARSENESS = (8, 4, 2)  # of the grids of the search; the first finds shifts of many pixels
ITERATIONS = 3  # on each grid
# With these two, of those in NOTES.md, training windows are extrapolated best.
REACH_PIXELS = 36  # to each side of the area that moves as one
PULL = 1.0  # of the motion of the whole frame, relative to the mean information of a pixel

Maps = Float[Tensor, "batch channel row col"]
Flow = Float[Tensor, "batch 2 row col"]
"""Rows downwards and columns to the right, in pixels."""


def motion(
    frames: Float[Tensor, "batch time row col"], seen: Float[Tensor, "batch time row col"]
) -> Flow:
    """Return the motion in pixels per frame.

    Args:
        frames: the context; its last frames count. With one frame the motion is 0.
        seen: 1 where a pixel is measured, else 0; what is there tells nothing.
    """
    frames, seen = frames[:, -1 - PAIRS :], seen[:, -1 - PAIRS :]
    size = frames.shape[-2:]
    flow = frames.new_zeros(len(frames), 2, 1, 1)
    for coarseness in COARSENESS:
        if min(size) < 2 * coarseness or frames.shape[1] < 2:
            continue
        weights = avg_pool2d(seen, coarseness)
        means = avg_pool2d(frames * seen, coarseness) / weights.clamp(min=1e-6)
        grid = means.shape[-2:]
        flow = interpolate(flow, grid, mode="bilinear", align_corners=False) / coarseness
        for _ in range(ITERATIONS):
            flow = _improved(flow, means, weights, REACH_PIXELS // coarseness)
        flow = flow * coarseness
    return interpolate(flow, size, mode="bilinear", align_corners=False)


def _improved(flow: Flow, frames: Maps, weights: Maps, reach: int) -> Flow:
    """Return the flow after one step of Gauss and Newton on the squared differences of all pairs.

    Args:
        flow: so far, in pixels of this grid.
        frames: successive, of this grid.
        weights: from 0 to 1, the measured part of each pixel.
        reach: of the area that moves as one, in pixels of this grid.
    """
    ahead = torch.cat((frames[:, 1:], weights[:, 1:]), dim=1)
    after, seen = carried(ahead, -flow).chunk(2, dim=1)
    before, weight = frames[:, :-1], weights[:, :-1] * seen
    down, right = torch.gradient((before + after) / 2, dim=(2, 3))
    change = after - before
    products = (down * down, right * right, down * right, down * change, right * change)
    sums = torch.stack([(weight * product).sum(dim=1) for product in products], dim=1)
    whole = sums.mean(dim=(2, 3), keepdim=True)
    trace = whole[:, :2].mean(dim=1, keepdim=True) + 1e-9
    common = flow.mean(dim=(2, 3), keepdim=True)
    common = common - _solution(whole, 1e-3 * trace, torch.zeros_like(common))
    return flow - _solution(blocks(sums, reach), PULL * trace, flow - common)


def _solution(
    sums: Float[Tensor, "batch 5 row col"], pull: Float[Tensor, "batch 1 1 1"], towards: Flow
) -> Flow:
    """Solve the normal equations of each pixel, pulled by `pull` towards a step of `towards`."""
    rows, cols, both, down, right = sums.unbind(dim=1)
    rows, cols = rows + pull[:, 0], cols + pull[:, 0]
    down, right = down + pull[:, 0] * towards[:, 0], right + pull[:, 0] * towards[:, 1]
    determinant = rows * cols - both * both
    return (
        torch.stack((cols * down - both * right, rows * right - both * down), dim=1)
        / (determinant[:, None])
    )


def blocks(maps: Maps, reach: int) -> Maps:
    """Return the mean over a square around each pixel that reaches so far to each side."""
    return across(maps, partial(_averaging, reach))


@constant
def _averaging(
    reach: int, size: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "size size"]:
    """Return the weight of each pixel of a line in the mean around each pixel."""
    places = torch.arange(size, device=device)
    near = ((places[:, None] - places).abs() <= reach).to(dtype)
    return near / near.sum(dim=1, keepdim=True)


def paths(flow: Flow, leads: int) -> Float[Tensor, "batch {leads} 2 row col"]:
    """Return for each lead time how far from each pixel its air lay at the last frame.

    Backward semi-Lagrangian with the motion kept constant, as Germann and Zawadzki 2002
    (doi:10.1175/1520-0493(2002)130<2859:SDOTPO>2.0.CO;2).
    """
    way, ways = torch.zeros_like(flow), []
    for _ in range(leads):
        way = way + carried(flow, way, padding="border")
        ways.append(way)
    return torch.stack(ways, dim=1)


def extrapolated(
    maps: Maps, ways: Float[Tensor, "batch lead 2 row col"]
) -> Float[Tensor, "batch lead channel row col"]:
    """Return the maps carried to each lead time along its path; what enters from outside is 0."""
    return torch.stack([carried(maps, way) for way in ways.unbind(dim=1)], dim=1)


def carried(maps: Maps, way: Flow, *, padding: str = "zeros", mode: str = "bilinear") -> Maps:
    """Return the maps at the places from which `way` leads to each pixel.

    Args:
        maps: to be carried.
        way: subtracted from the place of each pixel.
        padding: of places outside: zeros, or border for the nearest pixel inside.
        mode: of the interpolation: bilinear, or bicubic, which blurs less.
    """
    rows, cols = (
        torch.add(_unit(size, way.dtype, way.device), own, alpha=-2 / max(1, size - 1))
        for size, own in ((maps.shape[-2], way[:, 0].mT), (maps.shape[-1], way[:, 1]))
    )
    grid = torch.stack((cols, rows.mT), dim=-1)
    return grid_sample(maps, grid, mode=mode, padding_mode=padding, align_corners=True)


@constant
def _unit(size: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, " {size}"]:
    """Return the places of the pixels of a line as `grid_sample` counts them, from -1 to 1."""
    return 2 * torch.arange(size, dtype=dtype, device=device) / max(1, size - 1) - 1


def starts(way: Float[Tensor, "*lead 2 row col"]) -> Float[Tensor, "*lead 2 row col"]:
    """Return the row and column from which `way` leads to each pixel."""
    rows, cols = (torch.arange(size, dtype=way.dtype, device=way.device) for size in way.shape[-2:])
    return torch.stack((rows[:, None] - way[..., 0, :, :], cols - way[..., 1, :, :]), dim=-3)


def carried_maps(
    maps: Float[Tensor, "batch lead map row col"], ways: Float[Tensor, "batch lead 2 row col"]
) -> Float[Tensor, "batch lead map row col"]:
    """Carry the maps of each lead time along its path, bilinear; outside the edge's values go on.

    It is `carried`, whose backward pass on a GPU differs from run to run, made of four gathers,
    whose does not.
    """
    rows, cols = maps.shape[-2:]
    row, col = (
        place.clamp(0, size - 1)
        for place, size in zip(starts(ways).unbind(dim=2), (rows, cols), strict=True)
    )
    top, left = row.floor().clamp(max=max(0, rows - 2)), col.floor().clamp(max=max(0, cols - 2))
    down, right = row - top, col - left
    flat, total = maps.flatten(3), torch.zeros_like(maps)
    for step_down, step_right in product((0, 1), repeat=2):
        place_row = (top + step_down).clamp(max=rows - 1)
        places = place_row * cols + (left + step_right).clamp(max=cols - 1)
        weight = (down if step_down else 1 - down) * (right if step_right else 1 - right)
        index = places.long().flatten(2)[:, :, None].expand(*maps.shape[:3], -1)
        total = total + weight[:, :, None] * flat.gather(3, index).reshape(maps.shape)
    return total
