"""A cluster of dask makes the shards that one process makes, also when a worker is killed."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convlstm.ingest import cutting
from convlstm.runtime import system
from convlstm.storage import tasks
from tests.builders import reading_of
from tests.ingesting import ingest

distributed = pytest.importorskip("distributed", reason="needs the extra `cluster`")
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("default"),  # those of dask are its own
]

DAYS, FRAMES, SIDE = 12, 60, 200


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Days of noise, each of which is a shard and takes a moment."""
    monkeypatch.setattr(cutting, "LEAST_BYTES", FRAMES * SIDE**2)
    (tmp_path / "raw").mkdir()
    for day in range(DAYS):
        values = np.random.default_rng(day).integers(0, 256, (FRAMES, SIDE, SIDE), np.uint8)
        np.save(tmp_path / f"raw/{day:02d}.npy", values)
    return tmp_path / "raw"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of two workers, each a process, which the environment names."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as found:
        monkeypatch.setenv(tasks.CLUSTER, found.scheduler_address)
        yield found


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_worker_that_is_killed_costs_nothing_but_time(
    tmp_path: Path, raw: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = []

    def kill() -> None:
        while len(list((tmp_path / "shared").glob("*.made"))) < 4:  # two shards of twelve
            time.sleep(0.01)
        killed.append(next(iter(cluster.workers.values())).pid)
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    names = ingest(raw, tmp_path / "by the cluster", reading_of(), tmp_path / "shared")
    thread.join()
    assert (len(killed), len(set(names))) == (1, DAYS)
    made = {path.name for path in (tmp_path / "shared").iterdir() if path.suffix == ".h5"}
    assert made == set(names)
    monkeypatch.delenv(tasks.CLUSTER)
    monkeypatch.setattr(system, "cores", lambda: 1)
    ingest(raw, tmp_path / "alone", reading_of(), tmp_path / "own")
    assert content(tmp_path / "by the cluster") == content(tmp_path / "alone")
