"""Grey, class numbers, colours and alpha of TIFF pages; the reference is tifffile, or by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from convlstm.ingest import tiffs
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame
from tests.builders import reading_of

GRAY = np.random.default_rng(0).integers(0, 256, (9, 11), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (9, 11, 3), np.uint8)
TABLE = np.random.default_rng(2).integers(0, 256, (3, 256)).astype(np.uint16) * 257


def frame(path: Path, pixel_values: str = "gray", **reading: object) -> Frame:
    (found,) = tiffs.frames(path, reading_of(pixel_values=pixel_values, **reading))
    return found


def written(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, pixels, **{"metadata": None, **options})
    return path


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_grey_is_as_stored_whichever_end_is_white(tmp_path: Path, dtype: str) -> None:
    # B34: GDAL and tifffile give what is stored; Pillow inverted 8 bits and not 16
    stored, largest = GRAY.astype(dtype) * np.dtype(dtype).type(1), np.iinfo(dtype).max
    for photometric in ("minisblack", "miniswhite"):
        path = written(tmp_path / "a.tif", stored, photometric=photometric)
        np.testing.assert_array_equal(frame(path).values[0], stored)
        shown = stored if photometric == "minisblack" else largest - stored
        np.testing.assert_array_equal(frame(path, "luminance").values[0], shown)


def test_what_grows_darker_without_an_end_has_no_luminance(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", GRAY.astype(np.float32), photometric="miniswhite")
    with pytest.raises(BadInput, match="set pixel_values to gray"):
        frame(path, "luminance")


@pytest.mark.parametrize(("bits", "dtype"), [(1, "u1"), (2, "u1"), (4, "u1"), (12, "u2")])
def test_odd_depths_keep_their_numbers_and_say_what_is_white(
    tmp_path: Path, bits: int, dtype: str
) -> None:
    stored = GRAY.astype(dtype) * np.dtype(dtype).type(16) % 2**bits
    stored = stored if bits == 12 else GRAY % 2**bits
    pixels = stored.astype(bool) if bits == 1 else stored
    options = {} if bits == 1 else {"bitspersample": bits}
    found = frame(written(tmp_path / "a.tif", pixels, photometric="minisblack", **options))
    np.testing.assert_array_equal(found.values[0], stored)
    assert found.values.dtype == dtype
    assert found.meaning.channels[0].valid_range == (0, 2**bits - 1)


@pytest.mark.parametrize("bits", [1, 4])
def test_luminance_of_a_small_depth_goes_to_255(tmp_path: Path, bits: int) -> None:
    stored = GRAY % 2**bits
    pixels = stored.astype(bool) if bits == 1 else stored
    options = {} if bits == 1 else {"bitspersample": bits}
    path = written(tmp_path / "a.tif", pixels, photometric="minisblack", **options)
    found = frame(path, "luminance")
    np.testing.assert_array_equal(found.values[0], stored * (255 // (2**bits - 1)))
    assert found.meaning.channels == ()


@pytest.mark.parametrize("options", [{}, {"planarconfig": "separate"}, {"compression": "lzw"}])
def test_colours_are_three_channels(tmp_path: Path, options: dict[str, Any]) -> None:
    planar = "planarconfig" in options
    pixels = np.moveaxis(COLOUR, -1, 0) if planar else COLOUR
    path = written(tmp_path / "a.tif", pixels, photometric="rgb", **options)
    np.testing.assert_array_equal(frame(path, "rgb").values, np.moveaxis(COLOUR, -1, 0))
    expected = np.asarray(Image.fromarray(COLOUR).convert("L"))
    np.testing.assert_array_equal(frame(path, "luminance").values[0], expected)


def test_wide_colours_keep_16_bits(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", COLOUR * np.uint16(257), photometric="rgb")
    wide = frame(path, "rgb").values
    np.testing.assert_array_equal(wide, np.moveaxis(COLOUR, -1, 0) * np.uint16(257))
    expected = COLOUR @ np.array([0.299, 0.587, 0.114]) * 257
    assert np.abs(frame(path, "luminance").values[0] - expected).max() <= 1


def test_colours_of_a_jpeg_are_those_that_tifffile_reads(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8)[..., None] * 8
    pixels = np.repeat(smooth, 3, axis=2)
    path = written(tmp_path / "a.tif", pixels, photometric="rgb", compression="jpeg")
    found = frame(path, "rgb").values
    np.testing.assert_array_equal(np.moveaxis(found, 0, -1), tifffile.imread(path))


def test_a_palette_is_class_numbers_or_colours(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", GRAY, photometric="palette", colormap=TABLE)
    found = frame(path, "index")
    np.testing.assert_array_equal(found.values[0], GRAY)
    colours = TABLE[:, GRAY] // 257
    assert found.meaning.channels[0].palette == (TABLE.T // 257).astype(np.uint8).tobytes().hex()
    np.testing.assert_array_equal(frame(path, "rgb").values, colours)
    with pytest.raises(BadInput, match=r"a palette of colours, .*index, luminance or rgb"):
        frame(path)


def test_a_missing_class_stays_missing_in_its_colours(tmp_path: Path) -> None:
    tags = [(42113, "s", 0, "7", True)]
    pixels = GRAY % 9
    path = written(
        tmp_path / "a.tif", pixels, photometric="palette", colormap=TABLE, extratags=tags
    )
    assert frame(path, "index").meaning.channels[0].missing == (7,)
    for wanted in ("rgb", "luminance"):
        found = frame(path, wanted)
        np.testing.assert_array_equal(found.values[0] == -1, pixels == 7)
        assert found.meaning.channels[0].missing == (-1,)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_transparent_pixels_are_missing(tmp_path: Path, dtype: str) -> None:
    full = 1 if dtype == "f4" else np.iinfo(dtype).max
    alpha = np.where(GRAY > 99, full, 0).astype(dtype)
    for pixels, photometric, wanted in (
        (np.dstack([GRAY.astype(dtype), alpha]), "minisblack", "gray"),
        (np.dstack([COLOUR.astype(dtype), alpha]), "rgb", "rgb"),
    ):
        path = written(
            tmp_path / "a.tif",
            pixels,
            photometric=photometric,
            extrasamples=["unassalpha"],
            planarconfig="contig",
        )
        found = frame(path, wanted)
        hidden = np.isnan(found.values) if dtype == "f4" else found.values == -1
        np.testing.assert_array_equal(hidden, [GRAY <= 99] * len(hidden))
        seen = np.moveaxis(pixels[..., :-1], -1, 0)
        np.testing.assert_array_equal(found.values[~hidden], seen[~hidden])


def test_another_kind_of_picture_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", np.dstack([COLOUR, GRAY]), photometric="separated")
    for wanted in ("gray", "rgb"):
        with pytest.raises(BadInput, match=r"a\.tif: "):
            frame(path, wanted)
    path = written(tmp_path / "a.tif", GRAY)
    with pytest.raises(BadInput, match=r"holds grey values, .* set it to gray"):
        frame(path, "rgb")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_page_is_turned_as_its_tag_says(tmp_path: Path, orientation: int) -> None:
    path = written(tmp_path / "a.tif", GRAY, extratags=[(274, "H", 1, orientation, True)])
    image = Image.fromarray(GRAY)
    image.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(frame(path).values[0], expected)
