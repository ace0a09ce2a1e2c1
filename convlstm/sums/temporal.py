"""Sums of the change from frame to frame."""

from jaxtyping import Bool, Float
from torch import Tensor

from convlstm.sums.measured import sum_measured

Frames = Float[Tensor, "which *lead channel row col"]
ByFrame = Float[Tensor, "which *lead"]


def changes(
    frames: Frames, before: Frames, measured: Bool[Tensor, "*lead channel row col"]
) -> ByFrame:
    """Return the sum of |difference from the frame before| of each frame.

    Args:
        frames: forecasts, or true ones.
        before: the frame before each of them.
        measured: the pixels that count, which are measured in both; the others must be finite.
    """
    return sum_measured((frames - before).abs_(), measured)
