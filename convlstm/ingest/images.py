"""Readers of image files; the meaning of a pixel is never guessed, `pixel_values` gives it."""

import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import GifImagePlugin, Image

from convlstm.ingest.params import Reading
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame

SUFFIXES = (".png", ".gif", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm", ".pgm.gz")
SIGNATURE = re.compile(
    rb"\x89PNG\r\n\x1a\n|GIF8[79]a|\xff\xd8\xff|BM(?s:.{4})\0{4}|P[1-6]\s|RIFF(?s:.{4})WEBP"
    rb"|II[*+]\0|MM\0[*+]"
)
GRAY_MODES = {"1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
BITS_PER_SAMPLE, SAMPLE_FORMAT = 258, 339  # tags of TIFF 6.0
LARGEST_PIXEL_BYTES = 8  # of a gzip-ed image; what unpacks to more is a bomb
HEADER_BYTES = 2**16

# Class numbers stay class numbers in the later frames of a film, too.
GifImagePlugin.LOADING_STRATEGY = GifImagePlugin.LoadingStrategy.RGB_AFTER_DIFFERENT_PALETTE_ONLY
Image.MAX_IMAGE_PIXELS = None  # `max_pixels` is the cap, and it is an error instead of a warning
_LIMITING = Lock()


def extent(path: Path, reading: Reading) -> tuple[int, int]:
    """Return the number of sequences in the file, always 1, and of frames in it."""
    with _opened(path, reading) as image, _limited(reading):
        return 1, getattr(image, "n_frames", 1)


def frames(path: Path, reading: Reading, sequence: int = 0) -> Iterator[Frame]:  # noqa: ARG001 - see readers.KINDS
    """Yield the frames of an image file as its decoder gives them: no scaling, no cast.

    Raises:
        BadInput: the file cannot be read, is larger than `max_pixels`, or does not hold what
            `pixel_values` names.
    """
    with _opened(path, reading) as image:
        number = 0
        while True:
            reading.check_pixels(path, image.width * image.height)
            largest = _largest_number(image)
            meant = _meaning(image, path, reading.pixel_values, largest)
            pixels = _as_stored(np.asarray(meant), meant, largest)
            yield Frame(pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0))
            number += 1
            try:
                with _limited(reading):
                    image.seek(number)
            except EOFError:
                return


@contextmanager
def _opened(path: Path, reading: Reading) -> Iterator[Image.Image]:
    """Open the image and check its size before a pixel is decoded."""
    try:
        with Image.open(_unpacked(path, reading) if path.suffix == ".gz" else path) as image:
            reading.check_pixels(path, image.width * image.height)
            yield image
    except BadInput:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise reading.too_large(path) from None
    except Exception as error:  # a decoder may raise anything on a file that is not an image
        reason = " ".join(str(error).split()).replace(f" '{path}'", "")
        raise BadInput(
            f"{path}: cannot be read as an image ({reason}); replace or remove it"
        ) from None


@contextmanager
def _limited(reading: Reading) -> Iterator[None]:
    """Let Pillow itself refuse a frame of more than twice `max_pixels` during the block.

    A later frame of a film may be larger than the first, and Pillow allocates its memory while it
    seeks. Pillow's limit holds for the whole process, so one thread at a time uses it.
    """
    with _LIMITING:
        Image.MAX_IMAGE_PIXELS = reading.max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = None


def _unpacked(path: Path, reading: Reading) -> BytesIO:
    most = reading.max_pixels * LARGEST_PIXEL_BYTES + HEADER_BYTES
    with gzip.open(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise BadInput(f"{path}: unpacks to more than max_pixels = {reading.max_pixels} pixels")
    return BytesIO(content)


def _largest_number(image: Image.Image) -> int | None:
    """Return the number that a PGM or PPM calls white; call it before the image is decoded."""
    if image.format != "PPM":
        return None
    arguments = getattr(image, "tile")[0].args  # noqa: B009 - Pillow types it for some formats only
    return (
        int(arguments[1]) if isinstance(arguments, tuple) else 65535 if image.mode == "I" else 255
    )


def _meaning(image: Image.Image, path: Path, pixel_values: str, largest: int | None) -> Image.Image:
    """Convert the image so that its numbers are what `pixel_values` names; never guess."""
    gray = image.mode in GRAY_MODES
    wide = any(";16" in str(tile.args) for tile in getattr(image, "tile", ()))
    if not gray and (wide or (largest or 0) > 255):
        raise BadInput(f"{path}: colours of 16 bits would lose half of them; save it with 8 bits")
    match pixel_values:
        case "index" if image.mode == "P" or (image.mode == "L" and image.format == "GIF"):
            return image  # Pillow calls a GIF `L` when class number and grey value are the same
        case "gray" if gray or _is_gray_film(image):
            return image.convert("L") if image.mode in ("1", "P", "RGB") else image
        case "luminance":
            return image if gray and image.mode != "1" else image.convert("RGB").convert("L")
        case "rgb" if not gray:
            return image.convert("RGB")
    kind, remedy = (
        ("grey values", "gray")
        if gray
        else ("a palette of colours", "index, luminance or rgb")
        if image.mode == "P"
        else (f"colours ({image.mode})", "luminance or rgb")
    )
    raise BadInput(f"{path}: holds {kind}, but pixel_values = '{pixel_values}'; set it to {remedy}")


def _as_stored(pixels: np.ndarray, image: Image.Image, largest: int | None) -> np.ndarray:
    """Undo Pillow's silent scaling or wrapping, so that the numbers are those of the file."""
    tags = getattr(image, "tag_v2", {})
    signed = 2 in tags.get(SAMPLE_FORMAT, ())
    if image.format == "TIFF" and image.mode == "I" and not signed and 32 in tags[BITS_PER_SAMPLE]:
        return pixels.view(np.uint32)
    if image.format == "TIFF" and image.mode == "L" and signed:
        return pixels.view(np.int8)
    if largest is None:
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    white, dtype = (255, np.uint8) if largest <= 255 else (65535, np.uint16)
    return np.rint(pixels * (largest / white)).astype(dtype)


def _is_gray_film(image: Image.Image) -> bool:
    """Return whether all colours of a palette are grey; Pillow makes a GIF's later palettes RGB."""
    if image.mode == "P":
        colours = np.array(image.getpalette("RGB")).reshape(-1, 3)
    elif image.mode == "RGB" and image.format == "GIF":
        colours = np.asarray(image).reshape(-1, 3)
    else:
        return False
    return bool((colours == colours[:, :1]).all())
