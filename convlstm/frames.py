"""Raw frames of any kind, found, ordered, checked and streamed one at a time.

One folder of frames is one sequence; a folder of folders is a sequence for each. What a pixel of a
file means (grey value, class number of a palette, colour) is never guessed: `pixel_values` says it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Num, UInt8
from PIL import Image, UnidentifiedImageError

from convlstm.errors import BadInput

GRAY_MODES = {"1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}

Frame = Num[np.ndarray, "channel row col"]


@dataclass(frozen=True)
class Source:
    """One sequence: its name, and its files in natural order."""

    name: str
    files: tuple[Path, ...]


def find(raw: Path) -> list[Source]:
    """The sequences under `raw`, in natural order of their names.

    Hidden files and files of other kinds are passed over.

    Raises:
        BadInput: the folder is missing, holds no frames, or holds frames beside folders of frames.
    """
    if not raw.is_dir():
        raise BadInput(
            f"raw = '{raw}': no such folder; give a folder of frames, or of folders of frames"
        )
    own = _frame_files(raw)
    inner = [
        Source(folder.name, _frame_files(folder))
        for folder in sorted(raw.iterdir(), key=natural)
        if _visible(folder)
    ]
    inner = [source for source in inner if source.files]
    if own and inner:
        raise BadInput(
            f"raw = '{raw}': holds frames ({own[0].name}) beside folders of frames "
            f"({inner[0].name}); put each sequence into a folder of its own"
        )
    if not own and not inner:
        raise BadInput(
            f"raw = '{raw}': no frame in it or in its folders; "
            f"files are read if they end in {', '.join(READERS)}"
        )
    return [Source(raw.name, own)] if own else inner


def natural(path: Path) -> tuple[list[str | int], str]:
    """Sort key of a name in which numbers count as numbers: frame2 before frame10."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return [int(part) if part.isdecimal() else part for part in parts], path.name


def read(source: Source, pixel_values: str) -> Iterator[Frame]:
    """The frames of one sequence, in order, each of the same shape and type.

    Raises:
        BadInput: a file cannot be read, does not hold what `pixel_values` names, or differs from
            the first.
    """
    first: Frame | None = None
    for path in source.files:
        frame = READERS[path.suffix.lower()](path, pixel_values)
        first = frame if first is None else first
        if (frame.shape, frame.dtype) != (first.shape, first.dtype):
            raise BadInput(
                f"{path}: {_shown(frame)}, but {source.files[0].name} has {_shown(first)}; "
                f"all frames of a sequence need the same size and type"
            )
        yield frame


def write_png(path: Path, frame: UInt8[np.ndarray, "row col"]) -> None:
    """A grey image file."""
    Image.fromarray(frame).save(path)


def _frame_files(folder: Path) -> tuple[Path, ...]:
    if not _visible(folder):
        return ()
    files = (
        path
        for path in folder.iterdir()
        if path.suffix.lower() in READERS and not path.name.startswith(".")
    )
    return tuple(sorted((path for path in files if path.is_file()), key=natural))


def _visible(folder: Path) -> bool:
    return folder.is_dir() and not folder.name.startswith(".")


def _shown(frame: Frame) -> str:
    channels, rows, cols = frame.shape
    return f"{rows} x {cols} pixels of {channels} {frame.dtype}"


def _read_image(path: Path, pixel_values: str) -> Frame:
    """One image file with one frame, as its decoder gives it: no scaling, no cast."""
    try:
        with Image.open(path) as image:
            count = getattr(image, "n_frames", 1)
            if count > 1:
                raise BadInput(f"{path}: holds {count} frames; give one file for each frame")
            pixels = np.asarray(_meaning(image, path, pixel_values))
    except (
        OSError,
        UnidentifiedImageError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:
        raise BadInput(
            f"{path}: cannot be read as an image ({error}); replace or remove it"
        ) from None
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def _meaning(image: Image.Image, path: Path, pixel_values: str) -> Image.Image:
    """The image whose numbers are what `pixel_values` names; an error rather than a guess."""
    gray = image.mode in GRAY_MODES
    if "16" in str(getattr(image, "tile", "")) and not gray:
        raise BadInput(f"{path}: colours of 16 bits would lose half of them; save it with 8 bits")
    match pixel_values:
        case "index" if image.mode == "P" or (image.mode == "L" and image.format == "GIF"):
            return image  # Pillow calls a GIF `L` when class number and grey value are the same
        case "gray" if gray or (image.mode == "P" and _palette_is_gray(image)):
            return image.convert("L") if image.mode in ("1", "P") else image
        case "luminance":
            return image if gray and image.mode != "1" else image.convert("RGB").convert("L")
        case "rgb" if not gray:
            return image.convert("RGB")
    kind = (
        "grey values"
        if gray
        else "a palette of colours"
        if image.mode == "P"
        else f"colours ({image.mode})"
    )
    remedy = {"grey values": "gray", "a palette of colours": "index, luminance or rgb"}.get(
        kind, "luminance or rgb"
    )
    raise BadInput(f"{path}: holds {kind}, but pixel_values = '{pixel_values}'; set it to {remedy}")


def _palette_is_gray(image: Image.Image) -> bool:
    colours = np.array(image.getpalette("RGB")).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


READERS: dict[str, Callable[[Path, str], Frame]] = dict.fromkeys(
    (".png", ".gif", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".pgm"), _read_image
)
"""By suffix. A new kind of file is one more function here."""
