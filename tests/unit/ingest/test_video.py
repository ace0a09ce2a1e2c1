"""A video is read as its pictures, in colours or in luminance."""

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from convlstm.ingest import video
from convlstm.runtime.errors import BadInput
from tests.builders import reading_of, values_of

ROWS, COLS = 144, 176  # what a small phone films


def film(path: Path, codec: str, frames: int = 5) -> np.ndarray:
    """Film a square that moves to the right over grey; return the pictures that were drawn."""
    pictures = np.full((frames, ROWS, COLS, 3), 60, np.uint8)
    for time, picture in enumerate(pictures):
        picture[48:96, 16 * time : 16 * time + 48] = (220, 120, 40)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = COLS, ROWS, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return pictures


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "mpeg4"), ("a.avi", "mpeg4"), ("a.mkv", "mpeg4")]
)
def test_every_picture_of_a_film_is_read(tmp_path: Path, name: str, codec: str) -> None:
    drawn = film(tmp_path / name, codec)
    frames = np.stack(values_of(video.frames(tmp_path / name, reading_of(pixel_values="rgb"))))
    assert frames.shape == (5, 3, ROWS, COLS)
    assert video.extent(tmp_path / name, reading_of())[0] == 1
    error = np.abs(np.moveaxis(frames, 1, -1).astype(int) - drawn)
    assert error.mean() < 4  # the codec is lossy


def test_luminance_is_that_of_the_colours(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", "mpeg4")
    colours = np.stack(values_of(video.frames(tmp_path / "a.mp4", reading_of(pixel_values="rgb"))))
    grey = np.stack(
        values_of(video.frames(tmp_path / "a.mp4", reading_of(pixel_values="luminance")))
    )
    expected = np.einsum("tchw,c->thw", colours, [0.299, 0.587, 0.114])
    assert np.abs(grey[:, 0] - expected).max() <= 1


@pytest.mark.parametrize("pixel_values", ["gray", "index"])
def test_a_film_has_colours(tmp_path: Path, pixel_values: str) -> None:
    film(tmp_path / "a.mp4", "mpeg4")
    with pytest.raises(BadInput, match="set it to luminance or rgb"):
        next(video.frames(tmp_path / "a.mp4", reading_of(pixel_values=pixel_values)))


@pytest.mark.parametrize("content", [b"", b"no film"])
def test_a_broken_film_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(BadInput, match=r"a\.mp4: cannot be read as a video"):
        video.extent(tmp_path / "a.mp4", reading_of())


def test_too_large_a_film_is_refused(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", "mpeg4")
    with pytest.raises(BadInput, match="max_pixels = 100"):
        video.extent(tmp_path / "a.mp4", reading_of(max_pixels=100))


def test_a_film_whose_pictures_grow_beyond_max_pixels_is_refused(tmp_path: Path) -> None:
    packets = []
    for side in (32, 512):
        encoder = av.CodecContext.create("mjpeg", "w")
        encoder.width = encoder.height = side
        encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 10)
        picture = av.VideoFrame.from_ndarray(np.zeros((side, side, 3), np.uint8), format="rgb24")
        packets += [bytes(packet) for packet in (*encoder.encode(picture), *encoder.encode())]
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuvj420p"
        for time, content in enumerate(packets):
            packet = av.Packet(content)
            packet.stream, packet.pts, packet.dts = stream, time, time
            container.mux(packet)
    reading = reading_of(pixel_values="rgb", max_pixels=2000)
    shown = video.frames(tmp_path / "a.avi", reading)
    assert next(shown).values.shape == (3, 32, 32)
    with pytest.raises(BadInput, match="more pixels than max_pixels = 2000"):
        list(shown)


def test_without_pyav_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(BadInput, match="pip install av"):
        video.extent(tmp_path / "a.mp4", reading_of())
