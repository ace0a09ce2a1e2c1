"""Every kind of image is read as it was written; the meaning of a pixel is never guessed."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from convlstm.ingest import readers
from convlstm.runtime.errors import BadInput
from tests.builders import reading_of, values_of

GRAY = np.random.default_rng(0).integers(0, 256, (9, 11), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (9, 11, 3), np.uint8)
PALETTE = [0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255]  # black, red, green, blue
INDEX = GRAY % 4


def saved(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type] # passed on
    return path


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


def test_a_tiff_that_promises_a_page_that_is_not_there_is_named(tmp_path: Path) -> None:
    # after the tags, 12 bytes each, stands where the next page begins
    saved(tmp_path / "a.tif", GRAY)
    damaged = bytearray((tmp_path / "a.tif").read_bytes())
    damaged[10 + 12 * damaged[8]] = 5
    (tmp_path / "a.tif").write_bytes(damaged)
    with pytest.raises(BadInput, match=r"a\.tif: cannot be read as an image"):
        list(readers.frames(tmp_path / "a.tif", reading_of()))


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


def test_class_numbers_of_changing_palettes_are_refused(tmp_path: Path) -> None:
    films = [palette_image() for _ in range(2)]
    films[1].putpalette(PALETTE[::-1])
    films[0].save(tmp_path / "a.gif", save_all=True, append_images=films[1:])
    with pytest.raises(BadInput, match="holds colours"):
        list(readers.frames(tmp_path / "a.gif", reading_of(pixel_values="index")))


def test_colours_of_16_bits_are_refused(tmp_path: Path) -> None:
    # one pixel, written by the PNG specification: width 1, height 1, depth 16, colour type 2
    pixel = zlib.compress(b"\0" + b"\1\2" * 3)
    chunks = [
        (b"IHDR", struct.pack(">2I5B", 1, 1, 16, 2, 0, 0, 0)),
        (b"IDAT", pixel),
        (b"IEND", b""),
    ]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    (tmp_path / "a.png").write_bytes(content)
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
