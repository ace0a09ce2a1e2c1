"""Array files of any axes give the frames that plain indexing gives, a block of them at a time."""

from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from threading import Barrier

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convlstm.ingest import arrays, blocks, readers
from convlstm.runtime.errors import BadInput
from tests.builders import reading_of, values_of

SIZES = {"N": 2, "T": 5, "C": 3, "H": 4, "W": 6}


def array_of(axes: str, dtype: str = "u2") -> np.ndarray:
    shape = [SIZES[axis] for axis in axes]
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def read(path: Path, sequence: int = 0, /, **reading: object) -> np.ndarray:
    return np.stack(values_of(readers.frames(path, reading_of(**reading), sequence)))


def block_of(frame: np.ndarray) -> np.ndarray:
    """Return the array in memory that a frame is a part of."""
    while isinstance(frame.base, np.ndarray):
        frame = frame.base
    return frame


def saved(path: Path, array: np.ndarray, dataset: str = "a/b") -> Path:
    """Write an array file of the kind that the suffix names."""
    match path.suffix:
        case ".npy":
            np.save(path, array)
        case ".npz":
            np.savez_compressed(path, array)  # under the name arr_0
        case _:
            with h5py.File(path, "w") as file:
                file.create_dataset(dataset, data=array, chunks=True, compression="gzip")
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".nc"])
@pytest.mark.parametrize("axes", ["HW", "THW", "TNHW", "NTCHW", "WHT", "HWC", "CTHWN"])
def test_a_frame_is_what_its_axes_say(tmp_path: Path, suffix: str, axes: str) -> None:
    array = array_of(axes)
    path = saved(tmp_path / f"x{suffix}", array)
    last = SIZES["N"] - 1 if "N" in axes else 0
    frames = read(path, last, raw_axes=axes)
    # einsum, an independent transposition, after the absent axes were added
    for axis in set("NTC") - set(axes):
        array, axes = array[None], axis + axes
    expected = np.einsum(f"{axes}->NTCHW".lower(), array)[last]
    np.testing.assert_array_equal(frames, expected)
    assert frames.dtype == np.uint16


def test_an_npz_of_several_sequences_is_unpacked_once_for_all_threads(tmp_path: Path) -> None:
    # unpacking takes long enough that the threads, which begin together, ask for it at once
    array = np.random.default_rng(0).integers(0, 2**16, (2, 40, 200, 200), np.uint16)
    path = saved(tmp_path / "x.npz", array)
    together = Barrier(2, timeout=20)

    def read_one(sequence: int) -> list[np.ndarray]:
        together.wait()
        return values_of(arrays.frames(path, reading_of(raw_axes="NTHW"), sequence))

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(read_one, range(2))
    np.testing.assert_array_equal(np.stack([first, second])[:, :, 0], array)
    assert all(block_of(frame) is block_of(first[0]) for frame in first + second)


def test_another_npz_and_a_changed_one_are_unpacked_anew(tmp_path: Path) -> None:
    array = array_of("NTHW")
    path, other = saved(tmp_path / "x.npz", array), saved(tmp_path / "y.npz", array + 1)
    np.testing.assert_array_equal(read(path, 1, raw_axes="NTHW")[:, 0], array[1])
    np.testing.assert_array_equal(read(other, 1, raw_axes="NTHW")[:, 0], array[1] + 1)
    np.testing.assert_array_equal(read(path, 1, raw_axes="NTHW")[:, 0], array[1])
    saved(path, array[:, :3] + 2)
    np.testing.assert_array_equal(read(path, 1, raw_axes="NTHW")[:, 0], array[1, :3] + 2)


def test_moving_mnist_is_time_first(tmp_path: Path) -> None:
    path = saved(tmp_path / "mnist.npy", array_of("TNHW"))
    assert arrays.extent(path, reading_of(raw_axes="TNHW")) == (2, 5)


@pytest.mark.parametrize(("axes", "extent"), [("HW", (1, 1)), ("THW", (1, 5))])
def test_two_and_three_axes_need_no_name(
    tmp_path: Path, axes: str, extent: tuple[int, int]
) -> None:
    assert arrays.extent(saved(tmp_path / "x.npy", array_of(axes)), reading_of()) == extent


@pytest.mark.parametrize(
    ("chunk", "block_bytes", "most", "lengths"),
    [
        (None, 100, 1000, [2, 2, 1]),  # the five frames have 48 bytes each
        (1, 100, 1000, [2, 2, 1]),
        (3, 100, 1000, [3, 2]),  # a chunk at a time
        (3, 100, 100, [2, 2, 1]),
        (3, 10, 10, [1] * 5),
    ],
)
def test_long_arrays_are_read_in_blocks(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    chunk: int | None,
    block_bytes: int,
    most: int,
    lengths: list[int],
) -> None:
    array = array_of("THW")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=array, chunks=chunk and (chunk, 4, 6))
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(blocks, "MOST_BLOCK_BYTES", most)
    frames = values_of(readers.frames(tmp_path / "x.h5", reading_of()))
    np.testing.assert_array_equal(np.stack(frames)[:, 0], array)
    own = [id(block_of(frame)) for frame in frames]
    assert [len(list(same)) for _, same in groupby(own)] == lengths


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("axes", ["THW", "TCHW", "TWHC"])
def test_of_an_array_file_only_a_block_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, axes: str
) -> None:
    array = array_of(axes)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 2 * array[0].nbytes)
    path = saved(tmp_path / f"x{suffix}", array)
    frames = values_of(readers.frames(path, reading_of(raw_axes=axes)))
    own = [id(block_of(frame)) for frame in frames]
    assert [len(list(same)) for _, same in groupby(own)] == [2, 2, 1]
    assert all(block_of(frame).nbytes <= 2 * array[0].nbytes for frame in frames)


