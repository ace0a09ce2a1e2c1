"""A video is read as its pictures in time; the reference is what was drawn, or FFmpeg's words."""

import struct
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convlstm.ingest import times, video
from convlstm.runtime.errors import BadInput
from tests.builders import reading_of, values_of

ROWS, COLS = 144, 176  # what a small phone films
RGB = reading_of(pixel_values="rgb")


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


def plane_film(path: Path, stored: np.ndarray, layout: str, codec: str = "ffv1") -> Path:
    """Film grey pictures (time, row, col) as they are, in this pixel format."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = stored.shape[2], stored.shape[1], layout
        for pixels in stored:
            picture = av.VideoFrame(stored.shape[2], stored.shape[1], layout)
            plane = picture.planes[0]
            padded = np.zeros((plane.height, plane.line_size // pixels.itemsize), pixels.dtype)
            padded[:, : pixels.shape[1]] = pixels
            plane.update(padded.tobytes())
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("layout", "bits"),
    [("gray", 8), ("gray10le", 10), ("gray12le", 12), ("gray16le", 16)],
)
def test_grey_streams_keep_their_numbers(tmp_path: Path, layout: str, bits: int) -> None:
    # B15: 400 counts of a thermal camera became three bytes
    dtype = np.uint8 if bits == 8 else np.uint16
    chance = np.random.default_rng(0)
    stored = chance.integers(0, 2**bits, (3, 48, 60), dtype)  # rows of planes are padded to 64
    path = plane_film(tmp_path / "a.mkv", stored, layout)
    for pixel_values in ("gray", "luminance"):
        found = list(video.frames(path, reading_of(pixel_values=pixel_values)))
        np.testing.assert_array_equal([frame.values[0] for frame in found], stored)
        assert found[0].values.dtype == dtype
        channels = found[0].meaning.channels
        white = {10: 1023, 12: 4095}.get(bits)
        ends = [one.valid_range for one in channels if one.valid_range]
        assert ends == ([(0, white)] if white else [])
        assert [one.white for one in channels] == ([2**bits - 1] if bits > 8 else [])
    with pytest.raises(BadInput, match=r"holds grey values, .* set it to gray"):
        next(video.frames(path, reading_of(pixel_values="rgb")))


def test_colours_of_more_than_8_bits_keep_16(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 65536, (48, 64, 3), np.uint16)
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gbrp16le"
        picture = av.VideoFrame.from_ndarray(stored, format="rgb48le").reformat(format="gbrp16le")
        container.mux(stream.encode(picture))
        container.mux(stream.encode())
    (rgb,) = video.frames(tmp_path / "a.mkv", reading_of(pixel_values="rgb"))
    np.testing.assert_array_equal(np.moveaxis(rgb.values, 0, -1), stored)
    (grey,) = video.frames(tmp_path / "a.mkv", reading_of(pixel_values="luminance"))
    assert grey.values.dtype == np.uint16
    assert np.abs(grey.values[0] - stored @ np.array([0.299, 0.587, 0.114])).max() <= 1


def test_transparent_pixels_of_a_film_are_missing(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    stored = chance.integers(0, 256, (48, 64, 4), np.uint8)
    stored[..., 3] = np.where(stored[..., 3] > 99, 255, 0)
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgra"
        picture = av.VideoFrame.from_ndarray(stored, format="rgba").reformat(format="bgra")
        container.mux(stream.encode(picture))
        container.mux(stream.encode())
    (frame,) = video.frames(tmp_path / "a.mkv", reading_of(pixel_values="rgb"))
    expected = np.where(stored[..., 3:] == 0, -1, stored[..., :3].astype(int))
    np.testing.assert_array_equal(np.moveaxis(frame.values, 0, -1), expected)
    assert frame.meaning.channels[0].missing == (-1,)


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((0, -1, 1, 0), lambda pixels: np.rot90(pixels, 1)),  # counterclockwise
        ((-1, 0, 0, -1), lambda pixels: np.rot90(pixels, 2)),
        ((0, 1, -1, 0), lambda pixels: np.rot90(pixels, -1)),
        ((-1, 0, 0, 1), lambda pixels: pixels[:, ::-1]),  # x' = -x
        ((1, 0, 0, -1), lambda pixels: pixels[::-1]),
        ((0, 1, 1, 0), lambda pixels: pixels.swapaxes(0, 1)),  # x' = y, y' = x
    ],
)
def test_a_film_is_turned_as_its_display_matrix_says(
    tmp_path: Path,
    matrix: tuple[int, int, int, int],
    turn: Callable[[np.ndarray], np.ndarray],
) -> None:
    # FFmpeg's display.h: x' = a x + c y, y' = b x + d y
    film(tmp_path / "a.mp4", "mpeg4", frames=2)
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    upright = np.stack(values_of(video.frames(tmp_path / "a.mp4", RGB)))[0]
    place = content.index(b"tkhd") + 44  # the matrix of the track, ISO 14496-12, 8.3.2
    assert struct.unpack_from(">9i", content, place)[0] == 65536
    a, b, c, d = (65536 * number for number in matrix)
    struct.pack_into(">9i", content, place, a, b, 0, c, d, 0, 0, 0, 2**30)
    (tmp_path / "a.mp4").write_bytes(content)
    found = next(video.frames(tmp_path / "a.mp4", RGB)).values
    np.testing.assert_array_equal(np.moveaxis(found, 0, -1), turn(np.moveaxis(upright, 0, -1)))


def test_a_film_on_the_slant_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(30)
        picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(picture))
        container.mux(stream.encode())
    with pytest.raises(BadInput, match=r"a\.mp4: is to be turned by (29|30) degrees"):
        next(video.frames(tmp_path / "a.mp4", RGB))


def timed_film(path: Path, stamps: list[int], **metadata: str) -> Path:
    """Film pictures at these milliseconds."""
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata)
        stream = container.add_stream("ffv1", rate=1000)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for stamp in stamps:
            pixels = np.zeros((48, 64, 3), np.uint8)
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture.pts, picture.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def test_time_stamps_show_a_pause(tmp_path: Path) -> None:
    # B16: ten pictures a second, a pause of 20 s, one a second
    stamps = [*range(0, 1000, 100), *range(21_000, 26_000, 1000)]
    path = timed_film(tmp_path / "a.mkv", stamps)
    found = [frame.time for frame in video.frames(path, RGB)]
    assert found == [1000 * stamp for stamp in stamps]
    assert times.runs(np.array(found), len(found))[0] == (0, 10)


def test_the_jitter_of_rounded_stamps_is_no_gap(tmp_path: Path) -> None:
    stamps = [round(number * 1000 / 29.97) for number in range(40)]  # 33 or 34 ms apart
    path = timed_film(tmp_path / "a.mkv", stamps)
    found = np.array([frame.time for frame in video.frames(path, RGB)])
    assert set(np.diff(found)) == {33_000, 34_000}
    assert times.runs(found, len(found)) == [(0, 40)]


def test_stamps_count_from_the_creation_of_the_file(tmp_path: Path) -> None:
    made = {"creation_time": "2021-02-03T20:05:00.000000Z"}
    path = timed_film(tmp_path / "a.mkv", [0, 100], **made)
    begin = 1612382700 * 10**6  # date -u -d 2021-02-03T20:05:00 +%s
    assert [frame.time for frame in video.frames(path, RGB)] == [begin, begin + 100_000]


def test_a_title_picture_is_no_film(tmp_path: Path) -> None:
    drawn = film(tmp_path / "a.mp4", "mpeg4", frames=3)
    with av.open(str(tmp_path / "a.mp4")) as source, av.open(str(tmp_path / "b.mp4"), "w") as out:
        title = out.add_stream("mjpeg", rate=1)
        assert isinstance(title, av.VideoStream)
        title.width = title.height = 32
        title.pix_fmt = "yuvj420p"
        title.disposition = av.stream.Disposition.attached_pic
        copy = out.add_stream_from_template(source.streams.video[0])
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        for packet in (*title.encode(picture), *title.encode()):
            out.mux(packet)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    found = values_of(video.frames(tmp_path / "b.mp4", RGB))
    assert np.stack(found).shape == (len(drawn), 3, ROWS, COLS)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    layout=st.sampled_from((("gray", 8), ("gray10le", 10), ("gray12le", 12), ("gray16le", 16))),
    shape=st.tuples(st.integers(1, 5), st.integers(8, 40), st.integers(8, 40)),
    seed=st.integers(0, 2**32 - 1),
    suffix=st.sampled_from((".mkv", ".avi", ".nut")),
)
def test_grey_streams_of_any_size_keep_their_numbers_in_500_draws(
    tmp_path_factory: pytest.TempPathFactory,
    layout: tuple[str, int],
    shape: tuple[int, int, int],
    seed: int,
    suffix: str,
) -> None:
    name, bits = layout
    dtype = np.uint8 if bits == 8 else np.uint16
    stored = np.random.default_rng(seed).integers(0, 2**bits, shape, dtype)
    path = plane_film(tmp_path_factory.mktemp("film") / f"a{suffix}", stored, name)
    found = list(video.frames(path, reading_of()))
    np.testing.assert_array_equal([frame.values[0] for frame in found], stored)
    # ten pictures a second
    assert [frame.time for frame in found] == [100_000 * time for time in range(len(stored))]


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(st.integers(1, 100_000), min_size=1, max_size=6))
def test_any_time_stamps_of_a_film_are_kept_in_500_draws(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int]
) -> None:
    stamps = [0, *np.cumsum(steps).tolist()]
    path = timed_film(tmp_path_factory.mktemp("film") / "a.mkv", stamps)
    assert [frame.time for frame in video.frames(path, RGB)] == [1000 * at for at in stamps]
