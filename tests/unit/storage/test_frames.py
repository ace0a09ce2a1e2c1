"""Sequences come back from data/frames with their frames, names, labels, times and order."""

from hashlib import blake2b, sha256
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from convlstm.storage import frames as frames_h5
from convlstm.storage import hdf5
from tests.builders import frames_from, stored_frames


def frames_of(count: int, dtype: str = "u1") -> np.ndarray:
    return np.arange(count * 6, dtype=dtype).reshape(count, 1, 2, 3)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4", "f8"])
@pytest.mark.parametrize("name", ["plain", "with spaces", "Wölkchen 雲"])
def test_a_sequence_comes_back_with_its_name_and_type(
    tmp_path: Path, dtype: str, name: str
) -> None:
    with hdf5.create(tmp_path / "frames.h5") as file:
        frames_h5.append_sequence(file, name, frames_from(frames_of(19, dtype)))
    with stored_frames(tmp_path / "frames.h5") as sequences:
        ((found, sequence),) = sequences.items()
        assert found == name
        assert sequence.frames.dtype == dtype
        np.testing.assert_array_equal(sequence.frames[:], frames_of(19, dtype))
        assert sequence.times is None
        assert sequence.label(4) == f"{name}, frame 5"


@pytest.mark.parametrize("bytes_per_write", [1, 24, 53, 2**20])
def test_a_sequence_comes_back_whatever_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytes_per_write: int
) -> None:
    # frames of 6 bytes, 4 in a chunk: 19 of them are written in fours, in eights, or at once
    monkeypatch.setattr(frames_h5, "BYTES_PER_WRITE", bytes_per_write)
    with hdf5.create(tmp_path / "frames.h5") as file:
        frames_h5.append_sequence(file, "a", iter(frames_from(frames_of(19))))
    with stored_frames(tmp_path / "frames.h5") as sequences:
        stored = sequences["a"].frames
        np.testing.assert_array_equal(stored[:], frames_of(19))


def test_the_fingerprint_is_that_of_names_types_sizes_and_values(tmp_path: Path) -> None:
    other = frames_of(6)
    other[5, 0, 1, 2] += 1
    contents: list[dict[str, np.ndarray]] = [
        {"a": frames_of(6), "b": frames_of(2)},
        {"a": other, "b": frames_of(2)},
        {"b": frames_of(6), "a": frames_of(2)},
        {"a": frames_of(6), "b": frames_of(2).reshape(2, 1, 3, 2)},
        {"a": frames_of(6), "b": frames_of(2).view(np.int8)},
        {"a": frames_of(6)},
    ]
    found = []
    for number, content in enumerate([*contents, contents[0]]):
        with hdf5.create(tmp_path / f"{number}.h5") as file:
            for name, frames in content.items():
                frames_h5.append_sequence(file, name, frames_from(frames))
        with stored_frames(tmp_path / f"{number}.h5") as sequences:
            found.append(frames_h5.fingerprint(sequences))
    assert found[0] == found[-1]
    assert len(set(found)) == len(contents)


def test_the_digest_of_a_sequence_is_the_sha256_of_the_sums_of_its_chunks(tmp_path: Path) -> None:
    path, sums = tmp_path / "frames.h5", b""
    noise = np.random.default_rng(0).integers(0, 256, (6, 1, 170, 9), np.uint8)
    with hdf5.create(path) as file:
        frames_h5.append_sequence(file, "a", frames_from(noise))
    with stored_frames(path) as sequences:
        digest = sequences["a"].digest
    with h5py.File(path) as plain:
        dataset = plain["sequences/000000"]
        assert dataset.chunks == (4, 1, 85, 9)
        for corner in ((0, 0, 0, 0), (0, 0, 85, 0), (4, 0, 0, 0), (4, 0, 85, 0)):
            _, stored = dataset.id.read_direct_chunk(corner)
            sums += blake2b(stored, digest_size=8).digest()
    assert digest == sha256(sums).hexdigest()


def test_colours_that_lie_side_by_side_in_memory_are_stored_as_all_others(tmp_path: Path) -> None:
    """As Pillow gives them: the views (channel, row, col) of arrays (row, col, channel)."""
    colours = np.random.default_rng(0).integers(0, 256, (5, 8, 9, 3), np.uint8)
    frames = np.moveaxis(colours, -1, 1)
    with hdf5.create(tmp_path / "frames.h5") as file:
        frames_h5.append_sequence(file, "as Pillow has them", frames_from(frames))
        frames_h5.append_sequence(file, "in order", frames_from(frames.copy()))
    with stored_frames(tmp_path / "frames.h5") as sequences:
        views, copies = sequences.values()
        np.testing.assert_array_equal(views.frames[:], frames)
        assert views.digest == copies.digest


def test_labels_and_times_come_back(tmp_path: Path) -> None:
    with hdf5.create(tmp_path / "frames.h5") as file:
        frames_h5.append_sequence(
            file, "a", frames_from(frames_of(2)), labels=("ä.png", "b.png"), times=(-5, 2**60)
        )
    with stored_frames(tmp_path / "frames.h5") as sequences:
        sequence = sequences["a"]
        assert sequence.label(0) == "a/ä.png"
        assert sequence.times is not None
        assert sequence.times.tolist() == [-5, 2**60]


def test_sequences_keep_their_order(tmp_path: Path) -> None:
    names = [f"s{number}" for number in reversed(range(12))]
    with hdf5.create(tmp_path / "frames.h5") as file:
        for name in names:
            frames_h5.append_sequence(file, name, frames_from(frames_of(1)))
    with stored_frames(tmp_path / "frames.h5") as sequences:
        assert list(sequences) == names


names = st.lists(
    st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=40).filter(
        str.isprintable
    ),
    min_size=1,
    max_size=5,
    unique=True,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(names=names, data=st.data())
def test_sequences_of_any_name_shape_and_type_come_back(
    tmp_path: Path, names: list[str], data: st.DataObject
) -> None:
    shapes = st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))
    kinds = st.sampled_from(["u1", "u2", "i4", "f4"])
    stored = {
        name: data.draw(hypothesis_numpy.arrays(data.draw(kinds), data.draw(shapes)))
        for name in names
    }
    labels = {name: tuple(f"{name} {time}" for time in range(len(stored[name]))) for name in names}
    with hdf5.create(tmp_path / "frames.h5") as file:
        for name, frames in stored.items():
            frames_h5.append_sequence(file, name, frames_from(frames), labels=labels[name])
    with stored_frames(tmp_path / "frames.h5") as sequences:
        found = sequences
        assert list(found) == names
        for name, frames in stored.items():
            np.testing.assert_array_equal(found[name].frames[:], frames)
            last = len(frames) - 1
            assert found[name].label(last) == f"{name}/{labels[name][last]}"


def test_a_sequence_without_a_frame_leaves_nothing(tmp_path: Path) -> None:
    with hdf5.create(tmp_path / "frames.h5") as file:
        frames_h5.append_sequence(file, "bad", [], labels=("x",), times=(1,))
        frames_h5.append_sequence(
            file, "good", frames_from(frames_of(1)), labels=("x",), times=(1,)
        )
    with stored_frames(tmp_path / "frames.h5") as sequences:
        assert list(sequences) == ["good"]
