"""The digits of Moving MNIST come from an idx file, and are reflected at the edges."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from convlstm.demo import digits
from convlstm.runtime.errors import BadInput

BLOCK = np.full((1, 28, 28), 255, np.uint8)


def idx(images: np.ndarray) -> bytes:
    """Return images in the idx format: magic number, big-endian sizes, bytes."""
    return struct.pack(">4B3I", 0, 0, 8, 3, *images.shape) + images.tobytes()


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)


@pytest.mark.parametrize("name", ["my-idx3-ubyte", "my-idx3-ubyte.gz"])
def test_the_digits_of_an_idx_file_are_read(tmp_path: Path, images: np.ndarray, name: str) -> None:
    content = idx(images)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    for given in (tmp_path / name, tmp_path):
        np.testing.assert_array_equal(digits.load(given), images)


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\0\0\x08\x01" + b"\0" * 12, idx(BLOCK)[:-1], idx(BLOCK)[:9]]
)
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x-idx3-ubyte").write_bytes(content)
    with pytest.raises(BadInput, match="is not an idx file"):
        digits.load(tmp_path / "x-idx3-ubyte")


def test_no_file_is_refused(tmp_path: Path) -> None:
    for missing in (tmp_path, tmp_path / "none"):
        with pytest.raises(BadInput, match="demo_digits"):
            digits.load(missing)


def corners(frames: np.ndarray) -> np.ndarray:
    """Return the first lit row and col of each frame."""
    return np.array([np.argwhere(frame).min(axis=0) for frame in frames])


def test_two_digits_fly_straight_and_stay_inside() -> None:
    frames = digits.sequence(BLOCK, frames=40, size=64, seed=3, index=0)
    assert frames.shape == (40, 64, 64)
    lit = (frames > 0).sum(axis=(1, 2))
    assert lit.max() <= 2 * 28 * 28  # overlapping pixels are lit once
    assert lit.min() >= 28 * 28  # neither has left
    assert frames.max() == 255


def test_a_digit_moves_3_6_pixels_per_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    # 0.1 of the free range of 64 - 28 = 36 pixels
    monkeypatch.setattr(digits, "DIGITS_PER_SEQUENCE", 1)
    lengths = []
    for index in range(20):
        frames = digits.sequence(BLOCK, frames=20, size=64, seed=0, index=index)
        lengths.append(np.hypot(*np.diff(corners(frames), axis=0).T))
    # whole pixels: off by less than sqrt(2); shorter only where it is reflected
    assert np.median(lengths) == pytest.approx(3.6, abs=0.3)
    assert np.max(lengths) < 3.6 + 2**0.5


def test_the_seed_and_the_index_decide_every_pixel(images: np.ndarray) -> None:
    first, again, other = (
        digits.sequence(images, frames=5, size=64, seed=0, index=index) for index in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_square_smaller_than_a_digit_is_refused() -> None:
    with pytest.raises(BadInput, match="demo_size = 28"):
        digits.sequence(BLOCK, frames=5, size=28, seed=0, index=0)
