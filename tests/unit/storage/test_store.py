"""What was written comes back; what is unfinished, foreign or rotten is refused."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from convlstm.runtime.errors import BadInput
from convlstm.storage import hdf5, store


def frames_of(count: int, dtype: str = "u1") -> np.ndarray:
    return np.arange(count * 6, dtype=dtype).reshape(count, 1, 2, 3)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4", "f8"])
@pytest.mark.parametrize("name", ["plain", "with spaces", "Wölkchen 雲"])
def test_a_sequence_comes_back_with_its_name_and_type(
    tmp_path: Path, dtype: str, name: str
) -> None:
    with hdf5.create(tmp_path / "frames.h5") as file:
        store.append_sequence(file, name, frames_of(19, dtype))
    with hdf5.reading(tmp_path / "frames.h5") as file:
        ((found, sequence),) = store.sequences(file).items()
        assert found == name
        assert sequence.frames.dtype == dtype
        np.testing.assert_array_equal(sequence.frames[:], frames_of(19, dtype))
        assert sequence.times is None
        assert sequence.label(4) == f"{name}, frame 5"


def test_labels_and_times_come_back(tmp_path: Path) -> None:
    with hdf5.create(tmp_path / "frames.h5") as file:
        store.append_sequence(file, "a", frames_of(2), labels=("ä.png", "b.png"), times=(-5, 2**60))
    with hdf5.reading(tmp_path / "frames.h5") as file:
        sequence = store.sequences(file)["a"]
        assert sequence.label(0) == "a/ä.png"
        assert sequence.times is not None
        assert sequence.times.tolist() == [-5, 2**60]


def test_sequences_keep_their_order(tmp_path: Path) -> None:
    names = [f"s{number}" for number in reversed(range(12))]
    with hdf5.create(tmp_path / "frames.h5") as file:
        for name in names:
            store.append_sequence(file, name, frames_of(1))
    with hdf5.reading(tmp_path / "frames.h5") as file:
        assert list(store.sequences(file)) == names


def test_facts_windows_and_forecasts_come_back(tmp_path: Path) -> None:
    facts = {"value_range": (0.0, 1.5), "reading": {"raw_axes": None}}
    parts = {part: frames_of(3, "f4") for part in ("context", "truth", "forecast")}
    with hdf5.create(tmp_path / "all.h5") as file:
        hdf5.describe(file, **facts)
        store.write_windows(file, ["a", "ü"], {"train": [(0, 1, 2, 3), (4, 0, 6, 7)]})
    with hdf5.create(tmp_path / "forecasts.h5") as file:
        store.write_forecast(file, "a label", **parts)
    with hdf5.reading(tmp_path / "all.h5") as file:
        assert hdf5.description(file) == facts
        assert file["windows/train"][:].tolist() == [(0, 1, 2, 3), (4, 0, 6, 7)]
        assert hdf5.texts(file["sequences"]) == ["a", "ü"]
    with hdf5.reading(tmp_path / "forecasts.h5") as file:
        (window,) = store.forecasts(file)
        assert window["label"] == "a label"
        np.testing.assert_array_equal(window["truth"], parts["truth"])


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        with hdf5.create(tmp_path / folder / "frames.h5") as file:
            store.append_sequence(file, "s", frames_of(9), labels=("x",) * 9, times=(1,) * 9)
            hdf5.describe(file, fact=1)
    first, second = (tmp_path / folder / "frames.h5" for folder in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_a_failed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "frames.h5"
    path.write_bytes(b"old")

    def fail() -> None:
        with hdf5.create(path) as file:
            store.append_sequence(file, "s", frames_of(9))
            raise BadInput("bad frame")

    with pytest.raises(BadInput, match="bad frame"):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_without_its_complete_mark_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["sequences/000000"] = frames_of(2)
    with (
        pytest.raises(BadInput, match="did not finish"),
        hdf5.reading(tmp_path / "frames.h5"),
    ):
        pass


@pytest.mark.parametrize("content", [None, b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + b"\0" * 99])
def test_what_is_no_hdf5_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "frames.h5").write_bytes(content)
    with pytest.raises(BadInput, match="dvc repro"), hdf5.reading(tmp_path / "frames.h5"):
        pass


@pytest.mark.parametrize("place", range(0, 6, 2))
def test_a_flipped_bit_raises_when_it_is_read(tmp_path: Path, place: int) -> None:
    path = tmp_path / "frames.h5"
    with hdf5.create(path) as file:
        store.append_sequence(file, "s", frames_of(9))
        offset = file["sequences/000000"].id.get_chunk_info(5).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + place] ^= 1
    path.write_bytes(content)
    with hdf5.reading(path) as file:
        frames = store.sequences(file)["s"].frames
        np.testing.assert_array_equal(frames[4], frames_of(9)[4])
        with pytest.raises(OSError, match="filter returned failure"):
            frames[5]


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
def test_whatever_is_stored_comes_back_in_its_order(
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
            store.append_sequence(file, name, frames, labels=labels[name])
    with hdf5.reading(tmp_path / "frames.h5") as file:
        found = store.sequences(file)
        assert list(found) == names
        for name, frames in stored.items():
            np.testing.assert_array_equal(found[name].frames[:], frames)
            last = len(frames) - 1
            assert found[name].label(last) == f"{name}/{labels[name][last]}"


def test_a_sequence_whose_frames_are_all_at_fault_leaves_nothing(tmp_path: Path) -> None:
    with hdf5.create(tmp_path / "frames.h5") as file:
        store.append_sequence(file, "bad", [], labels=("x",), times=(1,))
        store.append_sequence(file, "good", frames_of(1), labels=("x",), times=(1,))
    with hdf5.reading(tmp_path / "frames.h5") as file:
        assert list(store.sequences(file)) == ["good"]
