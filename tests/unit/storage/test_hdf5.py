"""A file is complete or refused, damage in it raises, and equal content is equal bytes."""

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.runtime.errors import BadInput
from convlstm.storage import hdf5

NUMBERS = np.arange(54, dtype=np.uint8).reshape(9, 1, 2, 3)


def write(path: Path) -> None:
    """Write a file with everything that our files hold: frames, arrays, texts, a description."""
    with hdf5.create(path) as file:
        frames = hdf5.growing(file, "frames", (1, 2, 3), NUMBERS.dtype)
        hdf5.append(frames, NUMBERS[:4])
        hdf5.append(frames, NUMBERS[4:])
        hdf5.set_text(frames, "name", "a name")
        hdf5.write_array(file, "times", np.arange(9))
        hdf5.write_texts(file, "labels", ["one", "two"])
        hdf5.describe(file, number=1)


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "a/file.h5")
    write(tmp_path / "b/file.h5")
    assert (tmp_path / "a/file.h5").read_bytes() == (tmp_path / "b/file.h5").read_bytes()


def test_a_description_comes_back(tmp_path: Path) -> None:
    content = {"value_range": (0.0, 1.5), "reading": {"raw_axes": None}, "name": "Wölkchen 雲"}
    with hdf5.create(tmp_path / "file.h5") as file:
        hdf5.describe(file, **content)
    with hdf5.open_complete(tmp_path / "file.h5") as file:
        assert hdf5.description(file) == content


@pytest.mark.parametrize("texts", [["a"], ["ü", "", "much longer than the others", "雲"]])
def test_texts_come_back(tmp_path: Path, texts: list[str]) -> None:
    with hdf5.create(tmp_path / "file.h5") as file:
        hdf5.write_texts(file, "texts", texts)
        hdf5.set_text(file, "last", texts[-1])
    with hdf5.open_complete(tmp_path / "file.h5") as file:
        assert hdf5.texts(hdf5.Array(file["texts"])[:]) == texts
        assert hdf5.text(file, "last") == texts[-1]


def test_a_failed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    path.write_bytes(b"old")

    def fail() -> None:
        with hdf5.create(path) as file:
            hdf5.write_array(file, "numbers", NUMBERS)
            raise BadInput("bad frame")

    with pytest.raises(BadInput, match="bad frame"):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_without_its_complete_mark_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file["numbers"] = NUMBERS
    with (
        pytest.raises(BadInput, match="its writer did not finish; delete it and run `dvc repro`"),
        hdf5.open_complete(tmp_path / "file.h5"),
    ):
        pass


@pytest.mark.parametrize("content", [None, b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + b"\0" * 99])
def test_a_file_that_is_not_hdf5_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "file.h5").write_bytes(content)
    with pytest.raises(BadInput, match="dvc repro"), hdf5.open_complete(tmp_path / "file.h5"):
        pass


def change_chunk(path: Path, change: Callable[[np.ndarray], None]) -> None:
    """Change the stored bytes of the chunk of `frames` that holds the frames 4 to 7."""
    with h5py.File(path) as plain:
        place = plain["frames"].id.get_chunk_info(1)
    content = np.fromfile(path, np.uint8)
    change(content[place.byte_offset : place.byte_offset + place.size])
    content.tofile(path)