@pytest.mark.parametrize("dtype", ["i1", "u4", "i8", "f2", "f8", ">u2", ">f4", "?"])
def test_numbers_keep_their_type_in_native_order(tmp_path: Path, dtype: str) -> None:
    array = (array_of("HW", "i8") % 2).astype(dtype)
    frames = read(saved(tmp_path / "x.npy", array))
    np.testing.assert_array_equal(frames[0, 0], array)
    assert frames.dtype == ("u1" if dtype == "?" else np.dtype(dtype).newbyteorder("="))


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_one_of_several_datasets_must_be_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    both = {"rain": array_of("HW"), "snow": array_of("HW") + 1}
    if suffix == ".npz":
        np.savez(path, rain=both["rain"], snow=both["snow"])
    else:
        with h5py.File(path, "w") as file:
            for name, array in both.items():
                file[name] = array
    np.testing.assert_array_equal(read(path, raw_dataset="snow")[0, 0], both["snow"])
    for wrong in (None, "hail"):
        with pytest.raises(BadInput, match=r"there are \['rain', 'snow'\]"):
            read(path, raw_dataset=wrong)


def test_the_only_dataset_needs_no_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.h5", array_of("HW"), dataset="image1/image_data")
    with h5py.File(path, "a") as file:
        file["image1/time"] = 7  # a frame has at least two axes, and this has none
    np.testing.assert_array_equal(read(path)[0, 0], array_of("HW"))


@pytest.mark.parametrize(
    ("array", "reading", "words"),
    [
        (array_of("NTHW"), {}, "its array has 4 axes"),
        (array_of("THW"), {"raw_axes": "HW"}, "its array has 3 axes"),
        (np.array([["a", "b"]]), {}, "which are not real numbers"),
        (np.zeros((2, 2), complex), {}, "which are not real numbers"),
        (np.zeros((50, 50), "u1"), {"max_pixels": 100}, "more pixels than max_pixels = 100"),
        (np.array([[None, 1]]), {}, "cannot be read as an array file"),
    ],
)
def test_an_array_that_does_not_fit_the_params_is_refused(
    tmp_path: Path, array: np.ndarray, reading: dict[str, object], words: str
) -> None:
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(BadInput, match=f"x.npy: .*{words}"):
        read(tmp_path / "x.npy", 0, **reading)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5"])
@pytest.mark.parametrize("content", [b"", b"no array", "half"])
def test_a_broken_file_is_named_with_its_reason(
    tmp_path: Path, suffix: str, content: bytes | str
) -> None:
    path = tmp_path / f"x{suffix}"
    if content == "half":
        whole = saved(path, np.random.default_rng(0).random((20, 30, 30))).read_bytes()
        content = whole[: len(whole) // 2]
    assert isinstance(content, bytes)
    path.write_bytes(content)
    with pytest.raises(BadInput, match=rf"x\{suffix}: cannot be read as an array file \(.+\)"):
        read(path)


TYPES = ("u1", "i1", "<u2", ">u2", "<i4", ">i8", "<f2", "<f4", ">f8")


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_arrays_of_any_axes_and_type_come_back_in_500_draws(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    more = data.draw(st.sets(st.sampled_from("NTC")))
    axes = "".join(data.draw(st.permutations(["H", "W", *more])))
    # frames have at least 7 x 7 pixels, but a row or a column alone must not be taken for none
    shape = [data.draw(st.integers(2 if axis == "W" else 1, 5)) for axis in axes]
    dtype = np.dtype(data.draw(st.sampled_from(TYPES)))
    chance = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    array = chance.integers(0, 100, shape).astype(dtype)
    if data.draw(st.booleans()):
        array = np.asfortranarray(array)
    suffix = data.draw(st.sampled_from((".npy", ".npz", ".h5")))
    path = saved(tmp_path_factory.mktemp("array") / f"x{suffix}", array)
    letters = axes
    for axis in set("NTC") - set(axes):
        array, letters = array[None], axis + letters
    sequences = np.einsum(f"{letters}->NTCHW".lower(), array)
    for number, expected in enumerate(sequences):
        frames = read(path, number, raw_axes=axes)
        np.testing.assert_array_equal(frames, expected)
        assert frames.dtype == dtype.newbyteorder("=")
