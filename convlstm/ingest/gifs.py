"""A reader of GIF films, which keeps class numbers and transparency exact.

Most programs store of each frame only the rectangle that changed, and mark in it the pixels that
did not. Pillow unpacks the rectangles, and `_shown` lays them over each other in class numbers, by
the disposals of GIF89a. Pillow itself does so in colours, from which two classes of one colour
come back as one.
"""

import mmap
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from convlstm.ingest import pixels as rules
from convlstm.ingest.params import Reading, unreadable
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame

SUFFIXES = (".gif",)
SIGNATURE = re.compile(rb"GIF8[79]a")
EXTENSION, CONTROL, IMAGE, END = 0x21, 0xF9, 0x2C, 0x3B  # the first bytes of blocks
CLEARED, RESTORED = 2, 3  # disposals; by all others a frame stays
_SAME = bytes(range(256))  # of each number, itself
RAMP = bytes(np.arange(256, dtype=np.uint8).repeat(3))  # the palette of grey values

Canvas = UInt8[np.ndarray, "plane row col"]
"""Whether anything was painted at each pixel (1 or 0), and the channels of what was."""


class Part(NamedTuple):
    """One frame as the file stores it: a rectangle, and how it is laid over the picture."""

    x: int
    y: int
    width: int
    height: int
    interlaced: int
    palette: bytes
    transparent: int | None
    disposal: int
    begin: int
    end: int

    def covers(self, other: "Part") -> bool:
        """Return whether nothing that is below can be seen in the rectangle of the other."""
        return (
            self.transparent is None
            and self.x <= other.x
            and self.y <= other.y
            and self.x + self.width >= other.x + other.width
            and self.y + self.height >= other.y + other.height
        )


class Film(NamedTuple):
    """The parts of a file, and what it says of all of them.

    `palette` is empty if the parts have different ones. `mark` is the number of transparent pixels:
    -1 if there may be some and the file has no number for them, None if there is none.
    """

    content: mmap.mmap
    rows: int
    cols: int
    parts: list[Part]
    palette: bytes
    mark: int | None


def extent(path: Path, reading: Reading) -> tuple[int, int]:
    """Return the number of sequences in the file, always 1, and of frames in it."""
    with _opened(path, reading) as film:
        return 1, len(film.parts)


def frames(path: Path, reading: Reading, sequence: int = 0) -> Iterator[Frame]:  # noqa: ARG001 - see readers.KINDS
    """Yield the frames of a film, each with all that it shows.

    Raises:
        BadInput: the file cannot be read, is larger than `max_pixels`, or does not hold what
            `pixel_values` names.
    """
    with _opened(path, reading) as film:
        _check_meaning(film, path, reading.pixel_values)
        for canvas in _shown(film, reading.pixel_values):
            yield _frame(film, canvas, path, reading.pixel_values)


def _check_meaning(film: Film, path: Path, wanted: str) -> None:
    """Check that the palettes of the file hold what `pixel_values` names.

    Raises:
        BadInput: they do not.
    """
    kind = "a palette of colours" if film.palette else "colours (in palettes that change)"
    palettes = b"".join({part.palette for part in film.parts})
    colours = np.frombuffer(palettes, np.uint8).reshape(-1, 3)
    if wanted == "gray" and (colours != colours[:, :1]).any():
        raise rules.refused(path, kind, wanted)
    if wanted == "index" and not film.palette:
        raise rules.refused(path, kind, wanted)
    if wanted == "rgb" and RAMP.startswith(film.palette or b"no"):
        raise rules.refused(path, "grey values", wanted)


def _frame(film: Film, canvas: Canvas, path: Path, wanted: str) -> Frame:
    """Return what the canvas shows, as `pixel_values` names it; the canvas may change later."""
    painted, values = canvas[0], canvas[1:].copy()
    palette = film.palette.hex() if wanted == "index" else ""
    missing: tuple[float, ...] = ()
    if wanted == "index" and film.mark is not None and film.mark >= 0:
        if (values[0][painted == 1] == film.mark).any():
            raise BadInput(
                f"{path}: uses number {film.mark} for a class and for transparent pixels; "
                f"save it without transparency"
            )
        values[:, painted == 0] = film.mark
        missing = (float(film.mark),)
    elif film.mark is not None:
        values, missing = rules.without_hidden(values, painted, path)
    return Frame(values, rules.said(len(values), missing, palette=palette))


def _shown(film: Film, wanted: str) -> Iterator[Canvas]:
    """Yield the picture that each part leaves, always in the same array."""
    planes = 1 + len(_values(RAMP, wanted))
    canvas = np.zeros((planes, film.rows, film.cols), np.uint8)
    for part in film.parts:
        box = canvas[:, part.y : part.y + part.height, part.x : part.x + part.width]
        before = box.copy() if part.disposal == RESTORED else np.uint8(0)
        numbers = _unpacked(film.content, part)
        seen = None if part.transparent is None else _mask(numbers != part.transparent)
        if film.mark is not None or part is film.parts[0]:  # else all of it is painted
            _lay(np.broadcast_to(np.uint8(1), numbers.shape), box[0], seen)
        for plane, values in zip(box[1:], _values(part.palette, wanted), strict=True):
            _lay(_looked_up(numbers, values), plane, seen)
        yield canvas
        if part.disposal in (CLEARED, RESTORED):
            box[:] = before


