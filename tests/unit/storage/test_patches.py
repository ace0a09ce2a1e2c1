"""Frames, windows and description come back from patches.h5, and its fingerprint covers all."""

from pathlib import Path

import numpy as np
import pytest

from convlstm.runtime.errors import NoRoom
from convlstm.storage import hdf5, patches
from convlstm.storage.patches import Patches, WindowRows, Writer

FRAMES = np.arange(5 * 4 * 2 * 3, dtype=np.uint16).reshape(5, 4, 2, 3)
WINDOWS: WindowRows = {"train": [(0, 1, 2, 3), (4, 0, 6, 7)], "valid": [(2, 0, 0, 0)], "test": []}
DESCRIPTION = {"context_frames": 2, "scaling": {"value_range": (0.0, 9.0)}}


def written(
    path: Path,
    frames: np.ndarray = FRAMES,
    windows: WindowRows = WINDOWS,
    description: dict[str, object] = DESCRIPTION,
) -> Patches:
    """Return what a patches.h5 holds that was written in two blocks, its frames as an array."""
    with hdf5.create(path) as file:
        writer = Writer(file, frames.shape[1:], frames.dtype, len(frames))
        first, second = writer.grow(3), writer.grow(2)
        assert (first, second) == (0, 3)
        writer.write(first, frames[:3])
        writer.write(second, frames[3:])
        writer.finish(["a", "ü"], windows, description)
    with hdf5.open_complete(path) as file:
        found = patches.read(file)
        return found._replace(frames=found.frames[:])


def test_read_gives_back_what_the_writer_wrote(tmp_path: Path) -> None:
    found = written(tmp_path / "patches.h5")
    np.testing.assert_array_equal(found.frames, FRAMES)
    assert found.frames.dtype == FRAMES.dtype
    assert found.sequences == ["a", "ü"]
    assert {split: rows.tolist() for split, rows in found.windows.items()} == WINDOWS
    fingerprint = found.description.pop("fingerprint")
    assert len(fingerprint) == 64
    assert found.description == DESCRIPTION


def test_the_columns_of_a_window_have_names(tmp_path: Path) -> None:
    train = written(tmp_path / "patches.h5").windows["train"]
    columns = {name: train[name].tolist() for name in ("start", "sequence", "row", "col")}
    assert columns == {"start": [0, 4], "sequence": [1, 0], "row": [2, 6], "col": [3, 7]}


def test_rows_that_were_made_room_for_can_be_written_in_any_order(tmp_path: Path) -> None:
    with hdf5.create(tmp_path / "patches.h5") as file:
        writer = Writer(file, FRAMES.shape[1:], FRAMES.dtype, len(FRAMES))
        writer.grow(5)
        writer.write(3, FRAMES[3:])
        writer.write(0, FRAMES[:3])
        writer.finish(["a"], WINDOWS, DESCRIPTION)
    with hdf5.open_complete(tmp_path / "patches.h5") as file:
        np.testing.assert_array_equal(patches.read(file).frames[:], FRAMES)


def test_the_fingerprint_is_that_of_the_frames_the_windows_and_the_description(
    tmp_path: Path,
) -> None:
    other_pixel = FRAMES.copy()
    other_pixel[4, 3, 1, 2] += 1
    contents = [
        written(tmp_path / "first.h5"),
        written(tmp_path / "again.h5"),
        written(tmp_path / "a.h5", frames=other_pixel),
        written(tmp_path / "b.h5", frames=FRAMES.astype(np.int16)),
        written(tmp_path / "c.h5", windows={**WINDOWS, "test": [(1, 0, 0, 0)]}),
        written(tmp_path / "d.h5", description={**DESCRIPTION, "context_frames": 3}),
    ]
    first, again, *others = [content.description["fingerprint"] for content in contents]
    assert first == again
    assert len({first, *others}) == 5


def test_frames_that_the_disk_cannot_hold_are_refused_before_any_is_written(
    tmp_path: Path,
) -> None:
    with (
        pytest.raises(NoRoom, match=r"it needs at least 6,917,529,027,641,081,856 bytes, but"),
        hdf5.create(tmp_path / "patches.h5") as file,
    ):
        # 2^40 frames of 3 * 2^20 numbers of 2 bytes are 3 * 2^61 bytes
        Writer(file, (3, 2**10, 2**10), np.dtype(np.uint16), 2**40)
    assert list(tmp_path.iterdir()) == []
