"""Films of class numbers come back exactly, however GIF stores what changed; Pillow writes them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from convlstm.ingest import gifs
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame
from tests.builders import file_pages_bytes, reading_of, values_of

PALETTE = [255, 255, 255, 0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 0, 0, 9, 9, 9, 8, 8, 8, 7, 7, 7]
"""Classes 3 and 4 have one colour."""


def classes(seed: int, count: int = 5) -> list[np.ndarray]:
    """Pictures of the classes 0 to 6, of which few pixels change."""
    chance = np.random.default_rng(seed)
    pixels = chance.integers(0, 7, (12, 16), np.uint8)
    film = [pixels]
    for _ in range(count - 1):
        pixels = pixels.copy()
        row, col = chance.integers(0, 10, 2)
        pixels[row : row + 3, col : col + 4] = chance.integers(
            0, 7, pixels[row : row + 3, col : col + 4].shape
        )
        film.append(pixels)
    return film


def saved(
    path: Path, film: list[np.ndarray], palette: list[int] | None = None, **options: Any
) -> Path:
    images = [Image.fromarray(pixels) for pixels in film]
    for image in images if palette else ():
        image.putpalette(palette or ())
    images[0].save(path, save_all=True, append_images=images[1:], **options)
    return path


def listed(path: Path, pixel_values: str) -> list[Frame]:
    reading = reading_of(pixel_values=pixel_values)
    found = list(gifs.frames(path, reading))
    assert gifs.extent(path, reading) == (1, len(found))
    return found


def raw_gif(
    *parts: tuple[np.ndarray, int, int, int | None, int], palette: list[int] = PALETTE
) -> bytes:
    """A GIF of 12 x 16 pixels by its specification: pixels, x, y, transparent number, disposal."""
    bits = (len(palette) // 3 - 1).bit_length()
    content = b"GIF89a" + (16).to_bytes(2, "little") + (12).to_bytes(2, "little")
    content += bytes([128 | (bits - 1), 0, 0, *palette])
    for pixels, x, y, clear, disposal in parts:
        rows, cols = pixels.shape
        content += bytes([0x21, 0xF9, 4, disposal << 2 | (clear is not None), 1, 0, clear or 0, 0])
        content += b"," + b"".join(n.to_bytes(2, "little") for n in (x, y, cols, rows)) + b"\0"
        content += bytes([7]) + packed(pixels) + b"\0"
    return content + b";"


def packed(pixels: np.ndarray) -> bytes:
    """LZW of codes of 8 bits that starts afresh before its table grows."""
    codes: list[int] = []
    for place, number in enumerate(pixels.ravel().tolist()):
        codes += [128] if place % 100 == 0 else []
        codes.append(number)
    data = bytes([*codes, 129])
    return b"".join(
        bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255)
    )


@pytest.mark.parametrize("transparency", [{}, {"transparency": 7}])
@pytest.mark.parametrize("disposal", [0, 1, 2])
def test_class_numbers_of_films_of_changes_are_exact(
    tmp_path: Path, disposal: int, transparency: dict[str, int]
) -> None:
    # B25: refused, since Pillow makes colours of the later frames
    film = classes(0)
    path = saved(tmp_path / "a.gif", film, PALETTE, disposal=disposal, **transparency)
    found = listed(path, "index")
    np.testing.assert_array_equal([frame.values[0] for frame in found], film)
    assert all(frame.values.dtype == np.uint8 for frame in found)
    assert found[0].meaning.channels[0].palette == bytes(PALETTE).hex()


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1), disposal=st.sampled_from([0, 1, 2]), clear=st.booleans())
def test_colours_are_those_that_pillow_shows(
    tmp_path_factory: pytest.TempPathFactory, seed: int, disposal: int, clear: bool
) -> None:
    check_like_pillow(tmp_path_factory.mktemp("gif"), seed, disposal, clear)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1), disposal=st.sampled_from([0, 1, 2]), clear=st.booleans())
def test_colours_are_those_that_pillow_shows_in_500_draws(
    tmp_path_factory: pytest.TempPathFactory, seed: int, disposal: int, clear: bool
) -> None:
    check_like_pillow(tmp_path_factory.mktemp("gif"), seed, disposal, clear)


def check_like_pillow(folder: Path, seed: int, disposal: int, clear: bool) -> None:
    options = {"transparency": seed % 8} if clear else {}
    path = saved(folder / "a.gif", classes(seed), PALETTE, disposal=disposal, **options)
    with Image.open(path) as image:
        shown = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            shown.append(np.moveaxis(np.asarray(image.convert("RGBA")), -1, 0))
    for frame, expected in zip(listed(path, "rgb"), shown, strict=True):
        hidden = expected[3] == 0
        np.testing.assert_array_equal(frame.values[:, ~hidden], expected[:3, ~hidden])
        missing = [channel.missing for channel in frame.meaning.channels]
        assert (frame.values[:, hidden] == -1).all()
        assert not hidden.any() or missing == [(-1,)] * 3


def test_rectangles_are_laid_and_disposed_of_by_gif89a(tmp_path: Path) -> None:
    whole = np.full((12, 16), 1, np.uint8)
    small, other = np.full((3, 4), 2, np.uint8), np.array([[3, 7]], np.uint8)
    parts = (
        (whole, 0, 0, None, 1),
        (small, 5, 6, None, 3),  # is restored to what was before
        (other, 0, 0, 7, 1),  # 7 leaves what is there
        (small, 5, 6, None, 2),  # is cleared to transparent
        (other, 0, 0, 7, 1),
    )
    (tmp_path / "a.gif").write_bytes(raw_gif(*parts))
    expected = [whole.copy() for _ in parts]
    expected[1][6:9, 5:9] = 2
    for later in expected[2:]:
        later[0, 0] = 3
    expected[3][6:9, 5:9] = 2
    expected[4][6:9, 5:9] = 7  # the number that the file has for transparent pixels
    found = listed(tmp_path / "a.gif", "index")
    np.testing.assert_array_equal([frame.values[0] for frame in found], expected)
    assert found[0].meaning.channels[0].missing == (7,)
    np.testing.assert_array_equal(listed(tmp_path / "a.gif", "rgb")[4].values[:, 6, 5], [-1] * 3)


def test_a_number_that_is_a_class_and_transparent_is_refused(tmp_path: Path) -> None:
    whole, other = np.full((12, 16), 3, np.uint8), np.array([[3, 0]], np.uint8)
    (tmp_path / "a.gif").write_bytes(
        raw_gif((whole, 0, 0, None, 1), (other, 0, 0, 3, 2), (other, 5, 5, 3, 1))
    )
    with pytest.raises(BadInput, match="uses number 3 for a class and for transparent pixels"):
        listed(tmp_path / "a.gif", "index")


def test_pixels_that_no_frame_paints_are_missing(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(raw_gif((np.full((3, 4), 2, np.uint8), 5, 6, None, 1)))
    (frame,) = listed(tmp_path / "a.gif", "index")
    expected = np.full((12, 16), -1)
    expected[6:9, 5:9] = 2
    np.testing.assert_array_equal(frame.values[0], expected)
    assert frame.meaning.channels[0].missing == (-1,)


def test_films_of_grey_values_stay_bytes(tmp_path: Path) -> None:
    film = [pixels * 30 for pixels in classes(1)]
    for disposal in (0, 1):
        path = saved(tmp_path / "a.gif", film, disposal=disposal)
        found = np.stack(values_of(listed(path, "gray")))
        np.testing.assert_array_equal(found[:, 0], film)
        assert found.dtype == np.uint8


def test_class_numbers_of_changing_palettes_are_refused(tmp_path: Path) -> None:
    images = [Image.fromarray(pixels) for pixels in classes(0, 2)]
    images[0].putpalette(PALETTE)
    images[1].putpalette(PALETTE[::-1])
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:])
    with pytest.raises(BadInput, match="holds colours"):
        listed(tmp_path / "a.gif", "index")
    assert len(listed(tmp_path / "a.gif", "rgb")) == 2


def test_a_truncated_film_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.gif", classes(0), PALETTE)
    content = path.read_bytes()
    for length in (0, 5, 12, 30, len(content) // 2, len(content) - 9):
        path.write_bytes(content[:length])
        with pytest.raises(BadInput, match=r"a\.gif: cannot be read as an image \(.+\)"):
            listed(path, "index")


def test_no_more_pages_of_a_file_stay_in_memory_than_a_frame_has(tmp_path: Path) -> None:
    """The file has more than 8 MB."""
    film = list(np.random.default_rng(0).integers(0, 256, (100, 256, 256), np.uint8))
    path = saved(tmp_path / "a.gif", film)
    assert path.stat().st_size > 2**23
    before = file_pages_bytes()
    assert max(file_pages_bytes() for _ in gifs.frames(path, reading_of())) - before < 2**21
