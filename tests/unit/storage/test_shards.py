"""Arrays in shards read as one, few shards are open at a time, and a lost one is named."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.runtime.errors import BadInput
from convlstm.storage import frames as frames_h5
from convlstm.storage import hdf5, shards
from convlstm.storage.shards import Cache, Joined, Place, Shelf
from tests.builders import frames_from

LENGTHS = (5, 1, 4)
WHOLE = np.arange(10 * 6, dtype=np.uint8).reshape(10, 1, 2, 3)


def write(path: Path, values: np.ndarray) -> Place:
    """Write a shard of one sequence, and return the place of its frames."""
    with hdf5.create(path) as file:
        frames_h5.append_sequence(file, "a", frames_from(values))
    with hdf5.open_complete(path) as file:
        frames = hdf5.Array(file["sequences/000000"])
        digest = hdf5.text(frames, "digest")
    return Place(path.name, "sequences/000000", frames.shape, frames.chunks, "u1", digest)


def write_all(folder: Path) -> list[Place]:
    parts = np.split(WHOLE, np.cumsum(LENGTHS)[:-1])
    return [write(folder / f"{number}.h5", part) for number, part in enumerate(parts)]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Place]]:
    folder = tmp_path_factory.mktemp("shards")
    return folder, write_all(folder)


ends = st.none() | st.integers(-12, 12)


@settings(max_examples=60, deadline=None)
@given(
    first=st.builds(slice, ends, ends) | st.integers(-10, 9),
    row=st.builds(slice, ends, ends) | st.integers(0, 1),
)
def test_a_part_is_that_of_the_whole_array(
    stored: tuple[Path, list[Place]], first: slice | int, row: slice | int
) -> None:
    folder, places = stored
    with Shelf(folder) as shelf:
        joined = Joined(shelf, places)
        assert (joined.shape, joined.dtype, len(joined)) == (WHOLE.shape, WHOLE.dtype, 10)
        assert (joined.size, joined.nbytes) == (60, 60)
        picks = (first, slice(None), row)
        np.testing.assert_array_equal(joined[picks], WHOLE[picks])
        np.testing.assert_array_equal(joined[first], WHOLE[first])


def open_files(folder: Path) -> int:
    """Return how many files of a folder this process has open; on Linux."""
    links = (link for link in Path("/proc/self/fd").iterdir() if link.exists())
    return sum(link.readlink().parent == folder for link in links)


def test_few_shards_are_open_at_a_time(
    stored: tuple[Path, list[Place]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, places = stored
    monkeypatch.setattr(shards, "MOST_OPEN", 2)
    with Shelf(folder) as shelf:
        joined = Joined(shelf, places)
        for number in (0, 5, 9, 0, 9):
            np.testing.assert_array_equal(joined[number], WHOLE[number])
            assert open_files(folder) <= 2
    assert open_files(folder) == 0


def test_threads_may_share_a_shelf(
    stored: tuple[Path, list[Place]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, places = stored
    monkeypatch.setattr(shards, "MOST_OPEN", 1)
    wrong: list[int] = []
    with Shelf(folder) as shelf:
        joined = Joined(shelf, places)

        def read(seed: int) -> None:
            for number in np.random.default_rng(seed).integers(0, 10, 50).tolist():
                if not np.array_equal(joined[number], WHOLE[number]):
                    wrong.append(number)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_missing_and_an_exchanged_shard_are_named_in_a_line(tmp_path: Path) -> None:
    places = write_all(tmp_path)
    (tmp_path / "1.h5").unlink()
    (tmp_path / "2.h5").rename(tmp_path / "0.h5")
    with Shelf(tmp_path) as shelf:
        joined = Joined(shelf, places)
        with pytest.raises(BadInput) as missing:
            joined[5]
        with pytest.raises(BadInput) as exchanged:
            joined[0]
    assert str(missing.value) == f"{tmp_path}/1.h5: no such file; `dvc repro` makes it"
    assert str(exchanged.value) == (
        f"{tmp_path}/0.h5: holds other data than index.h5 says; delete it and run `dvc repro`"
    )


def test_a_shard_is_named_by_its_bytes_and_found_by_its_source(tmp_path: Path) -> None:
    cache, names = Cache(tmp_path / "cache"), []
    for number in (0, 0, 1):
        with cache.new() as path:
            write(path, WHOLE + number)
            names.append(cache.keep(path))
    assert names[0] == names[1] != names[2]
    assert cache.find("k") == ()
    cache.note("k", names[0])
    cache.note("both", names[0], names[2])
    assert cache.find("k") == (names[0],)
    assert cache.find("both") == (names[0], names[2])
    cache.forget_but(names[2:])
    assert cache.find("k") == cache.find("both") == ()
    assert [path.name for path in cache.folder.iterdir()] == names[2:]


def test_a_shard_that_was_not_written_well_is_not_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.new() as path:
        place = write(path, WHOLE)
        content = bytearray(path.read_bytes())
        with hdf5.open_complete(path) as file:
            at = file[place.path].id.get_chunk_info(1).byte_offset
        content[at] ^= 1
        path.write_bytes(content)
        with pytest.raises(BadInput, match=r"new-.*\.h5: damaged: "):
            cache.keep(path)
    assert list(tmp_path.iterdir()) == []


def test_a_shard_that_cannot_be_linked_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    cache = Cache(tmp_path / "cache")
    with cache.new() as path:
        write(path, WHOLE)
        name = cache.keep(path)
    (tmp_path / "out").mkdir()
    cache.link(name, tmp_path / "out")
    assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "cache" / name).read_bytes()
