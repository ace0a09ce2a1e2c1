"""The training stage starts a rank for each GPU that it has, and shares a host with other runs."""

import os
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from convlstm.demo import rain
from convlstm.model import device, launching
from convlstm.runtime import locks
from convlstm.runtime.errors import BadInput
from convlstm.train.params import Train
from stages import devices, ranks, spread, train, training
from tests.builders import params_of, patches_of

HOST = socket.gethostname()

MEETING = {"MASTER_ADDR": "localhost", "MASTER_PORT": "1234"}


class Seen(list[tuple[int, str | None]]):
    """The ranks of each training that was begun, and the GPUs that CUDA was told of."""

    def note(self, count: int) -> None:
        """Note one that begins now."""
        self.append((count, os.environ.get(devices.VISIBLE)))


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Work in a repository on a host of four GPUs, where nothing really trains."""
    (tmp_path / "data").mkdir()
    films = {f"{n}": rain.sequence(frames=6, size=9, seed=1, index=n)[:, None] for n in range(3)}
    changes: dict[str, Any] = {"context_frames": 2, "forecast_frames": 1}
    patches_of(tmp_path / "data", films, split=(0.34, 0.33, 0.33), **changes)
    begun = Seen()
    monkeypatch.chdir(tmp_path)
    for module in (spread, training):
        monkeypatch.setattr(module, "CHECKPOINTS", tmp_path / ".checkpoints")
    monkeypatch.setattr(os, "environ", {"DVC_ROOT": str(tmp_path)})
    monkeypatch.setattr(device, "gpus", lambda: 4)
    monkeypatch.setattr(launching, "launch", lambda count, _: begun.note(count))
    monkeypatch.setattr(training, "run", lambda *given: begun.note(given[2].count))
    return begun


def test_a_run_in_the_workspace_takes_all_gpus(seen: Seen) -> None:
    train.main(params_of(Train))
    assert seen == [(4, "0,1,2,3")]


def test_it_takes_as_many_of_those_that_are_free_as_share_its_batch(
    seen: Seen, tmp_path: Path
) -> None:
    with locks.locked(tmp_path / ".checkpoints" / f"gpu-{HOST}-1.lock"):
        train.main(params_of(Train))
    assert seen == [(2, "0,2")]


def test_a_run_of_the_queue_takes_one(seen: Seen, tmp_path: Path) -> None:
    """It has a copy of the repository, and DVC_ROOT names the original."""
    os.environ["DVC_ROOT"] = str(tmp_path.parent)
    with locks.locked(tmp_path / ".checkpoints" / f"gpu-{HOST}-0.lock"):
        train.main(params_of(Train))
    assert seen == [(1, "1")]


def test_a_number_of_ranks_that_is_given_waits_until_as_many_gpus_are_free(
    seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.environ["CONVLSTM_RANKS"] = "2"
    with ExitStack() as others:
        for gpu in range(3):
            path = tmp_path / ".checkpoints" / f"gpu-{HOST}-{gpu}.lock"
            others.enter_context(locks.locked(path))
        monkeypatch.setattr(time, "sleep", lambda _: others.close())
        train.main(params_of(Train))
    assert seen == [(2, "0,1")]


def test_a_number_of_ranks_for_which_there_will_never_be_gpus_is_refused(seen: Seen) -> None:
    os.environ["CONVLSTM_RANKS"] = "8"
    with pytest.raises(
        BadInput, match="CONVLSTM_RANKS = 8: a rank takes a GPU, of which there are 4"
    ):
        train.main(params_of(Train, batch_size=8))
    assert seen == []


@pytest.mark.parametrize(("gpus", "count"), [(0, 1), (1, 1)])
def test_with_one_gpu_or_none_there_is_no_launcher(
    seen: Seen, monkeypatch: pytest.MonkeyPatch, gpus: int, count: int
) -> None:
    monkeypatch.setattr(device, "gpus", lambda: gpus)
    train.main(params_of(Train))
    assert seen == [(count, "0" if gpus else None)]


def test_a_rank_of_a_launcher_starts_no_others_and_locks_no_gpu(seen: Seen) -> None:
    os.environ |= {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1"} | MEETING
    train.main(params_of(Train))
    assert seen == [(4, None)]


@pytest.mark.parametrize("count", ["3", "8"])
def test_ranks_of_a_launcher_that_cannot_share_a_batch_are_refused(seen: Seen, count: str) -> None:
    os.environ |= {"RANK": "0", "WORLD_SIZE": count} | MEETING
    with pytest.raises(BadInput, match=f"batch_size = 4: cannot be shared by {count} ranks evenly"):
        train.main(params_of(Train))
    assert seen == []


def begun_at(iteration: int, others: int, kind: str = "cpu") -> Any:
    return SimpleNamespace(iteration=iteration, others=others, device=SimpleNamespace(type=kind))


@pytest.mark.parametrize(
    ("begun", "copy", "expected"),
    [
        (begun_at(0, 0), True, 4),  # beside one other
        (begun_at(0, 0), False, None),  # the workspace has all cores
        (begun_at(9, 0), True, None),  # as it began, alone
        (begun_at(9, 3), False, 2),  # as it began, beside three others
        (begun_at(9, 3, "cuda"), False, None),
    ],
)
@pytest.mark.usefixtures("seen")
def test_a_training_of_the_queue_keeps_the_share_of_the_cores_with_which_it_began(
    monkeypatch: pytest.MonkeyPatch, begun: Any, copy: bool, expected: int | None
) -> None:
    used: list[int] = []
    monkeypatch.setattr(device, "use_threads", used.append)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    os.environ["DVC_ROOT"] = str(Path.cwd().parent if copy else Path.cwd())
    spread.CHECKPOINTS.mkdir()
    own, other = (spread.CHECKPOINTS / f"{name}.lock" for name in ("own", "other"))
    for path in (own, other):
        path.write_text(f"process {os.getpid()} on {HOST}")
    training._share_cores(begun, own)
    assert used == ([expected] if expected else [])


def test_alone_the_place_is_the_first_of_one() -> None:
    assert (ranks.ALONE.number, ranks.ALONE.count, ranks.ALONE.local) == (0, 1, 0)