def _mask(seen: Bool[np.ndarray, "row col"]) -> UInt8[np.ndarray, "row col"]:
    """Return 255 where something is seen, and 0 elsewhere."""
    return np.negative(seen.view(np.uint8))


def _lay(
    above: UInt8[np.ndarray, "row col"],
    below: UInt8[np.ndarray, "row col"],
    mask: UInt8[np.ndarray, "row col"] | None,
) -> None:
    """Lay a picture over another one, which is changed, where the mask is 255.

    By bits that is five times as fast as to look at each pixel.
    """
    below[:] = above if mask is None else below ^ ((below ^ above) & mask)


def _looked_up(
    numbers: UInt8[np.ndarray, "row col"], values: bytes
) -> UInt8[np.ndarray, "row col"]:
    if values == _SAME:
        return numbers
    return np.frombuffer(numbers.tobytes().translate(values), np.uint8).reshape(numbers.shape)


@lru_cache(maxsize=64)
def _values(palette: bytes, wanted: str) -> tuple[bytes, ...]:
    """Return the value of each number in each channel of what `pixel_values` names."""
    colours = np.frombuffer(palette.ljust(768, b"\0"), np.uint8).reshape(-1, 3, 1)
    match wanted:
        case "index":
            return (_SAME,)
        case "luminance":
            return (rules.luminance(colours.transpose(1, 0, 2)).tobytes(),)
    channels = 1 if wanted == "gray" else 3
    return tuple(colours[:, channel].tobytes() for channel in range(channels))


def _unpacked(content: mmap.mmap, part: Part) -> UInt8[np.ndarray, "row col"]:
    """Return the numbers of one rectangle, which Pillow unpacks as a grey picture of its own."""
    size = struct.pack("<2H", part.width, part.height)
    head = b"GIF89a" + size + bytes(3) + bytes([IMAGE]) + bytes(4) + size + bytes([part.interlaced])
    whole = head + content[part.begin : part.end] + bytes([END])
    content.madvise(mmap.MADV_DONTNEED)
    with Image.open(BytesIO(whole), formats=("GIF",)) as image:
        return np.asarray(image)


@contextmanager
def _opened(path: Path, reading: Reading) -> Iterator[Film]:
    """Open the film and check its size before a pixel is decoded."""
    with (
        unreadable(path, "an image"),
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as found,
    ):
        if not SIGNATURE.match(found):
            raise ValueError("not a GIF")
        parts = _parts(found)
        screen = struct.unpack_from("<2H", found, 6)
        cols = max(screen[0], *(part.x + part.width for part in parts))
        rows = max(screen[1], *(part.y + part.height for part in parts))
        reading.check_pixels(path, rows * cols)
        yield Film(found, rows, cols, parts, _palette(parts), _mark(parts, rows, cols))


def _parts(content: mmap.mmap) -> list[Part]:
    """Return the frames that the file stores, by the blocks of GIF89a; nothing is unpacked.

    Raises:
        ValueError: there is none.
        IndexError: the file ends within a block.
    """
    shared, place = _table(content, content[10], 13)
    parts: list[Part] = []
    transparent, disposal = None, 0
    while place < len(content) and content[place] != END:
        block, place = content[place], place + 1
        if block == EXTENSION:
            if content[place] == CONTROL:
                flags = content[place + 2]
                transparent = content[place + 5] if flags & 1 else None
                disposal = flags >> 2 & 7
            place = _after(content, place + 1)
        elif block == IMAGE:
            x, y, width, height = struct.unpack_from("<4H", content, place)
            flags = content[place + 8]
            own, begin = _table(content, flags, place + 9)
            place = _after(content, begin + 1)
            palette = own or shared or RAMP
            how = flags & 64, palette, transparent, disposal
            parts.append(Part(x, y, width, height, *how, begin, place))
            transparent, disposal = None, 0
            content.madvise(mmap.MADV_DONTNEED)  # pages that were read would count as our memory
    if not parts:
        raise ValueError("no image in it")
    return parts


def _table(content: mmap.mmap, flags: int, place: int) -> tuple[bytes, int]:
    """Return the colour table that may stand at this place, and the place after it."""
    length = 3 * 2 ** ((flags & 7) + 1) if flags & 128 else 0
    return content[place : place + length], place + length


def _after(content: mmap.mmap, place: int) -> int:
    """Return the place after the chain of data that begins here."""
    while length := content[place]:
        place += length + 1
    return place + 1


def _palette(parts: list[Part]) -> bytes:
    """Return the palette of all parts, or nothing if one number has two colours."""
    longest = max((part.palette for part in parts), key=len)
    return longest if all(longest.startswith(part.palette) for part in parts) else b""


def _mark(parts: list[Part], rows: int, cols: int) -> int | None:
    """Return the number of pixels of which nothing is seen; see `Film`."""
    whole = parts[0]._replace(x=0, y=0, width=cols, height=rows)
    exposed = not parts[0].covers(whole) or any(
        part.disposal == CLEARED or (part is parts[0] and part.disposal == RESTORED)
        for part, after in pairwise(parts)
        if not after.covers(part)
    )
    if not exposed:
        return None
    return next((part.transparent for part in parts if part.transparent is not None), -1)
