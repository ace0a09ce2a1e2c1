"""The meaning of the numbers of a TIFF page, as `pixel_values` names it: grey, index, colours.

Numbers of `gray` are those of the file, as GDAL and tifffile give them, so that they are the same
whether the file calls 0 black or white (Pillow inverts 8 bits and not 16). In `luminance` more is
brighter.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Num
from tifffile import PHOTOMETRIC, TiffPage

from convlstm.ingest import pixels as rules
from convlstm.ingest import tifftags
from convlstm.ingest.pixels import Other, Pixels
from convlstm.storage.meaning import Channel

GRAY, PALETTE, RGB = "grey values", "a palette of colours", "colours (RGB)"
KINDS: dict[int, str] = {
    PHOTOMETRIC.MINISWHITE: GRAY,
    PHOTOMETRIC.MINISBLACK: GRAY,
    PHOTOMETRIC.RGB: RGB,
    PHOTOMETRIC.YCBCR: RGB,  # to which tifffile converts it
    PHOTOMETRIC.PALETTE: PALETTE,
}
ASSOCIATED, UNASSOCIATED = 1, 2  # kinds of alpha among the extra samples

Alpha = Num[np.ndarray, "row col"]


class Shown(NamedTuple):
    """Values, and what is said of each of their channels."""

    values: Pixels
    channel: Channel
    said: tifftags.Said


def shown(
    values: Pixels, page: TiffPage, path: Path, wanted: str, *, samples: bool, mask: Alpha | None
) -> Shown:
    """Return what `pixel_values` wants of the numbers of a page.

    Args:
        values: samples or channels as the file holds them.
        page: whose tags tell what they mean.
        path: of the file.
        wanted: `pixel_values` of params.
        samples: whether the values are the samples of one picture, and not channels.
        mask: where it is 0, the file says that nothing is seen.

    Raises:
        BadInput: the page holds something else.
        ValueError: its samples are neither colours nor alpha.
    """
    values, alpha, premultiplied = _split(values, page) if samples else (values, None, False)
    if mask is not None:
        alpha = (mask > 0).astype(np.uint8) if alpha is None else np.where(mask > 0, alpha, 0)
    said, kind = tifftags.said(page), _kind(page)
    if kind == RGB and not samples:
        kind = GRAY  # `raw_axes` calls them channels
    converted, channel = _meant(values, page, kind, wanted) or (None, Channel())
    if converted is None:
        raise rules.refused(path, kind, wanted)
    if converted is not values and (numbers := tifftags.nodata(said)):
        seen = (values != numbers[0]).any(axis=0)  # the number itself is converted, too
        alpha = seen.astype(np.uint8) if alpha is None else np.where(seen, alpha, 0)
        said = said._replace(nodata="")
    if alpha is not None:
        converted, missing = rules.without_hidden(
            converted, alpha, path, premultiplied=premultiplied
        )
        channel = channel._replace(missing=missing)
    return Shown(converted, channel, said)


def _meant(values: Pixels, page: TiffPage, kind: str, wanted: str) -> tuple[Other, Channel] | None:
    """Return what `pixel_values` wants of a page and what is known of it, or None for another kind.

    Numbers that are not changed are the same array.
    """
    if kind == GRAY:
        white = _white(page)
        match wanted:
            case "gray":
                return values, rules.with_white(Channel(), white)
            case "luminance":
                return _brightness(values, page, white)
    if kind == PALETTE and len(values) == 1:
        table = _table(page)
        if wanted == "index":
            return values, Channel(palette=table.tobytes().hex())
        if wanted == "gray" and (table == table[:, :1]).all():
            return table[values[0], :1].transpose(2, 0, 1), Channel()
        values = table[values[0]].transpose(2, 0, 1)
    elif kind != RGB:
        return None
    channel = rules.with_white(Channel(), _white(page) if kind == RGB else None)
    match wanted:
        case "luminance":
            return rules.luminance(values), channel
        case "rgb":
            return values, channel
    return None


def _kind(page: TiffPage) -> str:
    """Return the kind of the numbers of a page, in words."""
    photometric = page.photometric
    return KINDS.get(photometric, f"colours ({getattr(photometric, 'name', photometric)})")


def _split(values: Pixels, page: TiffPage) -> tuple[Other, Alpha | None, bool]:
    """Return grey values or colours, alpha, and whether they were weighed by it.

    Raises:
        ValueError: there are other samples.
    """
    count = 3 if _kind(page) == RGB else 1
    extra = page.extrasamples[0] if page.extrasamples else None
    if len(values) == count + 1 and extra in (ASSOCIATED, UNASSOCIATED):
        return values[:count], values[count], extra == ASSOCIATED
    if len(values) != count:
        raise ValueError(
            f"a pixel has {len(values)} samples, which may be channels or times; "
            f"set raw_axes, as HWC or HWT"
        )
    return values, None, False


def _white(page: TiffPage) -> int | None:
    """Return the number of white, as 15 of 4 bits; None for 8, and where there is none."""
    bits = page.bitspersample
    known = isinstance(bits, int) and bits not in (8, 24, 32, 64)
    return 2**bits - 1 if known and page.dtype is not None and page.dtype.kind in "bu" else None


def _brightness(values: Pixels, page: TiffPage, white: int | None) -> tuple[Pixels, Channel]:
    """Return grey values of which more is brighter, to 255 for a depth of less than 8 bits.

    Raises:
        ValueError: 0 is white, and no number is black.
    """
    inverted = page.photometric == PHOTOMETRIC.MINISWHITE
    if inverted and values.dtype.kind != "u":
        raise ValueError("its numbers grow darker without an end; set pixel_values to gray")
    largest = white or (np.iinfo(values.dtype).max if values.dtype.kind == "u" else 0)
    if inverted:
        values = values.dtype.type(largest) - values
    if white is not None and white < 255:
        return np.rint(values * (255 / white)).astype(np.uint8), Channel()
    return values, rules.with_white(Channel(), white)


def _table(page: TiffPage) -> Num[np.ndarray, "number 3"]:
    """Return the colours of the class numbers, in 8 bits.

    Raises:
        ValueError: there is no colour map.
    """
    if page.colormap is None:
        raise ValueError("a palette without colours")
    return np.ascontiguousarray(page.colormap.T >> 8).astype(np.uint8)
