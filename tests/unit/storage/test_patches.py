"""Counts, windows and description come back from data/patches, beside the frames that it names."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from convlstm.runtime.errors import BadInput
from convlstm.storage import frames as frames_h5
from convlstm.storage import hdf5, patches
from convlstm.storage.meaning import Channel, Meaning
from convlstm.storage.patches import Counts, Patches, Span, Window
from tests.builders import frames_from

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


def write_frames(folder: Path, frames: list[np.ndarray] = FRAMES, scale: float = 1.0) -> None:
    meanings = (Meaning((Channel("rain", "mm/h", scale),) * 4), Meaning())
    with hdf5.create(folder / "all.h5") as file:
        for name, own, meaning in zip(("a", "ü"), frames, meanings, strict=False):
            frames_h5.append_sequence(file, name, frames_from(own, meaning))
    frames_h5.write_index(folder, ["all.h5"], {})


def written(
    folder: Path,
    frames: list[np.ndarray] = FRAMES,
    counts: list[np.ndarray] = COUNTS,
    *,
    windows: Mapping[str, list[Window]] = WINDOWS,
    spans: list[Span] = SPANS,
    description: Mapping[str, object] = DESCRIPTION,
    scale: float = 1.0,
) -> Patches:
    """Return what patches hold, their counts as arrays, after a block of 2 frames and the rest."""
    write_frames(folder / "frames", frames, scale)
    with hdf5.create(folder / "patches/all.h5") as file:
        for number, counted in enumerate(counts):
            writer = Counts(file, f"{number:06d}")
            writer.append(counted[:2])
            writer.append(counted[2:])
            writer.finish(counted.sum(axis=3, dtype=np.int64), "")
        hdf5.write_array(file, "filling", np.zeros((1, 3), np.int64))
    own, _ = patches.counted(folder / "patches/all.h5")
    places = [each.place for each in own.values()]
    with frames_h5.opened(folder / "frames") as source:
        patches.write_index(
            folder / "patches", source.sequences, places, windows, spans, description
        )
    with patches.opened(folder / "patches", folder / "frames") as found:
        return found._replace(counts=[own[:] for own in found.counts])


def test_opened_gives_back_what_the_writer_wrote(tmp_path: Path) -> None:
    found = written(tmp_path)
    for counts, expected in zip(found.counts, COUNTS, strict=True):
        np.testing.assert_array_equal(counts, expected)
        assert counts.dtype == np.uint8
    assert {split: list(map(tuple, rows)) for split, rows in found.windows.items()} == WINDOWS
    assert found.spans == SPANS
    fingerprint, frames = (found.description.pop(name) for name in ("fingerprint", "frames"))
    assert (len(fingerprint), len(frames)) == (64, 64)
    assert found.description == DESCRIPTION


def test_the_frames_are_those_of_the_other_file(tmp_path: Path) -> None:
    written(tmp_path)
    with patches.opened(tmp_path / "patches", tmp_path / "frames") as found:
        assert list(found.sequences) == ["a", "ü"]
        for sequence, expected in zip(found.sequences.values(), FRAMES, strict=True):
            np.testing.assert_array_equal(sequence.frames[:], expected)


@pytest.mark.parametrize("other", ["a pixel", "a scale", "a sequence"])
def test_patches_are_not_read_beside_other_frames(tmp_path: Path, other: str) -> None:
    written(tmp_path)
    changed = FRAMES[1].copy()
    changed[2, 3, 5, 2] += 1
    if other == "a sequence":
        write_frames(tmp_path / "frames", FRAMES[:1])
    else:
        last = changed if other == "a pixel" else FRAMES[1]
        write_frames(tmp_path / "frames", [FRAMES[0], last], 0.5 if other == "a scale" else 1.0)
    with (
        pytest.raises(BadInput) as raised,
        patches.opened(tmp_path / "patches", tmp_path / "frames"),
    ):
        pass
    assert str(raised.value) == (
        f"{tmp_path}/patches was made of other frames than {tmp_path}/frames; run `dvc repro`"
    )


@pytest.mark.parametrize("name", ["frames/index.h5", "patches/index.h5"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    written(tmp_path)
    (tmp_path / name).unlink()
    with (
        pytest.raises(BadInput, match=f"{name}: no such file; `dvc repro` makes it"),
        patches.opened(tmp_path / "patches", tmp_path / "frames"),
    ):
        pass


def test_the_columns_of_a_window_have_names(tmp_path: Path) -> None:
    train = written(tmp_path).windows["train"]
    columns = {name: train[name].tolist() for name in ("start", "sequence", "row", "col")}
    assert columns == {"start": [0, 4], "sequence": [1, 0], "row": [2, 6], "col": [3, 7]}


def test_the_fingerprint_is_that_of_all_that_was_written(tmp_path: Path) -> None:
    other_pixel, other_count = FRAMES[1].copy(), COUNTS[1].copy()
    other_pixel[2, 3, 1, 2] += 1
    other_count[2, 1] += 1
    reshaped = FRAMES[1].reshape(3, 4, 3, 6)  # the bytes are the same
    contents = [
        written(tmp_path),
        written(tmp_path),
        written(tmp_path, [FRAMES[0], other_pixel]),
        written(tmp_path, [frames.astype(np.int16) for frames in FRAMES]),
        written(tmp_path, [FRAMES[0], reshaped]),
        written(tmp_path, FRAMES, [COUNTS[0], other_count]),
        written(tmp_path, windows={**WINDOWS, "test": [Window(1, 0, 0, 0)]}),
        written(tmp_path, spans=SPANS[:1]),
        written(tmp_path, description={**DESCRIPTION, "context_frames": 3}),
        written(tmp_path, scale=0.5),
    ]
    first, again, *others = [content.description["fingerprint"] for content in contents]
    assert first == again
    assert len({first, *others}) == 9
