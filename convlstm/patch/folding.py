"""Folding of frames into patches and back, and the corners of tiles.

A patch size of 4 folds a frame of 1 x 140 x 140 into 16 x 35 x 35: each 4 x 4 patch becomes the
channels of one coarse pixel, so that a 5 x 5 kernel sees 20 x 20 pixels.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool, Shaped

ArrayT = TypeVar("ArrayT")
"""An array of NumPy or a tensor of torch: both are reshaped and turned by the same words."""


def fold(
    frames: Shaped[ArrayT, "*lead channel row col"], patch_size: int
) -> Shaped[ArrayT, "*lead _ _ _"]:
    """Fold space into depth: (channel, row, col) to (p^2 channel, row / p, col / p).

    p is the patch size. The channel order is that of TensorFlow's ConvLSTM, PredRNN and OpenSTL:
    (row in patch * p + col in patch) * channels + channel. It equals `pixel_unshuffle` only for one
    channel. Rows and columns must be multiples of p.
    """
    whole: Any = frames
    *lead, channels, rows, cols = whole.shape
    p = patch_size
    parts = whole.reshape(*lead, channels, rows // p, p, cols // p, p)
    # (channel, row, row in patch, col, col in patch) becomes
    # (row in patch, col in patch, channel, row, col)
    parts = parts.swapaxes(-5, -3).swapaxes(-4, -1).swapaxes(-2, -1)
    folded: ArrayT = parts.reshape(*lead, p * p * channels, rows // p, cols // p)
    return folded


def unfold(
    patches: Shaped[ArrayT, "*lead channel row col"], patch_size: int
) -> Shaped[ArrayT, "*lead _ _ _"]:
    """Unfold depth into space: the inverse of `fold`."""
    folded: Any = patches
    *lead, channels, rows, cols = folded.shape
    p = patch_size
    parts = folded.reshape(*lead, p, p, channels // (p * p), rows, cols)
    parts = parts.swapaxes(-2, -1).swapaxes(-4, -1).swapaxes(-5, -3)
    whole: ArrayT = parts.reshape(*lead, channels // (p * p), rows * p, cols * p)
    return whole


@dataclass(frozen=True)
class Geometry:
    """The size of a frame (or tile) in pixels, and how it is folded."""

    channels: int
    rows: int
    cols: int
    patch_size: int

    def __post_init__(self) -> None:
        sizes = (self.channels, self.rows, self.cols, self.patch_size)
        if {type(size) for size in sizes} != {int}:  # from a file, 64.0 or true
            raise ValueError(f"a size that is no whole number: {self}")
        if min(self.channels, self.rows, self.cols, self.patch_size) < 1:
            raise ValueError(f"an impossible geometry: {self}")

    @property
    def pixels(self) -> int:
        """The count of values in a frame, without padding."""
        return self.channels * self.rows * self.cols

    @property
    def folded_shape(self) -> tuple[int, int, int]:
        """The shape (channel, row, col) after padding and folding."""
        p = self.patch_size
        return p * p * self.channels, -(-self.rows // p), -(-self.cols // p)

    def fold(
        self, frames: Shaped[np.ndarray, "*lead channel row col"]
    ) -> Shaped[np.ndarray, "*lead _ _ _"]:
        """Pad with zeros at the bottom and right up to a multiple of the patch size, then fold."""
        _, rows, cols = self.folded_shape
        extra = [(0, 0)] * (frames.ndim - 2)
        extra += [(0, rows * self.patch_size - self.rows), (0, cols * self.patch_size - self.cols)]
        return fold(np.pad(frames, extra), self.patch_size)

    def unfold(
        self, patches: Shaped[np.ndarray, "*lead channel row col"]
    ) -> Shaped[np.ndarray, "*lead _ _ _"]:
        """Unfold, then crop the padding: the inverse of `fold`."""
        return unfold(patches, self.patch_size)[..., : self.rows, : self.cols]

    def padding_mask(self) -> Bool[np.ndarray, "channel row col"]:
        """Return the folded mask that is True at pixels of the frame and False at padding."""
        return self.fold(np.ones((self.channels, self.rows, self.cols), bool))


def tile_corners(size: int, tile_size: int, *, overlap: int = 0) -> list[int]:
    """Return the starts of the fewest tiles that cover `size` pixels, spread evenly.

    Neighbours overlap by at least `overlap` pixels, and by a few more where the tiles do not fit
    exactly: no pixel is dropped, and no tile is mostly padding. `tile_size` must be at most `size`
    and more than `overlap`.
    """
    count = max(1, -(-(size - overlap) // (tile_size - overlap)))
    return [round(start) for start in np.linspace(0, size - tile_size, count)]