def flip_a_bit(stored: np.ndarray) -> None:
    stored[len(stored) // 2] ^= 1


def zero(stored: np.ndarray) -> None:
    """Leave a checksum that adds up nothing, and that is 0."""
    stored[:] = 0


def exchange_words(stored: np.ndarray) -> None:
    """Change what a sum modulo 0xFFFF does not see."""
    words = stored[: len(stored) // 2 * 2].view("<u2")
    words[0] = 0xFFFF if words[0] == 0 else 0


def swap(stored: np.ndarray) -> None:
    stored[[0, -1]] = stored[[-1, 0]]


@pytest.mark.parametrize("change", [flip_a_bit, zero, exchange_words, swap])
def test_a_damaged_chunk_raises_when_its_frame_is_read(
    tmp_path: Path, change: Callable[[np.ndarray], None]
) -> None:
    path = tmp_path / "file.h5"
    write(path)
    change_chunk(path, change)

    def read_the_frame_and_its_neighbours() -> None:
        with hdf5.open_complete(path) as file:
            frames = hdf5.Array(file["frames"])
            np.testing.assert_array_equal(frames[3], NUMBERS[3])
            np.testing.assert_array_equal(frames[8:], NUMBERS[8:])
            frames[5]

    with pytest.raises(BadInput, match=r"file\.h5: damaged: .*; delete it and run `dvc repro`"):
        read_the_frame_and_its_neighbours()


picks = st.one_of(
    st.integers(-9, 8),
    st.builds(slice, *(st.none() | st.integers(-12, 12) for _ in range(2))),
)


@settings(max_examples=50, deadline=None)
@given(picks, picks)
def test_a_part_is_checked_in_the_chunks_that_it_touches_and_in_no_others(
    tmp_path_factory: pytest.TempPathFactory, row: int | slice, col: int | slice
) -> None:
    """Of 3 x 3 chunks of 3 x 3 numbers one at a time is damaged."""
    path, numbers = tmp_path_factory.mktemp("part") / "file.h5", np.arange(81).reshape(9, 9)
    with hdf5.create(path) as file:
        hdf5.write_array(file, "numbers", numbers, chunks=(3, 3))
    with hdf5.open_complete(path) as file:
        np.testing.assert_array_equal(hdf5.Array(file["numbers"])[row, col], numbers[row, col])
    with h5py.File(path, "r+") as file:  # a sum that is none of the chunk at the same place
        file["sums"][4] += np.uint64(1)
    touches_the_middle = np.isin(numbers[3:6, 3:6], numbers[row, col]).any()
    with hdf5.open_complete(path) as file:
        if touches_the_middle:
            with pytest.raises(BadInput, match="not as it was written"):
                hdf5.Array(file["numbers"])[row, col]
        else:
            hdf5.Array(file["numbers"])[row, col]


def test_a_sum_is_blake2b_of_what_lies_on_the_disk(tmp_path: Path) -> None:
    """And `b2sum --length=64` says the same."""
    write(tmp_path / "file.h5")
    content = (tmp_path / "file.h5").read_bytes()
    with h5py.File(tmp_path / "file.h5") as plain:
        first = plain["times"].attrs["first_sum"]
        place = plain["times"].id.get_chunk_info(0)
        stored = content[place.byte_offset : place.byte_offset + place.size]
        assert plain["sums"][first].tobytes() == blake2b(stored, digest_size=8).digest()
        assert len(plain["sums"]) == 3 + 1 + 1  # chunks of frames, labels and times


def test_a_dataset_without_sums_is_not_taken_for_checked(tmp_path: Path) -> None:
    write(tmp_path / "file.h5")
    with h5py.File(tmp_path / "file.h5", "r+") as file:
        del file["times"].attrs["first_sum"]
    with pytest.raises(BadInput, match="did not finish"), hdf5.open_complete(tmp_path / "file.h5"):
        pass


def test_of_two_open_files_the_damaged_one_is_named(tmp_path: Path) -> None:
    for name in ("first.h5", "second.h5"):
        write(tmp_path / name)
    with h5py.File(tmp_path / "first.h5") as plain:
        offset = plain["frames"].id.get_chunk_info(0).byte_offset
    flip_bit(tmp_path / "first.h5", offset)

    def read_the_first() -> None:
        with (
            hdf5.open_complete(tmp_path / "first.h5") as first,
            hdf5.open_complete(tmp_path / "second.h5") as second,
        ):
            np.testing.assert_array_equal(hdf5.Array(second["frames"])[:2], NUMBERS[:2])
            hdf5.Array(first["frames"])[:2]

    with pytest.raises(BadInput, match=r"first\.h5: damaged: .*; delete it and run `dvc repro`"):
        read_the_first()


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_the_frames_of_a_dry_radar_take_a_twentieth_of_their_bytes(
    tmp_path: Path, dtype: str
) -> None:
    frames = np.zeros((8, 1, 200, 300), dtype)
    frames[:, :, 50:80, 60:100] = np.random.default_rng(0).integers(1, 90, (8, 1, 30, 40))
    with hdf5.create(tmp_path / "file.h5") as file:
        hdf5.append(hdf5.growing(file, "frames", (1, 200, 300), frames.dtype), frames)
    with hdf5.open_complete(tmp_path / "file.h5") as file:
        np.testing.assert_array_equal(file["frames"][:], frames)
    # 2 % are rain, of 6.5 bits each; the rest, and the places of the rain, should take little
    assert (tmp_path / "file.h5").stat().st_size < 0.05 * frames.nbytes


def test_frames_that_no_filter_makes_smaller_take_hardly_more(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (8, 1, 200, 300), np.uint8)
    with hdf5.create(tmp_path / "file.h5") as file:
        hdf5.append(hdf5.growing(file, "frames", (1, 200, 300), frames.dtype), frames)
    with hdf5.open_complete(tmp_path / "file.h5") as file:
        np.testing.assert_array_equal(file["frames"][:], frames)
    assert (tmp_path / "file.h5").stat().st_size < 1.05 * frames.nbytes


@pytest.mark.parametrize(
    ("shape", "dtype", "chunks"),
    [
        ((1, 22, 30), "u1", (4, 1, 22, 30)),
        ((1, 160, 161), "u1", (4, 1, 160, 81)),  # sides of at most 160, all alike
        ((2, 765, 700), "u2", (3, 2, 153, 140)),  # 2.1 MB each, and at most 8.4 MB of them
        ((1, 3000, 3000), "u1", (1, 1, 158, 158)),
        ((1, 4000, 4000), "f8", (1, 1, 160, 160)),
    ],
)
def test_chunks_are_small_enough_for_a_window_and_for_memory(
    tmp_path: Path, shape: tuple[int, int, int], dtype: str, chunks: tuple[int, ...]
) -> None:
    with hdf5.create(tmp_path / "file.h5") as file:
        assert hdf5.growing(file, "frames", shape, np.dtype(dtype)).chunks == chunks


@pytest.mark.parametrize("name", ["times", "labels"])
def test_a_flipped_bit_of_an_array_raises_too(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file.h5"
    write(path)
    with h5py.File(path) as plain:
        offset = plain[name].id.get_chunk_info(0).byte_offset
    flip_bit(path, offset)
    with (
        pytest.raises(BadInput, match=r"file\.h5: damaged: "),
        hdf5.open_complete(path) as file,
    ):
        hdf5.Array(file[name])[:]


def flip_bit(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_an_error_of_another_file_is_not_blamed_on_the_open_one(tmp_path: Path) -> None:
    write(tmp_path / "file.h5")
    with (
        pytest.raises(FileNotFoundError, match="elsewhere"),
        hdf5.open_complete(tmp_path / "file.h5"),
    ):
        (tmp_path / "elsewhere").read_bytes()
