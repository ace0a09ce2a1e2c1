"""Moving MNIST: two digits that bounce in a square.

Srivastava et al. 2015 (arXiv:1502.04681): two digits of 28 x 28 start anywhere in 64 x 64. Each
moves straight in a direction of its own and is reflected at the edges. Where they overlap, the
brighter pixel is seen.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8

from convlstm.runtime.errors import BadInput

DIGITS_PER_SEQUENCE = 2
STEP_LENGTH = 0.1  # per frame, in units of the free range: 3.6 pixels in 64 x 64
IDX_BYTES_3D = b"\x00\x00\x08\x03"  # how an idx file of unsigned bytes with three axes begins
MOST_BYTES = 2**28  # five times MNIST; a small file can unpack to one that fills the memory

Images = UInt8[np.ndarray, "digit row col"]


def load(path: Path) -> Images:
    """Return the digits of an idx file, plain or gzipped, or of the only such file in a folder.

    Raises:
        BadInput: there is no such file, or it holds something else.
    """
    if path.is_dir():
        files = [file for file in path.iterdir() if "idx3-ubyte" in file.name]
        if len(files) != 1:
            raise BadInput(
                f"demo_digits = '{path}': holds {len(files)} files *idx3-ubyte*; name the file"
            )
        path = files[0]
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rb") as file:
            content = file.read(MOST_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"demo_digits = '{path}': cannot be read ({error})") from None
    shape = tuple(np.frombuffer(content[4:16].ljust(12, b"\0"), ">u4").tolist())
    if content[:4] != IDX_BYTES_3D or 0 in shape or len(content) != 16 + math.prod(shape):
        raise BadInput(
            f"demo_digits = '{path}': is not an idx file of images; give one like MNIST's"
        )
    return np.frombuffer(content, np.uint8, offset=16).reshape(shape)


def sequence(
    digits: Images, *, frames: int, size: int, seed: int, index: int
) -> UInt8[np.ndarray, "time {size} {size}"]:
    """Return one sequence of two digits.

    Args:
        digits: to draw from.
        frames: number of frames.
        size: height and width in pixels.
        seed: of the whole demo.
        index: of the sequence in the demo; (seed, index) decides every pixel.

    Raises:
        BadInput: the square is smaller than a digit.
    """
    _, rows, cols = digits.shape
    free = np.array([size - rows, size - cols])
    if free.min() < 1:
        raise BadInput(f"demo_size = {size}: must be larger than a digit, {rows} x {cols}")
    random = np.random.default_rng([seed, index])
    seen = np.zeros((frames, size, size), np.uint8)
    for number in random.integers(len(digits), size=DIGITS_PER_SEQUENCE):
        for frame, (row, col) in zip(seen, _path(random, frames, free), strict=True):
            area = frame[row : row + rows, col : col + cols]
            np.maximum(area, digits[number], out=area)
    return seen


def _path(
    random: np.random.Generator, frames: int, free: Int[np.ndarray, " 2"]
) -> Int[np.ndarray, "time 2"]:
    """Return the corner of a digit in each frame, on a straight path in a random direction."""
    start, angle = random.uniform(size=2), random.uniform(0, 2 * np.pi)
    step = STEP_LENGTH * np.array([np.sin(angle), np.cos(angle)])
    return np.asarray(_reflected(start + step * np.arange(frames)[:, None]) * free).astype(np.int64)


def _reflected(place: Float[np.ndarray, "time 2"]) -> Float[np.ndarray, "time 2"]:
    """Return positions reflected at 0 and 1 (a triangle wave)."""
    return np.asarray(1 - np.abs(place % 2 - 1))
