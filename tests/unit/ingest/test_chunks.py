"""Chunks that are unpacked outside of HDF5 hold what HDF5 itself reads of them."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from convlstm.ingest import chunks

EVERYTHING = (slice(None), slice(None), slice(None))


def dataset(path: Path, dtype: str = "<u2", **options: Any) -> h5py.Dataset:
    values = np.random.default_rng(0).integers(0, 99, (3, 5, 7)).astype(dtype)
    options = {"chunks": (1, 5, 7), "compression": "gzip"} | options
    file = h5py.File(path, "w")
    return file.create_dataset("x", data=values, **options)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">i4", "<f8"])
def test_a_packed_frame_is_unpacked_as_by_hdf5(tmp_path: Path, dtype: str, shuffle: bool) -> None:
    with (stored := dataset(tmp_path / "x.h5", dtype, shuffle=shuffle)).file:
        packed = chunks.of(stored)
        assert isinstance(packed, chunks.Frames)
        np.testing.assert_array_equal(packed[EVERYTHING], stored[:])
        np.testing.assert_array_equal(packed[(slice(1, 3), *EVERYTHING[1:])], stored[1:3])
        swapped = packed[(np.array([2, 0]), *EVERYTHING[1:])]
        np.testing.assert_array_equal(swapped, stored[:][[2, 0]])


def test_a_file_is_open_for_one_dataset_in_the_block(tmp_path: Path) -> None:
    dataset(tmp_path / "x.h5").file.close()
    with chunks.opened(tmp_path / "x.h5", "x") as packed:
        first = packed[(slice(0, 1), *EVERYTHING[1:])]
    expected = np.random.default_rng(0).integers(0, 99, (3, 5, 7))[:1]
    np.testing.assert_array_equal(first, expected)


@pytest.mark.parametrize(
    "picks",
    [
        (slice(None), 2, slice(None)),  # the axes HNW or HTW, whose frames are no chunks
        (slice(None), slice(1, 3), slice(None)),
        (slice(None), slice(None), 4),
        (1, slice(None), slice(None)),
    ],
)
def test_a_part_that_is_not_of_whole_frames_is_that_of_hdf5(tmp_path: Path, picks: Any) -> None:
    with (stored := dataset(tmp_path / "x.h5")).file:
        np.testing.assert_array_equal(chunks.of(stored)[picks], stored[picks])


def test_a_file_of_one_frame_is_unpacked_as_by_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        values = np.arange(35, dtype="u1").reshape(5, 7)
        stored = file.create_dataset("x", data=values, chunks=(5, 7), compression="gzip")
        np.testing.assert_array_equal(chunks.of(stored)[EVERYTHING[1:]], values)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": None},
        {"chunks": (1, 5, 4)},
        {"chunks": (2, 5, 7)},
        {"compression": "lzf"},
        {"fletcher32": True},
        {"chunks": None, "compression": None},
    ],
)
def test_other_chunks_are_left_to_hdf5(tmp_path: Path, options: dict[str, Any]) -> None:
    with (stored := dataset(tmp_path / "x.h5", **options)).file:
        assert chunks.of(stored) is stored


def test_a_chunk_that_was_never_written_or_not_packed_is_read_by_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        options: dict[str, Any] = {"chunks": (1, 5, 7), "compression": "gzip", "fillvalue": 9}
        stored = file.create_dataset("x", (3, 5, 7), "u1", **options)
        plain = np.arange(35, dtype="u1")
        stored.id.write_direct_chunk((1, 0, 0), plain.tobytes(), filter_mask=1)
        found = chunks.of(stored)[EVERYTHING]
        np.testing.assert_array_equal(found[[0, 2]], 9)
        np.testing.assert_array_equal(found[1].ravel(), plain)
