"""The rules that all readers of pictures share: turn, transparency, brightness, meaning."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num
from PIL import Image

from convlstm.runtime.errors import BadInput
from convlstm.storage.meaning import NOTHING_SAID, Channel, Meaning

WHITE_OF_16_BITS = 2**16 - 1
HIDDEN = -1
"""The number of a transparent pixel, for which integers are widened to a signed type."""
_WIDER = {"uint8": np.int16, "uint16": np.int32, "uint32": np.int64}

Pixels = Num[np.ndarray, "channel row col"]
Other = Num[np.ndarray, "other_channel other_row other_col"]
"""Pixels of another shape than those that a function was given."""


@lru_cache(maxsize=256)
def said(
    channels: int,
    missing: tuple[float, ...] = (),
    white: int | None = None,
    palette: str = "",
) -> Meaning:
    """Return what a picture says of its numbers, the same object for the same words.

    Args:
        channels: their count.
        missing: numbers of transparent pixels.
        white: its number, where it is not 255.
        palette: of class numbers, see `Channel`.
    """
    channel = with_white(Channel(missing=missing, palette=palette), white)
    return NOTHING_SAID if channel == Channel() else Meaning((channel,) * channels)


def with_white(channel: Channel, white: int | None) -> Channel:
    """Return the channel with the number of white, where it is not 255.

    An odd one is where the range of the numbers ends. Of 16 bits many pictures use a few.
    """
    if white is None:
        return channel
    valid_range = () if white == WHITE_OF_16_BITS else (0.0, float(white))
    return channel._replace(valid_range=valid_range, white=white)


def turned(pixels: Pixels, orientation: Any) -> Other:
    """Return the picture as it is to be shown; `orientation` is 1 to 8 of TIFF 6.0 and EXIF."""
    if orientation not in range(2, 9):
        return pixels
    if orientation >= 5:
        pixels = pixels.swapaxes(-1, -2)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    cols = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[:, ::rows, ::cols])


def without_hidden(
    pixels: Pixels, alpha: Num[np.ndarray, "row col"], path: Path, *, premultiplied: bool = False
) -> tuple[Pixels, tuple[float, ...]]:
    """Mark the pixels whose alpha is 0; their colour is nobody's, whatever it is.

    Integers are widened, so that no colour is lost to the mark.

    Args:
        pixels: colours or grey values.
        alpha: 0 is transparent.
        path: of the file.
        premultiplied: whether the colours were already weighed by alpha.

    Returns:
        The pixels, and the numbers that mean that a pixel is missing.

    Raises:
        BadInput: pixels are half transparent, unless all that are seen are so alike.
    """
    alpha = np.ascontiguousarray(alpha)  # which is looked at three times
    hidden, most = alpha == 0, alpha.max()
    full = np.iinfo(alpha.dtype).max if alpha.dtype.kind == "u" else 1
    alike = (hidden | (alpha == most)).all()
    if not alike or (premultiplied and most not in (0, full)):
        raise BadInput(
            f"{path}: holds half-transparent pixels, whose colour depends on what lies behind; "
            f"flatten it onto a background, or make alpha 0 or opaque"
        )
    is_float = pixels.dtype.kind == "f"
    mark = float("nan") if is_float else float(HIDDEN)
    dtype = pixels.dtype if is_float else _WIDER.get(pixels.dtype.name, np.int64)
    marked = pixels.astype(dtype, order="C")
    if hidden.any():  # mostly there is none, and a look costs a tenth
        np.copyto(marked, marked.dtype.type(mark), where=hidden)
    return marked, (mark,)


def luminance(colours: Num[np.ndarray, "3 row col"]) -> Num[np.ndarray, "1 row col"]:
    """Return the brightness of colours of 8 or 16 bits by ITU-R 601, as Pillow weighs them."""
    if colours.dtype == np.uint8:
        picture = Image.fromarray(np.ascontiguousarray(np.moveaxis(colours, 0, -1)))
        return np.asarray(picture.convert("L"))[None]
    weights = np.array([19595, 38470, 7471], np.uint32)  # of 65536
    weighed = np.tensordot(weights, colours.astype(np.uint32), 1) + np.uint32(0x8000)
    return (weighed >> np.uint32(16)).astype(np.uint16)[None]


def refused(path: Path, kind: str, pixel_values: str) -> BadInput:
    """Return the error for a picture that holds something else than `pixel_values` names.

    Args:
        path: of the file.
        kind: "grey values", "a palette of colours" or another word for colours.
        pixel_values: of params.
    """
    remedies = {"grey values": "gray", "a palette of colours": "index, luminance or rgb"}
    remedy = remedies.get(kind, "luminance or rgb")
    return BadInput(
        f"{path}: holds {kind}, but pixel_values = '{pixel_values}'; set it to {remedy}"
    )
