"""A reader of image files by Pillow; the meaning of a pixel is never guessed.

A picture is turned as its EXIF says, and transparent pixels are missing (see `pixels`). `gray`
gives the file's own numbers, whatever their depth: 0 to 15 of 4 bits, 0 and 1 of one. The pictures
of an animated PNG or WebP are frames in time; of an MPO, which holds several views, the first one
is read.
"""

import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from math import prod
from pathlib import Path

import numpy as np
from jaxtyping import Num
from PIL import Image, PngImagePlugin

from convlstm.ingest import pixels as rules
from convlstm.ingest import pngs
from convlstm.ingest.params import Reading, unreadable
from convlstm.ingest.pixels import Pixels
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame

SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".mpo", ".bmp", ".pgm", ".ppm", ".pgm.gz", ".webp"),
)
SIGNATURE = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|BM(?s:.{4})\0{4}|P[1-6]\s|RIFF(?s:.{4})WEBP"
)
FORMATS = ("PNG", "JPEG", "BMP", "PPM", "WEBP")  # Pillow would run a program for EPS
GRAY_MODES = {"1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
COLOUR_MODES = {"P", "RGB", "RGBA"}
ORIENTATION = 0x0112  # the tag of EXIF
LARGEST_PIXEL_BYTES = 8  # of a gzip-ed image; what unpacks to more is a bomb
HEADER_BYTES = 2**16

Image.MAX_IMAGE_PIXELS = None  # `max_pixels` is the cap, and it is an error instead of a warning


def extent(path: Path, reading: Reading) -> tuple[int, int]:
    """Return the number of sequences in the file, always 1, and of frames in it."""
    with _opened(path, reading) as image:
        return 1, len(_numbers(image))


def frames(path: Path, reading: Reading, sequence: int = 0) -> Iterator[Frame]:  # noqa: ARG001 - see readers.KINDS
    """Yield the frames of an image file: no scaling, no cast, except as `pixel_values` says.

    Raises:
        BadInput: the file cannot be read, is larger than `max_pixels`, or does not hold what
            `pixel_values` names.
    """
    if (plain := _plain(path, reading)) is not None:
        yield plain
        return
    with _opened(path, reading) as image:
        cleared: tuple[int, ...] | None = None
        for number in _numbers(image):
            image.seek(number)
            reading.check_pixels(path, image.width * image.height)
            cleared = _cleared(image, path, cleared)
            yield _frame(image, path, reading)


def _plain(path: Path, reading: Reading) -> Frame | None:
    """Return the only frame of a file if it is a grey picture of PNG and nothing else."""
    if reading.pixel_values not in ("gray", "luminance"):
        return None
    with unreadable(path, "an image"), path.open("rb", buffering=0) as file:
        head = file.read(pngs.HEAD.size)
        if (size := pngs.size(head)) is None:
            return None
        reading.check_pixels(path, prod(size))
        pixels = pngs.unpacked(head + file.read())
    if pixels is None:
        return None
    white = rules.WHITE_OF_16_BITS if pixels.dtype == np.uint16 else None
    return Frame(pixels[None], rules.said(1, white=white))


def _numbers(image: Image.Image) -> range:
    """Return the numbers of the pictures that are frames in time."""
    if image.format in ("JPEG", "MPO"):
        return range(1)
    title = bool(getattr(image, "default_image", False))  # of an animated PNG, not part of the film
    return range(int(title), getattr(image, "n_frames", 1))


def _cleared(
    image: Image.Image, path: Path, cleared: tuple[int, ...] | None
) -> tuple[int, ...] | None:
    """Return the box that the file says to clear after this picture, if nothing marks it as clear.

    Raises:
        BadInput: some of the box that was cleared before this picture is seen in it, or the next
            one is laid over what Pillow does not restore.
    """
    x0, y0, x1, y1 = box = image.info.get("bbox", (0, 0, *image.size))
    whole = image.info.get("blend") != PngImagePlugin.Blend.OP_OVER
    if cleared and not (
        whole and x0 <= cleared[0] and y0 <= cleared[1] and x1 >= cleared[2] and y1 >= cleared[3]
    ):
        raise BadInput(
            f"{path}: clears its picture between frames, but has no alpha; save it with alpha"
        )
    disposal = getattr(image, "dispose_op", None)
    is_last = image.tell() + 1 == getattr(image, "n_frames", 1)
    if disposal == PngImagePlugin.Disposal.OP_PREVIOUS and not whole and not is_last:
        # Pillow 12 lays such a picture over its only copy of the one that it shall restore.
        raise BadInput(f"{path}: undoes a picture that was laid over another; save it as frames")
    if disposal == PngImagePlugin.Disposal.OP_PREVIOUS:
        return cleared  # for the box is as clear as before
    clears = disposal == PngImagePlugin.Disposal.OP_BACKGROUND
    return box if clears and not image.mode.endswith("A") else None


@contextmanager
def _opened(path: Path, reading: Reading) -> Iterator[Image.Image]:
    """Open the image and check its size before a pixel is decoded."""
    with unreadable(path, "an image"):
        content = _unpacked(path, reading) if path.suffix.lower() == ".gz" else path
        with Image.open(content, formats=FORMATS) as image:
            reading.check_pixels(path, image.width * image.height)
            yield image


def _unpacked(path: Path, reading: Reading) -> BytesIO:
    most = reading.max_pixels * LARGEST_PIXEL_BYTES + HEADER_BYTES
    with gzip.open(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise reading.too_large(path)
    return BytesIO(content)


def _frame(image: Image.Image, path: Path, reading: Reading) -> Frame:
    """Return the picture that the image shows now, as `pixel_values` names it."""
    white = _white(image)  # before the image is decoded
    gray, wanted = image.mode in GRAY_MODES, reading.pixel_values
    wide = (white or 0) > 255 or any(";16" in str(tile.args) for tile in getattr(image, "tile", ()))
    if wide and image.mode in ("LA", *COLOUR_MODES):
        raise BadInput(f"{path}: colours of 16 bits would lose half of them; save it with 8 bits")
    palette, alpha = "", None
    missing: tuple[float, ...] = ()
    match wanted:
        case "index" if image.mode == "P":
            values, missing = np.asarray(image)[None], _hidden_numbers(image)
            palette = bytes(image.getpalette("RGB") or ()).hex()
        case "gray" | "luminance" if gray:
            shown = wanted == "luminance" and not wide
            values, missing, alpha = _gray(image, white, shown=shown)
            white = None if shown else white
        case "gray" if _is_gray_palette(image):
            values, alpha = _colours(image)
            values = values[:1]
        case "luminance" | "rgb" if image.mode in COLOUR_MODES:
            values, alpha = _colours(image)
            values = rules.luminance(values) if wanted == "luminance" else _stored(values, white)
            white = None if wanted == "luminance" else white
        case _:
            raise rules.refused(path, _kind(image), wanted)
    if alpha is not None:
        values, missing = rules.without_hidden(values, alpha, path)
    meaning = rules.said(len(values), missing, None if palette else white, palette)
    orientation = image.getexif().get(ORIENTATION, 1)
    return Frame(values if orientation == 1 else rules.turned(values, orientation), meaning)


def _white(image: Image.Image) -> int | None:
    """Return the number of white, if it is not 255; call it before decoding."""
    tiles = getattr(image, "tile", ())
    arguments = tiles[0].args if tiles else ""
    if image.mode == "1":
        return 1
    if image.mode.startswith("I;16"):
        return rules.WHITE_OF_16_BITS
    if image.format == "PNG":
        depth = str(arguments).removeprefix("L;")
        return 2 ** int(depth) - 1 if image.mode == "L" and depth in ("2", "4") else None
    if image.format == "PPM" and isinstance(arguments, tuple):
        largest = int(arguments[1])
        return None if largest == 255 else largest
    return None


def _gray(
    image: Image.Image, white: int | None, *, shown: bool
) -> tuple[Pixels, tuple[float, ...], Num[np.ndarray, "row col"] | None]:
    """Return grey values, the numbers that are missing, and alpha.

    Args:
        image: of a grey mode.
        white: see `_white`.
        shown: whether white is to be 255, or else the file's own number.
    """
    bands = image.getchannel("L") if image.mode == "LA" else image
    values = np.asarray(bands)[None]
    if image.mode == "1":
        values = values.astype(np.uint8) * np.uint8(255 if shown else 1)
    elif image.format == "PPM" and image.mode == "I":
        values = values.astype(np.uint16)
    if image.mode != "1" and not shown:
        values = _stored(values, white)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    clear = image.info.get("transparency")
    missing: tuple[float, ...] = ()
    if isinstance(clear, int):
        clear = int(clear > 0) if image.mode == "1" else clear
        missing = (float(clear * (255 // white if shown and white else 1)),)
    return values, missing, np.asarray(image.getchannel("A")) if image.mode == "LA" else None


def _stored(values: Pixels, white: int | None) -> Pixels:
    """Undo Pillow's silent scaling to 255 or 65535, so that the numbers are those of the file."""
    if white in (None, np.iinfo(values.dtype).max):
        return values
    return np.rint(values * (white / np.iinfo(values.dtype).max)).astype(values.dtype)


def _colours(image: Image.Image) -> tuple[Pixels, Num[np.ndarray, "row col"] | None]:
    """Return red, green and blue of 8 bits, and alpha."""
    converted = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    bands = np.moveaxis(converted, -1, 0)
    return bands[:3], bands[3] if len(bands) == 4 else None


def _hidden_numbers(image: Image.Image) -> tuple[float, ...]:
    """Return the class numbers whose colour is transparent."""
    clear = image.info.get("transparency")
    if isinstance(clear, bytes):
        return tuple(float(number) for number, alpha in enumerate(clear) if alpha == 0)
    return () if clear is None else (float(clear),)


def _is_gray_palette(image: Image.Image) -> bool:
    if image.mode != "P":
        return False
    colours = np.array(image.getpalette("RGB")).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _kind(image: Image.Image) -> str:
    if image.mode in GRAY_MODES:
        return "grey values"
    return "a palette of colours" if image.mode == "P" else f"colours ({image.mode})"
