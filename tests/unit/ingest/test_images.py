"""Every kind of image is read as it was written; the meaning of a pixel is never guessed."""

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from convlstm.ingest import readers
from convlstm.runtime.errors import BadInput
from convlstm.storage import frames as frames_h5
from convlstm.storage import hdf5
from convlstm.storage.meaning import Channel
from tests.builders import reading_of, stored_frames, values_of

GRAY = np.random.default_rng(0).integers(0, 256, (9, 11), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (9, 11, 3), np.uint8)
PALETTE = [0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255]  # black, red, green, blue
INDEX = GRAY % 4


def saved(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type] # passed on
    return path


def png(pixels: np.ndarray, depth: int, kind: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG by its specification, of pixels (row, col) or (row, col, sample) and a colour type."""
    rows, cols = pixels.shape[:2]
    samples = pixels.reshape(rows, -1)
    bits = (samples[..., None] >> np.arange(depth)[::-1]) & 1
    packed = np.packbits(bits.reshape(rows, -1).astype(np.uint8), axis=1)
    content = zlib.compress(b"".join(b"\0" + line.tobytes() for line in packed))
    header = struct.pack(">2I5B", cols, rows, depth, kind, 0, 0, 0)
    listed = [(b"IHDR", header), *chunks, (b"IDAT", content), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in listed
    )


def palette_image() -> Image.Image:
    image = Image.fromarray(INDEX)
    image.putpalette(PALETTE)
    return image


def only_frame(path: Path, **reading: object) -> np.ndarray:
    (frame,) = readers.frames(path, reading_of(**reading))
    return frame.values


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".pgm", ".gif"])
def test_grey_bytes_come_back_exactly(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a{suffix}", GRAY)
    np.testing.assert_array_equal(only_frame(path), GRAY[None])
    assert readers.extent(path, reading_of()) == (1, 1)


def test_a_jpeg_comes_back_nearly(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 8
    frame = only_frame(saved(tmp_path / "a.jpg", smooth, quality=95))
    assert np.abs(frame[0].astype(int) - smooth).max() <= 3


@pytest.mark.parametrize(
    ("suffix", "dtype"), [(".png", "u2"), (".tif", "u2"), (".pgm", "u2"), (".tif", "f4")]
)
def test_wide_numbers_are_not_narrowed(tmp_path: Path, suffix: str, dtype: str) -> None:
    wide = GRAY.astype(dtype) * 200 + 7
    frame = only_frame(saved(tmp_path / f"a{suffix}", wide))
    np.testing.assert_array_equal(frame, wide[None])
    assert frame.dtype == dtype


@pytest.mark.parametrize("dtype", ["i1", "u1", "u2", "i4", "u4", "f4"])
def test_tiff_numbers_are_read_as_tifffile_writes_them(tmp_path: Path, dtype: str) -> None:
    # Pillow takes int8 for uint8, and uint32 for int32
    limits = np.finfo(dtype) if dtype == "f4" else np.iinfo(dtype)
    written = np.array([[limits.min, 1, limits.max]], dtype)
    tifffile.imwrite(tmp_path / "a.tif", written)
    frame = only_frame(tmp_path / "a.tif")
    np.testing.assert_array_equal(frame[0], written)
    assert frame.dtype == dtype


@pytest.mark.parametrize("largest", [1, 100, 255, 256, 4095, 65535])
@pytest.mark.parametrize("kind", ["P2", "P5"])
def test_a_pgm_keeps_its_numbers_whatever_it_calls_white(
    tmp_path: Path, kind: str, largest: int
) -> None:
    # Pillow scales them to 255 or 65535
    numbers = np.linspace(0, largest, 9).astype(">u2" if largest > 255 else "u1")
    content = " ".join(map(str, numbers)).encode() if kind == "P2" else numbers.tobytes()
    (tmp_path / "a.pgm").write_bytes(f"{kind} 3 3 {largest}\n".encode() + content)
    frame = only_frame(tmp_path / "a.pgm")
    np.testing.assert_array_equal(frame[0].ravel(), numbers)
    assert frame.dtype == ("u2" if largest > 255 else "u1")


def test_a_ppm_keeps_its_numbers_whatever_it_calls_white(tmp_path: Path) -> None:
    (tmp_path / "a.ppm").write_bytes(b"P3 1 1 100\n0 50 100")
    frame = only_frame(tmp_path / "a.ppm", pixel_values="rgb")
    np.testing.assert_array_equal(frame.ravel(), [0, 50, 100])


def test_colours_of_a_wide_ppm_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.ppm").write_bytes(b"P3 1 1 4095\n1 2 4095")
    with pytest.raises(BadInput, match="colours of 16 bits"):
        only_frame(tmp_path / "a.ppm", pixel_values="rgb")


@pytest.mark.parametrize(("name", "size"), [("a.png", (16, 9)), ("a.gif", (8, 16))])
def test_a_16_in_the_size_of_an_image_is_not_its_depth(
    tmp_path: Path, name: str, size: tuple[int, int]
) -> None:
    image = Image.fromarray(np.resize(INDEX, size[::-1]))
    image.putpalette(PALETTE * 16)
    image.save(tmp_path / name)
    assert only_frame(tmp_path / name, pixel_values="index").shape == (1, size[1], size[0])


def test_a_gzipped_pgm_is_unpacked(tmp_path: Path) -> None:
    content = saved(tmp_path / "a.pgm", GRAY).read_bytes()
    (tmp_path / "a.pgm.gz").write_bytes(gzip.compress(content))
    np.testing.assert_array_equal(only_frame(tmp_path / "a.pgm.gz"), GRAY[None])


def test_one_bit_is_0_and_1_and_as_luminance_black_and_white(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", GRAY > 127)
    np.testing.assert_array_equal(only_frame(path)[0], GRAY > 127)
    shown = only_frame(path, pixel_values="luminance")
    np.testing.assert_array_equal(shown[0], np.where(GRAY > 127, 255, 0))


@pytest.mark.parametrize("suffix", [".png", ".gif", ".tif"])
def test_a_palettes_index_is_the_class_number(tmp_path: Path, suffix: str) -> None:
    palette_image().save(tmp_path / f"a{suffix}")
    frame = only_frame(tmp_path / f"a{suffix}", pixel_values="index")
    np.testing.assert_array_equal(frame[0], INDEX)


def test_a_palettes_colours_are_rgb(tmp_path: Path) -> None:
    palette_image().save(tmp_path / "a.png")
    frame = only_frame(tmp_path / "a.png", pixel_values="rgb")
    expected = np.array(PALETTE).reshape(-1, 3)[INDEX]
    np.testing.assert_array_equal(np.moveaxis(frame, 0, -1), expected)


def test_colours_are_three_channels(tmp_path: Path) -> None:
    frame = only_frame(saved(tmp_path / "a.png", COLOUR), pixel_values="rgb")
    np.testing.assert_array_equal(frame, np.moveaxis(COLOUR, -1, 0))


def test_luminance_weighs_by_itu_r_601(tmp_path: Path) -> None:
    frame = only_frame(saved(tmp_path / "a.png", COLOUR), pixel_values="luminance")
    expected = COLOUR @ np.array([0.299, 0.587, 0.114])
    assert np.abs(frame[0] - expected).max() <= 1


@pytest.mark.parametrize(
    ("pixels", "pixel_values", "remedy"),
    [
        (COLOUR, "gray", "luminance or rgb"),
        (COLOUR, "index", "luminance or rgb"),
        (GRAY, "index", "set it to gray"),
        (GRAY, "rgb", "set it to gray"),
        (np.dstack([COLOUR, GRAY]), "gray", "luminance or rgb"),
    ],
)
def test_another_meaning_is_an_error_with_its_remedy(
    tmp_path: Path, pixels: np.ndarray, pixel_values: str, remedy: str
) -> None:
    path = saved(tmp_path / "a.png", pixels)
    with pytest.raises(BadInput, match=f"a.png: holds .*{remedy}"):
        only_frame(path, pixel_values=pixel_values)


def test_a_palette_under_gray_is_an_error(tmp_path: Path) -> None:
    palette_image().save(tmp_path / "a.png")
    with pytest.raises(BadInput, match="set it to index, luminance or rgb"):
        only_frame(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".gif", ".tif"])
def test_every_frame_of_a_film_is_read(tmp_path: Path, suffix: str) -> None:
    stack = [Image.fromarray(np.roll(GRAY, shift, axis=1)) for shift in range(4)]
    path = tmp_path / f"a{suffix}"
    stack[0].save(path, save_all=True, append_images=stack[1:])
    frames = values_of(readers.frames(path, reading_of()))
    assert readers.extent(path, reading_of()) == (1, 4)
    np.testing.assert_array_equal(
        np.stack(frames)[:, 0], [np.roll(GRAY, shift, axis=1) for shift in range(4)]
    )


def test_class_numbers_stay_class_numbers_in_an_animated_gif(tmp_path: Path) -> None:
    films = []
    for shift in range(3):
        image = Image.fromarray(np.roll(INDEX, shift, axis=1))
        image.putpalette(PALETTE)
        films.append(image)
    films[0].save(
        tmp_path / "a.gif", save_all=True, append_images=films[1:], palette=bytes(PALETTE)
    )
    frames = values_of(readers.frames(tmp_path / "a.gif", reading_of(pixel_values="index")))
    for shift, frame in enumerate(frames):
        np.testing.assert_array_equal(frame[0], np.roll(INDEX, shift, axis=1))


def test_colours_of_16_bits_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(np.array([[[258] * 3]]), 16, 2))
    with pytest.raises(BadInput, match="colours of 16 bits"):
        only_frame(tmp_path / "a.png", pixel_values="rgb")


@pytest.mark.parametrize("content", [b"", b"no image at all", "half"])
def test_a_broken_file_is_named_with_its_reason(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "a.png"
    if content == "half":
        saved(path, np.random.default_rng(0).integers(0, 256, (99, 99), np.uint8))
        content = path.read_bytes()[:3000]
    assert isinstance(content, bytes)
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"a\.png: cannot be read as an image \(.+\)"):
        only_frame(path)


@pytest.mark.parametrize("suffix", [".png", ".pgm.gz"])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / "a.png", np.zeros((3000, 3000), np.uint8))
    if suffix == ".pgm.gz":
        path = tmp_path / "a.pgm.gz"
        path.write_bytes(gzip.compress(b"P5 3000 3000 255\n" + bytes(3000 * 3000)))
    with pytest.raises(BadInput, match="max_pixels = 1000"):
        only_frame(path, max_pixels=1000)


def test_a_film_that_grows_beyond_max_pixels_is_refused_before_it_is_decoded(
    tmp_path: Path,
) -> None:
    path = tmp_path / "film.gif"
    first, second = (Image.fromarray(np.full((20, 24), value, np.uint8)) for value in (0, 9))
    first.save(path, save_all=True, append_images=[second])
    content = bytearray(path.read_bytes())
    descriptor = content.rindex(b"\x2c" + bytes(4) + struct.pack("<2H", 24, 20))
    for side in (40, 300):
        content[descriptor + 5 : descriptor + 9] = struct.pack("<2H", side, side)
        path.write_bytes(content)
        with pytest.raises(BadInput, match="more pixels than max_pixels = 1000"):
            list(readers.frames(path, reading_of(max_pixels=1000)))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_grey_of_few_bits_keeps_its_numbers(tmp_path: Path, depth: int) -> None:
    # B27: Pillow makes 17 times as much of 4 bits
    numbers = GRAY % 2**depth
    (tmp_path / "a.png").write_bytes(png(numbers, depth, 0, (b"tRNS", b"\0\1")))
    (frame,) = readers.frames(tmp_path / "a.png", reading_of())
    np.testing.assert_array_equal(frame.values[0], numbers)
    (channel,) = frame.meaning.channels
    assert channel.valid_range == (0, 2**depth - 1)
    assert channel.missing == (1,)
    (shown,) = readers.frames(tmp_path / "a.png", reading_of(pixel_values="luminance"))
    white = 255 // (2**depth - 1)
    np.testing.assert_array_equal(shown.values[0], numbers * white)
    assert shown.meaning.channels[0] == Channel(missing=(white,))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_class_numbers_of_few_bits_keep_their_numbers(tmp_path: Path, depth: int) -> None:
    palette = bytes(range(3 * 2**depth % 256 or 255)) if depth < 8 else bytes(PALETTE * 64)
    numbers = GRAY.astype(int) % 2**depth
    alpha = (b"tRNS", b"\0\x80")  # the first class is transparent, the second one half
    (tmp_path / "a.png").write_bytes(png(numbers, depth, 3, (b"PLTE", palette), alpha))
    (frame,) = readers.frames(tmp_path / "a.png", reading_of(pixel_values="index"))
    np.testing.assert_array_equal(frame.values[0], numbers)
    assert frame.meaning.channels == (Channel(missing=(0,), palette=palette.hex()),)


def test_a_transparent_number_of_16_bits_is_missing(tmp_path: Path) -> None:
    wide = GRAY.astype(int) * 200
    (tmp_path / "a.png").write_bytes(png(wide, 16, 0, (b"tRNS", struct.pack(">H", 1000))))
    (frame,) = readers.frames(tmp_path / "a.png", reading_of())
    np.testing.assert_array_equal(frame.values[0], wide)
    assert frame.meaning.channels[0].missing == (1000,)


HIDDEN = GRAY < 99
ALPHA = np.where(HIDDEN, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("opaque", [255, 128])
@pytest.mark.parametrize("suffix", [".png", ".webp"])
@pytest.mark.parametrize("pixel_values", ["rgb", "luminance"])
def test_hidden_colours_are_missing(
    tmp_path: Path, pixel_values: str, suffix: str, opaque: int
) -> None:
    # B11: the white of "no rain" was learnt as the heaviest rain
    pixels = np.dstack([np.where(HIDDEN[..., None], 255, COLOUR), ALPHA // 255 * opaque])
    path = saved(tmp_path / f"a{suffix}", pixels.astype(np.uint8), lossless=True, exact=True)
    (frame,) = readers.frames(path, reading_of(pixel_values=pixel_values))
    assert frame.values.dtype == np.int16
    np.testing.assert_array_equal(frame.values == -1, [HIDDEN] * len(frame.values))
    assert all(channel.missing == (-1,) for channel in frame.meaning.channels)
    opaque_path = saved(tmp_path / "b.png", COLOUR)
    seen = only_frame(opaque_path, pixel_values=pixel_values)
    np.testing.assert_array_equal(frame.values[:, ~HIDDEN], seen[:, ~HIDDEN])


@pytest.mark.parametrize("pixel_values", ["gray", "luminance"])
def test_hidden_grey_values_are_missing(tmp_path: Path, pixel_values: str) -> None:
    path = saved(tmp_path / "a.png", np.dstack([GRAY, ALPHA]))
    frame = only_frame(path, pixel_values=pixel_values)
    np.testing.assert_array_equal(frame[0], np.where(HIDDEN, -1, GRAY.astype(int)))


@pytest.mark.parametrize("clear", [0, b"\0\xff\xff\xff"])
def test_transparent_classes_are_missing_in_numbers_and_colours(
    tmp_path: Path, clear: int | bytes
) -> None:
    palette_image().save(tmp_path / "a.png", transparency=clear)
    (frame,) = readers.frames(tmp_path / "a.png", reading_of(pixel_values="index"))
    np.testing.assert_array_equal(frame.values[0], INDEX)
    assert frame.meaning.channels[0].missing == (0,)
    for pixel_values in ("rgb", "luminance"):
        colours = only_frame(tmp_path / "a.png", pixel_values=pixel_values)
        np.testing.assert_array_equal(colours[0] == -1, INDEX == 0)


def test_a_transparent_colour_is_missing(tmp_path: Path) -> None:
    pixels = COLOUR.astype(int)
    pixels[:3] = (1, 2, 3)
    clear = (b"tRNS", struct.pack(">3H", 1, 2, 3))
    (tmp_path / "a.png").write_bytes(png(pixels, 8, 2, clear))
    frame = only_frame(tmp_path / "a.png", pixel_values="rgb")
    assert (frame[:, :3] == -1).all()
    np.testing.assert_array_equal(frame[:, 3:], np.moveaxis(pixels, -1, 0)[:, 3:])


def test_pixels_that_are_half_transparent_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", np.dstack([COLOUR, GRAY]))
    with pytest.raises(BadInput, match=r"a\.png: holds half-transparent pixels"):
        only_frame(path, pixel_values="rgb")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    # B23; the reference is Pillow's own turn
    image = Image.fromarray(COLOUR)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / f"a{suffix}", exif=exif)
    with Image.open(tmp_path / f"a{suffix}") as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored))
    frame = only_frame(tmp_path / f"a{suffix}", pixel_values="rgb")
    np.testing.assert_array_equal(np.moveaxis(frame, 0, -1), expected)


def test_colours_of_print_are_refused(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "a.jpg")
    for pixel_values in ("rgb", "luminance", "gray"):
        with pytest.raises(BadInput, match=r"holds colours \(CMYK\)"):
            only_frame(tmp_path / "a.jpg", pixel_values=pixel_values)


def test_of_several_views_the_first_is_read(tmp_path: Path) -> None:
    views = [Image.fromarray(pixels) for pixels in (GRAY, GRAY.T)]
    views[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=views[1:])
    assert readers.extent(tmp_path / "a.jpg", reading_of()) == (1, 1)
    assert only_frame(tmp_path / "a.jpg").shape == (1, 9, 11)


def film_of(path: Path, *pictures: np.ndarray, **options: Any) -> Path:
    first, *others = (Image.fromarray(pixels) for pixels in pictures)
    first.save(path, save_all=True, append_images=others, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".apng"])
def test_pictures_of_an_animated_png_are_time_but_not_its_title(
    tmp_path: Path, suffix: str
) -> None:
    pictures = [np.roll(GRAY, shift, axis=1) for shift in range(4)]
    for title in (False, True):
        path = film_of(tmp_path / f"a{suffix}", *pictures, default_image=title)
        found = np.stack(values_of(readers.frames(path, reading_of())))
        np.testing.assert_array_equal(found[:, 0], pictures[title:])
        assert readers.extent(path, reading_of()) == (1, len(found))


def test_class_numbers_of_an_animated_png_are_exact(tmp_path: Path) -> None:
    pictures = []
    for shift in range(3):
        image = Image.fromarray(np.roll(INDEX, shift, axis=1))
        image.putpalette(PALETTE)
        pictures.append(image)
    pictures[0].save(tmp_path / "a.png", save_all=True, append_images=pictures[1:], blend=1)
    found = values_of(readers.frames(tmp_path / "a.png", reading_of(pixel_values="index")))
    expected = [np.roll(INDEX, shift, axis=1) for shift in range(3)]
    np.testing.assert_array_equal(np.stack(found)[:, 0], expected)


def test_a_film_that_clears_pictures_without_alpha_is_refused(tmp_path: Path) -> None:
    other = COLOUR.copy()
    other[4, 4] += 1
    path = film_of(tmp_path / "a.png", COLOUR, other, COLOUR, disposal=1, blend=1)
    with pytest.raises(BadInput, match="clears its picture between frames, but has no alpha"):
        list(readers.frames(path, reading_of(pixel_values="rgb")))


def test_no_program_is_run_for_a_picture(tmp_path: Path) -> None:
    # for EPS, Pillow would run Ghostscript
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(BadInput, match="cannot identify image file"):
        only_frame(tmp_path / "a.png")


PNG_KINDS = {0: (1, 1, 2, 4, 8, 16), 2: (3, 8), 3: (1, 1, 2, 4, 8), 4: (2, 8), 6: (4, 8)}
"""Samples per pixel and the depths of each colour type."""


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_png_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    check_png(tmp_path_factory.mktemp("png"), data)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_png_comes_back_as_it_was_written_in_500_draws(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    check_png(tmp_path_factory.mktemp("png"), data)


def check_png(folder: Path, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(PNG_KINDS)))
    samples, *depths = PNG_KINDS[kind]
    depth = data.draw(st.sampled_from(depths))
    orientation = data.draw(st.integers(1, 8))
    chance = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    pixels = chance.integers(0, 2**depth, (5, 7, samples))
    chunks = [
        (b"eXIf", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1" + bytes([0, orientation, *[0] * 6]))
    ]
    if kind in (4, 6):
        pixels[..., -1] = chance.choice([0, 255], (5, 7))
    if kind == 3:
        chunks.append((b"PLTE", bytes(range(3)) * 2**depth))
    (folder / "a.png").write_bytes(png(pixels, depth, kind, *chunks))
    wanted = {0: "gray", 2: "rgb", 3: "index", 4: "gray", 6: "rgb"}[kind]
    expected = pixels.astype(int)
    if kind in (4, 6):
        expected = np.where(pixels[..., -1:] == 0, -1, pixels[..., :-1])
    turned = Image.fromarray(np.arange(35, dtype=np.uint8).reshape(5, 7))
    turned.getexif()[0x0112] = orientation
    places = np.asarray(ImageOps.exif_transpose(turned))
    expected = expected.reshape(35, -1)[places]
    np.testing.assert_array_equal(
        only_frame(folder / "a.png", pixel_values=wanted), np.moveaxis(expected, -1, 0)
    )


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_webp_is_stored_as_pillow_reads_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    check_webp(tmp_path_factory.mktemp("webp"), data)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_webp_is_stored_as_pillow_reads_it_in_500_draws(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    check_webp(tmp_path_factory.mktemp("webp"), data)


def check_webp(folder: Path, data: st.DataObject) -> None:
    """Save pictures of which some rows change, and compare what a shard holds of them."""
    samples, count = data.draw(st.sampled_from((1, 3, 4))), data.draw(st.integers(1, 4))
    rows, cols, orientation = (data.draw(st.integers(1, most)) for most in (9, 9, 8))
    wanted = data.draw(st.sampled_from(("rgb", "luminance")))
    lossless = data.draw(st.booleans())
    chance = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    pixels = np.repeat(chance.integers(0, 256, (1, rows, cols, samples), np.uint8), count, axis=0)
    pixels[:, : data.draw(st.integers(0, rows))] += np.arange(count, dtype=np.uint8)[
        :, None, None, None
    ]
    if samples == 4:
        pixels[..., -1] = chance.choice([0, 255], pixels.shape[:-1])
    exif = Image.Exif()
    exif[0x0112] = orientation
    pictures = pixels[..., 0] if samples == 1 else pixels
    film_of(folder / "a.webp", *pictures, lossless=lossless, exact=True, exif=exif)
    expected = []
    with Image.open(folder / "a.webp") as image:
        has_alpha = image.has_transparency_data
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            shown = ImageOps.exif_transpose(image.convert("RGBA"))
            colours = shown.convert("RGB") if wanted == "rgb" else shown.convert("RGB").convert("L")
            values = np.atleast_3d(np.asarray(colours)).astype(int)
            expected.append(np.where(np.asarray(shown)[..., 3:] == 0, -1, values))
    with hdf5.create(folder / "frames.h5") as file:
        read = readers.frames(folder / "a.webp", reading_of(pixel_values=wanted))
        frames_h5.append_sequence(file, "a", read)
    with stored_frames(folder / "frames.h5") as sequences:
        stored = sequences["a"]
        np.testing.assert_array_equal(np.moveaxis(stored.frames[:], 1, -1), expected)
        assert stored.frames.dtype == (np.int16 if has_alpha else np.uint8)
        assert {one.missing for one in stored.meaning.of_each(1)} == {(-1,) if has_alpha else ()}
