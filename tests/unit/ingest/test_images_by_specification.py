"""Animated PNG is written here chunk by chunk, and read as its specification says it is shown.

Source: W3C, Portable Network Graphics, third edition, sections 11.3.6 and 12 (APNG).
"""

import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from convlstm.ingest import readers
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame
from tests.builders import reading_of

ROWS, COLS = 6, 7
KINDS = {0: (1, "gray"), 2: (3, "rgb"), 3: (1, "index"), 4: (2, "gray"), 6: (4, "rgb")}
"""The samples of each colour type, and how they are read."""
NONE, BACKGROUND, PREVIOUS = range(3)
SOURCE, OVER = range(2)


class Part:
    """One frame: a rectangle of random pixels, and how it is laid over the canvas."""

    def __init__(self, draw: st.DrawFn, samples: int, *, whole: bool) -> None:
        top, left = (0, 0) if whole else (draw(st.integers(0, 4)), draw(st.integers(0, 4)))
        rows = ROWS if whole else draw(st.integers(1, ROWS - top))
        cols = COLS if whole else draw(st.integers(1, COLS - left))
        chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.pixels = chance.integers(0, 256, (rows, cols, samples))
        if samples in (2, 4):
            self.pixels[..., -1] = chance.choice([0, 255], (rows, cols))
        self.box = np.s_[top : top + rows, left : left + cols]
        self.place = (cols, rows, left, top)
        self.disposal = draw(st.sampled_from((NONE, BACKGROUND, PREVIOUS)))
        self.blend = draw(st.sampled_from((SOURCE, OVER)))

    def data(self) -> bytes:
        """Return the packed pixels."""
        lines = self.pixels.astype(np.uint8).reshape(len(self.pixels), -1)
        return zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines))


@st.composite
def films(draw: st.DrawFn) -> tuple[int, list[Part]]:
    """A colour type, and the frames of a film, of which the first covers all."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    count = draw(st.integers(2, 5))
    return kind, [Part(draw, KINDS[kind][0], whole=number == 0) for number in range(count)]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def apng(kind: int, parts: list[Part]) -> bytes:
    """Return the file."""
    content = b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">2I5B", COLS, ROWS, 8, kind, 0, 0, 0)
    )
    content += chunk(b"acTL", struct.pack(">2I", len(parts), 0))
    content += chunk(b"PLTE", bytes(range(256)) * 3) if kind == 3 else b""
    number = 0
    for part in parts:
        control = struct.pack(">5I2H2B", number, *part.place, 1, 10, part.disposal, part.blend)
        content += chunk(b"fcTL", control)
        number += 1
        if part is parts[0]:
            content += chunk(b"IDAT", part.data())
        else:
            content += chunk(b"fdAT", struct.pack(">I", number) + part.data())
            number += 1
    return content + chunk(b"IEND", b"")


def shown(kind: int, parts: list[Part]) -> np.ndarray:
    """Return the frames (time, sample, row, col), with alpha as the last sample."""
    has_alpha = kind in (4, 6)
    samples = KINDS[kind][0] - has_alpha
    canvas = np.zeros((ROWS, COLS, samples + 1), int)
    found = []
    for part in parts:
        before = canvas.copy()
        full = np.full((*part.pixels.shape[:2], 1), 255)
        new = part.pixels if has_alpha else np.concatenate([part.pixels, full], axis=2)
        covers = (new[..., -1:] > 0) | (part.blend == SOURCE)
        canvas[part.box] = np.where(covers, new, canvas[part.box])
        found.append(np.moveaxis(canvas, -1, 0).copy())
        if part.disposal == BACKGROUND or (part.disposal == PREVIOUS and part is parts[0]):
            canvas[part.box] = 0
        elif part.disposal == PREVIOUS:
            canvas = before
    return np.stack(found)


def read(path: Path, pixel_values: str) -> list[Frame]:
    """Return the frames, or none if the film is refused for what Pillow makes of it."""
    try:
        return list(readers.frames(path, reading_of(pixel_values=pixel_values)))
    except BadInput as error:
        if re.search("clears its picture|undoes a picture", str(error)):
            return []
        raise


def check(folder: Path, kind: int, parts: list[Part]) -> None:
    path, expected = folder / "a.png", shown(kind, parts)
    path.write_bytes(apng(kind, parts))
    undone = any(part.disposal == PREVIOUS and part.blend == OVER for part in parts[1:-1])
    cleared = kind not in (4, 6) and (expected[:, -1] == 0).any()
    frames = read(path, KINDS[kind][1])
    if not frames:  # where the next picture lies over a cleared one, it may be refused as well
        assert undone or kind not in (4, 6)
        return
    assert not undone
    assert not cleared
    hidden = expected[:, -1:] == 0
    found = np.stack([frame.values for frame in frames])
    np.testing.assert_array_equal(found, np.where(hidden, -1, expected[:, :-1]))
    if hidden.any():
        assert frames[0].meaning.channels[0].missing == (-1,)


SETTINGS = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink takes minutes
)


@given(film=films())
@settings(SETTINGS, max_examples=30)
def test_an_animated_png_is_read_as_it_is_shown(
    tmp_path_factory: pytest.TempPathFactory, film: tuple[int, list[Part]]
) -> None:
    check(tmp_path_factory.mktemp("apng"), *film)


@pytest.mark.slow
@given(film=films())
@settings(SETTINGS, max_examples=500)
def test_an_animated_png_is_read_as_it_is_shown_in_500_draws(
    tmp_path_factory: pytest.TempPathFactory, film: tuple[int, list[Part]]
) -> None:
    check(tmp_path_factory.mktemp("apng"), *film)
