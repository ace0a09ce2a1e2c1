"""An archive that grows, under DVC: what is added is made and stored, and nothing else.

All tests share a clone and continue where the one before has left it.
"""

import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.system.repository import begin, call, clone, commit, ran

pytestmark = pytest.mark.slow

DAYS, FRAMES, SIDE = 20, 24, 64
SHARD_BYTES = 4 * FRAMES * SIDE**2  # of the clone: some four days


def write_day(raw: Path, day: int) -> None:
    raw.mkdir(exist_ok=True)
    values = np.random.default_rng(day).integers(0, 256, (FRAMES, SIDE, SIDE), np.uint8)
    np.save(raw / f"{day:03d}.npy", values)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("an archive")
    for day in range(DAYS):
        write_day(folder / "raw", day)
    place = clone(folder / "clone", raw=str(folder / "raw"), value_range=[0, 255])
    path = place / "convlstm/ingest/cutting.py"
    text = path.read_text(encoding="utf-8")
    assert text.count("LEAST_BYTES = 2**26\n") == 1
    path.write_text(text.replace("= 2**26\n", f"= {SHARD_BYTES}\n"), encoding="utf-8")
    commit(place)
    return place


def shards(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the inode and the time of change of each shard of a folder, by its name."""
    found = {path.name: path.stat() for path in folder.glob("*.h5") if path.name != "index.h5"}
    return {name: (state.st_ino, state.st_mtime_ns) for name, state in found.items()}


def objects(repository: Path) -> dict[str, int]:
    """Return the bytes of all that DVC has stored."""
    files = (repository / ".dvc/cache/files").rglob("*")
    return {path.name: path.stat().st_size for path in files if path.is_file()}


def test_a_kill_in_the_middle_keeps_the_shards_that_were_done(repository: Path) -> None:
    cache = repository / ".shards/frames"
    with begin(repository, "dvc", "repro", "ingest") as process:
        deadline = time.monotonic() + 120
        while len(list(cache.glob("[!.]*.made"))) < 2:  # of its content, and of its files
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    time.sleep(2)  # its children end by themselves
    noted = {path.read_text() for path in cache.glob("[!.]*.made")}
    kept = {name: state for name, state in shards(cache).items() if name in noted}
    call(repository, "dvc", "repro", "patch")
    after = shards(cache)
    assert {name: after[name] for name in kept} == kept != {}
    assert [path.name for path in cache.iterdir() if path.name.startswith((".", "new"))] == []


def test_shards_are_the_files_that_dvc_has_stored(repository: Path) -> None:
    stored = {path.stat().st_ino for path in (repository / ".dvc/cache/files").rglob("*")}
    for stage in ("frames", "patches"):
        cached = shards(repository / ".shards" / stage)
        assert cached == shards(repository / "data" / stage)
        assert 4 <= len(cached) <= 10
        assert {inode for inode, _ in cached.values()} <= stored


@pytest.mark.parametrize("day", [DAYS, 7])
def test_a_day_more_is_a_shard_or_two_more(repository: Path, day: int) -> None:
    raw = repository.parent / "raw"
    before = [shards(repository / "data" / stage) for stage in ("frames", "patches")]
    stored = objects(repository)
    write_day(raw, 100 + day)
    (raw / f"{100 + day:03d}.npy").rename(raw / f"{day:03d}b.npy")
    assert ran(call(repository, "dvc", "repro", "patch")) == ["ingest", "patch"]
    for old, stage in zip(before, ("frames", "patches"), strict=True):
        new = shards(repository / "data" / stage)
        assert len(new.keys() - old.keys()) <= 3
        assert all(new[name] == old[name] for name in new.keys() & old.keys())
    new_bytes = sum(size for name, size in objects(repository).items() if name not in stored)
    assert new_bytes < 0.6 * sum(stored.values())
    assert "up to date" in call(repository, "dvc", "repro", "patch")


def test_a_lost_shard_is_named_and_can_be_had_back(repository: Path) -> None:
    lost = next((repository / "data/frames").glob("[!i]*.h5"))
    inode = lost.stat().st_ino
    lost.unlink()
    output = call(repository, "python", "-m", "stages.evaluate", status=2)
    assert len(output.splitlines()) == 1
    call(repository, "dvc", "checkout", "data/frames")
    assert lost.stat().st_ino == inode


def test_from_scratch_again_the_bytes_are_the_same(repository: Path) -> None:
    before = objects(repository)
    for stage in ("ingest", "patch"):
        call(repository, "rm", "-rf", ".shards")
        call(repository, "dvc", "repro", "--force", "--single-item", stage)
    assert objects(repository) == before
