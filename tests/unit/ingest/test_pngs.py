"""Plain pictures of PNG have the numbers that Pillow finds, and all others are left to it."""

import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy
from PIL import Image, PngImagePlugin

from convlstm.ingest import images, pngs
from convlstm.runtime.errors import BadInput
from tests.builders import reading_of

SMALL = np.arange(63, dtype=np.uint8).reshape(7, 9)


def saved(picture: Image.Image | np.ndarray, **options: Any) -> bytes:
    content = BytesIO()
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(content, "png", **options)
    return content.getvalue()


def by_pillow(content: bytes) -> np.ndarray | None:
    """Return what Pillow reads, or None if it refuses."""
    try:
        with Image.open(BytesIO(content), formats=("PNG",)) as image:
            return np.asarray(image)
    except Exception:  # it raises many kinds
        return None


@settings(max_examples=60, deadline=None)
@given(data=st.data(), dtype=st.sampled_from(["u1", "u2"]), level=st.sampled_from([0, 6]))
def test_the_numbers_are_those_of_pillow(data: st.DataObject, dtype: str, level: int) -> None:
    shape = st.tuples(st.integers(1, 40), st.integers(1, 40))
    values = data.draw(hypothesis_numpy.arrays(dtype, data.draw(shape)))
    content = saved(values, compress_level=level)
    assert pngs.size(content) == values.shape
    found = pngs.unpacked(content)
    assert found is not None
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


def test_a_picture_that_is_packed_in_several_chunks_is_read() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400), np.uint8)
    content = saved(noise)
    assert content.count(b"IDAT") > 1
    np.testing.assert_array_equal(pngs.unpacked(content), noise)


def chunk(kind: bytes, body: bytes) -> bytes:
    check = zlib.crc32(kind + body).to_bytes(4, "big")
    return len(body).to_bytes(4, "big") + kind + body + check


def with_chunk(kind: bytes, body: bytes) -> bytes:
    """Return the small picture with a chunk behind its head."""
    content = saved(SMALL)
    return content[:33] + chunk(kind, body) + content[33:]


@pytest.mark.parametrize("kind", [b"tEXt", b"tIME", b"pHYs"])
def test_what_changes_no_number_is_passed_over_if_it_is_whole(kind: bytes) -> None:
    content = with_chunk(kind, b"Title\0rain")
    np.testing.assert_array_equal(pngs.unpacked(content), SMALL)
    assert pngs.unpacked(content.replace(b"rain", b"ruin")) is None


@pytest.mark.parametrize("kind", [b"tRNS", b"eXIf", b"acTL", b"sBIT", b"iCCP", b"abCd", b"ABCD"])
def test_a_picture_that_says_more_is_left_to_pillow(kind: bytes) -> None:
    assert pngs.unpacked(with_chunk(kind, b"\0\1")) is None


def test_what_stands_behind_the_picture_is_left_to_pillow() -> None:
    content = saved(SMALL)
    assert pngs.unpacked(content + b"more") is None
    turned = content[:-12] + chunk(b"eXIf", b"Exif") + content[-12:]
    assert pngs.unpacked(turned) is None


@pytest.mark.parametrize("mode", ["1", "LA", "P", "RGB", "RGBA"])
def test_other_pictures_are_left_to_pillow(mode: str) -> None:
    assert pngs.size(saved(Image.new(mode, (9, 7)))) is None


def test_pictures_of_few_bits_or_interlaced_are_left_to_pillow() -> None:
    head = bytearray(saved(SMALL)[:33])
    assert pngs.size(bytes(head)) == (7, 9)
    for place, value in ((24, 4), (28, 1), (12, 0), (0, 0)):
        other = bytearray(head)
        other[place] = value
        assert pngs.size(bytes(other)) is None
    assert pngs.size(bytes(head[:20])) is None


def test_what_pillow_refuses_is_not_taken() -> None:
    """Each byte of a small picture is changed, and the picture is cut at each byte."""
    content = saved(np.random.default_rng(0).integers(0, 256, (9, 9), np.uint8))
    harmed = [content[:end] for end in range(len(content))]
    for place in range(len(content)):
        for change in (1, 0x80, 0xFF):
            other = bytearray(content)
            other[place] ^= change
            harmed.append(bytes(other))
    for one in harmed:
        found = pngs.unpacked(one) if pngs.size(one) else None
        if found is not None:
            expected = by_pillow(one)
            assert expected is not None
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("dtype", "white"), [("u1", 0), ("u2", 65535)])
@pytest.mark.parametrize("wanted", ["gray", "luminance"])
def test_a_plain_picture_means_what_pillow_is_told(
    tmp_path: Path, dtype: str, white: int, wanted: str
) -> None:
    path, reading = tmp_path / "a.png", reading_of(pixel_values=wanted)
    content = saved(SMALL.astype(dtype))
    path.write_bytes(content)
    (plain,) = images.frames(path, reading)
    path.write_bytes(content[:33] + chunk(b"abCd", b"") + content[33:])
    (other,) = images.frames(path, reading)
    assert plain.meaning == other.meaning
    assert plain.values.dtype == other.values.dtype
    np.testing.assert_array_equal(plain.values, other.values)
    assert plain.meaning.of_each(1)[0].white == white


def test_a_plain_picture_may_be_too_large(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(saved(SMALL))
    with pytest.raises(BadInput, match=r"a\.png: has more pixels than max_pixels = 62"):
        next(images.frames(tmp_path / "a.png", reading_of(max_pixels=62)))


def test_an_animated_picture_is_not_plain() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "rain")
    others = [Image.fromarray(SMALL[::-1].copy())]
    film = saved(SMALL, save_all=True, append_images=others, pnginfo=info)
    assert pngs.unpacked(film) is None
