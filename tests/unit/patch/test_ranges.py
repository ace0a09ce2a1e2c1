"""The value range is that of the files, else that of most measured values, rounded outwards."""

from typing import Any

import numpy as np
import pytest

from convlstm.patch import ranges
from convlstm.patch.windows import Span
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Sequence
from convlstm.storage.meaning import Channel, Meaning


class Chunked(np.ndarray):
    """Frames in memory that say, as a dataset does, how many of them lie in a chunk."""

    chunks = (4, 1, 7, 7)


def sequence(frames: np.ndarray, *channels: Channel) -> Sequence:
    """Return a sequence of these frames, which are in memory."""
    dataset: Any = frames if isinstance(frames, Chunked) else frames.view(Chunked)
    return Sequence(dataset, None, None, Meaning(channels), "")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.3, 14.7, (0, 15)),  # a twentieth of the width is 0.72, and the step 0.5
        (0.0, 255.0, (0, 260)),
        (250.1, 299.2, (250, 300)),
        (-31.7, 55.2, (-32, 56)),
        (0.0, 0.0187, (0.0, 0.019)),
        (5.0, 5.0, (5, 6)),
        (0.0, 20.0, (0, 20)),
    ],
)
def test_a_range_is_rounded_outwards(
    low: float, high: float, expected: tuple[float, float]
) -> None:
    assert ranges.rounded(low, high) == pytest.approx(expected, abs=1e-12)


def test_the_range_of_the_training_frames_leaves_out_what_is_not_measured() -> None:
    frames = np.zeros((4, 1, 40, 50), np.uint8)
    frames[:2] = np.arange(2000).reshape(40, 50) % 201  # 0 to 200: 0.5 count - 32 is 68 at most
    frames[:2, :, 0, :20] = 255  # no data
    frames[:2, :, 1, :20] = 254  # no echo, which has no value
    frames[2:] = 230  # of the test split
    channel = Channel("DBZH", "dBZ", 0.5, -32.0, missing=(255.0,), undetected=(254.0,))
    spans = [Span("train", "s", 0, 2), Span("test", "s", 2, 4)]
    found = ranges.of_frames({"s": sequence(frames, channel)}, spans, ())
    assert found == ((-35, 70),)


def test_the_number_of_no_echo_is_no_end_of_the_range() -> None:
    """KNMI's counts, of which 0 is no echo: the range is that of 18.5 to 33.5 dBZ."""
    frames = np.zeros((1, 1, 40, 50), np.uint8)
    frames[:, :, :20] = np.linspace(101, 131, 1000).reshape(20, 50).round()
    channel = Channel("DBZH", "dBZ", 0.5, -32.0, undetected=(0.0,))
    found = ranges.of_frames({"s": sequence(frames, channel)}, [Span("train", "s", 0, 1)], ())
    assert found == ((18.5, 33.5),)


def test_each_channel_has_its_own_range_and_params_name_missing_values_too() -> None:
    frames = np.zeros((1, 2, 8, 9), np.float32)
    frames[0, 0] = np.linspace(250, 300, 72).reshape(8, 9)
    frames[0, 1] = np.linspace(0, 0.02, 72).reshape(8, 9)
    frames[0, :, 0, 0] = -999.9
    found = ranges.of_frames({"s": sequence(frames)}, [Span("train", "s", 0, 1)], (-999.9,))
    np.testing.assert_allclose(found, [(250, 300), (0, 0.02)], atol=1e-9)


def test_a_rare_outlier_does_not_widen_the_range() -> None:
    frames = np.full((3, 1, 100, 100), 5, np.float32)
    frames[:, :, :50] = 0
    frames[1, 0, 0, 0] = 1e20
    found = ranges.of_frames({"s": sequence(frames)}, [Span("train", "s", 0, 3)], ())
    assert found == ((0, 5),)


def test_without_a_measured_value_there_is_no_range() -> None:
    frames = np.full((1, 1, 8, 8), 255, np.uint8)
    with pytest.raises(BadInput, match="value_range = null: no measured value"):
        ranges.of_frames({"s": sequence(frames)}, [Span("train", "s", 0, 1)], (255.0,))


