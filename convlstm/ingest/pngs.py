"""Grey pictures of PNG that say nothing else: libpng unpacks them in two thirds of Pillow's time.

All other pictures, and whatever is wrong with one, are left to `images`.
"""

import struct
import zlib

import imagecodecs
import numpy as np
from jaxtyping import UInt

HEAD = struct.Struct(">8s4x4s2I5B")
"""The signature; type of the first chunk, columns, rows, depth, colours, methods of packing, of
filters and of interlacing."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY = 0
FIRST_CHUNK = 8
SILENT = {b"tEXt", b"zTXt", b"iTXt", b"tIME", b"pHYs", b"gAMA", b"sRGB", b"cHRM", b"bKGD"}
"""Chunks that change no number of the picture, and say nothing of what it means."""


def size(head: bytes) -> tuple[int, int] | None:
    """Return the rows and columns of a picture that may be a plain one, from its first bytes."""
    if len(head) < HEAD.size:
        return None
    signature, first, cols, rows, depth, *others = HEAD.unpack_from(head)
    plain = signature == SIGNATURE and first == b"IHDR" and depth in (8, 16)
    return (rows, cols) if plain and others == [GRAY, 0, 0, 0] else None


def unpacked(content: bytes) -> UInt[np.ndarray, "row col"] | None:
    """Return the numbers of a plain picture, of 8 or 16 bits; None if it is none, or not whole."""
    if not _is_plain(content):
        return None
    try:
        return np.asarray(imagecodecs.png_decode(content))
    except (imagecodecs.PngError, ValueError):
        return None


def _is_plain(content: bytes) -> bool:
    """Return whether a PNG holds nothing but one picture, and is whole as far as checksums tell.

    libpng itself compares those of the picture.
    """
    place, end = FIRST_CHUNK, len(content) - 12
    while place < end:
        length, kind = struct.unpack_from(">I4s", content, place)
        after = place + 12 + length
        if kind in SILENT:
            (said,) = struct.unpack(">I", content[after - 4 : after].ljust(4))
            if zlib.crc32(content[place + 4 : after - 4]) != said:
                return False
        elif kind not in (b"IHDR", b"IDAT"):
            return False
        place = after
    return place == end and content[place + 4 : place + 8] == b"IEND"
