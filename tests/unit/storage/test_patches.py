"""Frames, counts, windows and description come back from patches.h5; its fingerprint covers all."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from convlstm.runtime.errors import NoRoom
from convlstm.storage import hdf5, patches
from convlstm.storage.meaning import Channel
from convlstm.storage.patches import Patches, Span, Window, Writer

FRAMES = [
    np.arange(time * 4 * rows * 3, dtype=np.uint16).reshape(time, 4, rows, 3)
    for time, rows in ((5, 2), (3, 6))
]
COUNTS = [np.full((len(frames), 2, 1, 1), 7, np.uint8) for frames in FRAMES]
WINDOWS: Mapping[str, list[Window]] = {
    "train": [Window(0, 1, 2, 3), Window(4, 0, 6, 7)],
    "valid": [Window(2, 0, 0, 0)],
    "test": [],
}
SPANS = [Span(0, 0, 2), Span(1, 1, 3)]
DESCRIPTION: Mapping[str, object] = {"context_frames": 2, "scaling": {"value_range": (0.0, 9.0)}}


def written(
    path: Path,
    frames: list[np.ndarray] = FRAMES,
    counts: list[np.ndarray] = COUNTS,
    *,
    windows: Mapping[str, list[Window]] = WINDOWS,
    spans: list[Span] = SPANS,
    description: Mapping[str, object] = DESCRIPTION,
    scale: float = 1.0,
) -> Patches:
    """Return what a patches.h5 holds, its datasets as arrays, after a block of 2 frames and rest.

    Windows have 2 x 3 pixels, which are the whole frames of the first sequence.
    """
    with hdf5.create(path) as file:
        writer = Writer(file, [own.shape for own in frames], frames[0].dtype, (2, 3))
        for number, (own, counted) in enumerate(zip(frames, counts, strict=True)):
            writer.append(number, own[:2], counted[:2])
            writer.append(number, own[2:], counted[2:])
        channels = {"a": (Channel("rain", "mm/h", scale),), "ü": ()}
        writer.finish(channels, windows, spans, description)
    with hdf5.open_complete(path) as file:
        found = patches.read(file)
        pixels, totals = ([own[:] for own in all_of] for all_of in (found.frames, found.counts))
        return found._replace(frames=pixels, counts=totals)


def test_read_gives_back_what_the_writer_wrote(tmp_path: Path) -> None:
    found = written(tmp_path / "patches.h5")
    for number in range(2):
        np.testing.assert_array_equal(found.frames[number], FRAMES[number])
        np.testing.assert_array_equal(found.counts[number], COUNTS[number])
    assert found.frames[0].dtype == np.uint16
    assert found.sequences == ["a", "ü"]
    assert found.channels == [(Channel("rain", "mm/h"),), ()]
    assert {split: list(map(tuple, rows)) for split, rows in found.windows.items()} == WINDOWS
    assert found.spans == SPANS
    fingerprint = found.description.pop("fingerprint")
    assert len(fingerprint) == 64
    assert found.description == DESCRIPTION


def test_the_columns_of_a_window_have_names(tmp_path: Path) -> None:
    train = written(tmp_path / "patches.h5").windows["train"]
    columns = {name: train[name].tolist() for name in ("start", "sequence", "row", "col")}
    assert columns == {"start": [0, 4], "sequence": [1, 0], "row": [2, 6], "col": [3, 7]}


def test_a_chunk_is_a_whole_frame_or_half_a_tile_a_side(tmp_path: Path) -> None:
    written(tmp_path / "patches.h5")
    with hdf5.open_complete(tmp_path / "patches.h5") as file:
        chunks = [frames.chunks for frames in patches.read(file).frames]
    assert chunks == [(4, 4, 2, 3), (4, 4, 1, 2)]


def test_frames_of_a_narrower_type_are_widened(tmp_path: Path) -> None:
    narrow = FRAMES[1].astype(np.uint8)
    found = written(tmp_path / "patches.h5", [FRAMES[0], narrow])
    assert found.frames[1].dtype == np.uint16
    np.testing.assert_array_equal(found.frames[1], narrow)


def test_the_fingerprint_is_that_of_all_that_was_written(tmp_path: Path) -> None:
    other_pixel, other_count = FRAMES[1].copy(), COUNTS[1].copy()
    other_pixel[2, 3, 1, 2] += 1
    other_count[2, 1] += 1
    reshaped = FRAMES[1].reshape(3, 4, 3, 6)  # the bytes are the same
    contents = [
        written(tmp_path / "first.h5"),
        written(tmp_path / "again.h5"),
        written(tmp_path / "a.h5", [FRAMES[0], other_pixel]),
        written(tmp_path / "b.h5", [frames.astype(np.int16) for frames in FRAMES]),
        written(tmp_path / "c.h5", [FRAMES[0], reshaped]),
        written(tmp_path / "d.h5", FRAMES, [COUNTS[0], other_count]),
        written(tmp_path / "e.h5", windows={**WINDOWS, "test": [Window(1, 0, 0, 0)]}),
        written(tmp_path / "f.h5", spans=SPANS[:1]),
        written(tmp_path / "g.h5", description={**DESCRIPTION, "context_frames": 3}),
        written(tmp_path / "h.h5", scale=0.5),
    ]
    first, again, *others = [content.description["fingerprint"] for content in contents]
    assert first == again
    assert len({first, *others}) == 9


def test_frames_that_the_disk_cannot_hold_are_refused_before_any_is_written(
    tmp_path: Path,
) -> None:
    with (
        pytest.raises(NoRoom, match=r"it needs at least 6,917,529,027,641,081,856 bytes, but"),
        hdf5.create(tmp_path / "patches.h5") as file,
    ):
        # 2^40 frames of 3 * 2^20 numbers of 2 bytes are 3 * 2^61 bytes
        Writer(file, [(2**40, 3, 2**10, 2**10)], np.dtype(np.uint16), (2**10, 2**10))
    assert list(tmp_path.iterdir()) == []
