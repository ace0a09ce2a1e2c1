"""The grid of pixels and the coarse grid of patches: means, interpolation and blurs on them.

Every step of it has a gradient that is the same each time on a GPU, too.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, partial, wraps
from typing import ParamSpec

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv1d, interpolate, pad

Weights = Callable[[int, torch.dtype, torch.device], Float[Tensor, "new old"]]
"""Makes the weights of the pixels of a line of so many in each pixel of the new line."""
P = ParamSpec("P")
_held: ContextVar[list[Tensor] | None] = ContextVar("held", default=None)


def constant(make: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Make a tensor once for each choice of arguments; every call would wait for a copy of it."""
    made = lru_cache(maxsize=64)(make)  # all arguments are sizes, types and devices

    @wraps(make)
    def found(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        value = made(*args, **kwargs)  # type: ignore[arg-type] # it cannot tell that they are hashable
        if (held := _held.get()) is not None:
            held.append(value)
        return value

    return found


@contextmanager
def held_constants() -> Iterator[list[Tensor]]:
    """Collect the constants that the block uses, for whoever needs them longer than the cache."""
    held: list[Tensor] = []
    before = _held.set(held)
    try:
        yield held
    finally:
        _held.reset(before)


def shrink(
    maps: Float[Tensor, "*lead pixelrow pixelcol"], patch_size: int
) -> Float[Tensor, "*lead row col"]:
    """Return the means of patches."""
    flat = avg_pool2d(maps.flatten(0, -3)[:, None], patch_size)
    return flat.reshape(*maps.shape[:-2], *flat.shape[-2:])


def enlarge(
    maps: Float[Tensor, "*lead row col"], patch_size: int
) -> Float[Tensor, "*lead pixelrow pixelcol"]:
    """Return coarse maps at each pixel, bilinear, so that no patch has an edge."""
    return across(maps, partial(_interpolation, patch_size))


def across(maps: Float[Tensor, "*lead row col"], weights: Weights) -> Float[Tensor, "*lead _ _"]:
    """Return maps of which each line, down and then across, is a weighted sum of the others.

    It is a product with a matrix for each side, whose backward pass is one too.
    """
    down, right = (weights(size, maps.dtype, maps.device) for size in maps.shape[-2:])
    return down @ (maps @ right.T)


@constant
def _interpolation(
    patch_size: int, size: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "pixel coarsepixel"]:
    """Return the weight of each coarse pixel in each pixel of a line."""
    lines = torch.eye(size, dtype=dtype)[:, None]
    longer = interpolate(lines, size * patch_size, mode="linear", align_corners=False)
    return longer[:, 0].T.to(device)


def blur(
    maps: Float[Tensor, "batch channel row col"], scale: float
) -> Float[Tensor, "batch channel row col"]:
    """Blur by a Gaussian of standard deviation `scale` pixels; outside is the edge's value."""
    return across(maps, partial(_gaussian, scale))


@constant
def _gaussian(
    scale: float, size: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "size size"]:
    """Return the weight of each pixel of a line in each pixel of the blurred line."""
    reach = max(1, round(3 * scale))
    places = torch.arange(-reach, reach + 1, dtype=dtype)
    kernel = torch.exp(-(places**2) / (2 * scale**2))
    lines = pad(torch.eye(size, dtype=dtype)[:, None], (reach, reach), mode="replicate")
    return conv1d(lines, (kernel / kernel.sum())[None, None])[:, 0].T.to(device)


def blur_measured(
    maps: Float[Tensor, "batch channel row col"],
    measured: Float[Tensor, "batch channel row col"],
    scale: float,
) -> Float[Tensor, "batch channel row col"]:
    """Blur what is measured alone, so that it reaches into what is not; far from all of it is 0.

    Args:
        maps: 0 where nothing is measured, and in a patch the mean with these zeros.
        measured: from 0 to 1, the measured part of each pixel or patch.
        scale: as in `blur`.
    """
    return blur(maps, scale) / blur(measured, scale).clamp(min=1e-3)