def test_of_many_frames_a_bounded_number_of_pixels_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[int] = []

    class Dataset(Chunked):
        def __getitem__(self, index: slice) -> np.ndarray:  # type: ignore[override]
            read.append(index.start)
            return np.asarray(self)[index]

    frames = np.arange(10_000, dtype=np.float32).reshape(-1, 1, 1, 1) * np.ones((1, 1, 7, 7))
    monkeypatch.setattr(ranges, "MOST_FRAMES", 10)
    found = ranges.of_frames(
        {"s": sequence(frames.astype(np.float32).view(Dataset))},
        [Span("train", "s", 0, 10_000)],
        (),
    )
    assert len(read) == 10
    assert found == ((0, 10_000),)


@pytest.mark.parametrize(
    ("per_chunk", "expected"),
    [
        (4, [(1, 4), (6, 7), (8, 12)]),
        (1, [(1, 2), (3, 4), (6, 7), (8, 9), (11, 12)]),  # of frames that are large
    ],
)
def test_a_chunk_of_frames_is_read_once(
    monkeypatch: pytest.MonkeyPatch, per_chunk: int, expected: list[tuple[int, int]]
) -> None:
    frames = np.arange(12, dtype=np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, 1, 7, 7), np.uint8)
    read: list[tuple[int, int]] = []

    class Dataset(Chunked):
        chunks = (per_chunk, 1, 7, 7)

        def __getitem__(self, index: slice) -> np.ndarray:  # type: ignore[override]
            read.append((index.start, index.stop))
            return np.asarray(self)[index]

    monkeypatch.setattr(ranges, "MOST_FRAMES", 5)  # of frames 1 to 11: 1, 3, 6, 8 and 11
    found = ranges.of_frames(
        {"s": sequence(frames.view(Dataset))}, [Span("train", "s", 1, 12)], (6.0,)
    )
    assert read == expected
    assert found == ((1, 11),)


@pytest.mark.parametrize("shape", [(1, 2, 12, 16), (2, 1, 100, 100), (1, 1, 7, 9)])
def test_some_pixels_are_spread_over_rows_and_columns(shape: tuple[int, ...]) -> None:
    rows, cols = np.indices(shape[2:])
    where = np.broadcast_to(rows * cols.shape[1] + cols, shape)
    seen = ranges.some_pixels(where, 500)[0, 0, 0]
    assert len(seen) == min(500, rows.size)
    assert len(set((seen % shape[3]).tolist())) > 0.9 * shape[3]
    assert len(set((seen // shape[3]).tolist())) > 0.9 * shape[2]


def test_the_range_of_the_files_counts_if_all_say_it() -> None:
    frames = np.zeros((1, 1, 8, 8), np.uint8)
    rain = Channel("rain", "mm/h", valid_range=(0.0, 100.0))
    assert ranges.of_files([sequence(frames, rain)] * 2) == ((0, 100),)
    for other in (
        Channel("rain"),
        rain._replace(valid_range=(0.0, np.inf)),
        rain._replace(valid_range=(0.0, 50.0)),
    ):
        assert ranges.of_files([sequence(frames, rain), sequence(frames, other)]) is None
    assert ranges.of_files([sequence(frames.astype(np.float32))]) is None


@pytest.mark.parametrize(
    ("dtype", "channel", "expected"),
    [
        (np.uint8, Channel(), ((0, 255),)),
        (np.int16, Channel(missing=(-1.0,)), ((0, 255),)),  # with transparent pixels
        (np.uint8, Channel(white=15, valid_range=(0.0, 15.0)), ((0, 15),)),
        (np.uint16, Channel(), None),
        (np.uint8, Channel(palette="000000ffffff"), None),
        (np.uint8, Channel("DBZH", "dBZ", 0.5, -32.0), None),
    ],
)
def test_the_range_of_a_picture_of_bytes_is_black_to_white(
    dtype: type, channel: Channel, expected: object
) -> None:
    assert ranges.of_files([sequence(np.zeros((1, 1, 8, 8), dtype), channel)]) == expected
