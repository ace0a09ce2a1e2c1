"""Turn, transparency and brightness follow one rule in all pictures; Pillow is the reference."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from convlstm.ingest import pixels
from convlstm.runtime.errors import BadInput
from convlstm.storage.meaning import NOTHING_SAID, Channel

HERE = Path("a.png")
GRAY = np.random.default_rng(0).integers(0, 256, (5, 7), np.uint8)


@pytest.mark.parametrize("orientation", [*range(1, 9), 0, 9])
def test_a_turn_is_that_of_exif(orientation: int) -> None:
    image = Image.fromarray(GRAY)
    image.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(pixels.turned(GRAY[None], orientation)[0], expected)


@pytest.mark.parametrize(("dtype", "wider"), [("u1", "i2"), ("u2", "i4"), ("u4", "i8")])
def test_integers_get_room_for_what_is_hidden(dtype: str, wider: str) -> None:
    values = np.array([[[0, np.iinfo(dtype).max]]], dtype)
    found, missing = pixels.without_hidden(values, np.array([[0, 255]], np.uint8), HERE)
    assert found.dtype == wider
    assert missing == (-1,)
    np.testing.assert_array_equal(found, [[[-1, np.iinfo(dtype).max]]])


def test_what_is_hidden_of_floats_is_nan() -> None:
    found, missing = pixels.without_hidden(np.ones((1, 1, 2), "f4"), np.array([[0, 9]]), HERE)
    assert found.dtype == "f4"
    np.testing.assert_array_equal(found, [[[np.nan, 1]]])
    assert np.isnan(missing).all()


@pytest.mark.parametrize("alpha", [[0, 0, 0], [0, 128, 128], [255, 255, 255]])
def test_alpha_may_have_one_value_besides_0(alpha: list[int]) -> None:
    values = np.array([[[1, 2, 3]]], np.uint8)
    found, _ = pixels.without_hidden(values, np.array([alpha], np.uint8), HERE)
    np.testing.assert_array_equal(found < 0, np.array([[alpha]]) == 0)


@pytest.mark.parametrize(("alpha", "premultiplied"), [([1, 255], False), ([0, 128], True)])
def test_what_is_half_transparent_is_refused(alpha: list[int], premultiplied: bool) -> None:
    values = np.zeros((1, 1, 2), np.uint8)
    with pytest.raises(BadInput, match=r"a\.png: holds half-transparent pixels"):
        pixels.without_hidden(
            values, np.array([alpha], np.uint8), HERE, premultiplied=premultiplied
        )


def test_brightness_of_16_bits_is_256_times_finer_than_of_8() -> None:
    colours = np.random.default_rng(1).integers(0, 256, (3, 5, 7), np.uint8)
    fine = pixels.luminance(colours * np.uint16(257))
    np.testing.assert_allclose(fine / 257, pixels.luminance(colours), atol=0.51)
    np.testing.assert_array_equal(pixels.luminance(np.full((3, 1, 1), 65535, "u2")), [[[65535]]])


def test_white_of_16_bits_is_no_range_of_the_numbers() -> None:
    assert pixels.said(1, (), 65535).channels == (Channel(white=65535),)


def test_equal_words_are_one_meaning() -> None:
    assert pixels.said(3) is NOTHING_SAID
    assert pixels.said(3, (-1.0,)) is pixels.said(3, (-1.0,))
    assert pixels.said(2, (7.0,), 15).channels == (
        (Channel(missing=(7.0,), valid_range=(0.0, 15.0), white=15),) * 2
    )
