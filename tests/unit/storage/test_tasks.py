"""Tasks run where they may, and end when a process of theirs or their parent does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import active_children
from pathlib import Path

import pytest

from convlstm.runtime import system
from convlstm.runtime.errors import BadInput, Faults, NoRoom
from convlstm.storage import tasks
from convlstm.storage.shards import Cache
from convlstm.storage.tasks import Made
from tests.builders import ROOT


@dataclass(frozen=True)
class Job:
    """A task of these tests: `source` says what it does."""

    source: str


def do(job: Job, /, *, threads: int, tick: Callable[[int], object]) -> Made:
    """Do what the job says, and return the process that did."""
    faults = Faults()
    tick(1)
    if job.source.startswith("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    if job.source.startswith("wait"):
        time.sleep(60)
    if job.source.startswith("fault"):
        faults.add(f"{job.source}: wrong")
        faults.add(f"{job.source}: and\nmore")
    if job.source.startswith("raise"):
        raise BadInput("one line", "another line")
    return Made(f"{os.getpid()} {threads}", faults, 3)


def ran(monkeypatch: pytest.MonkeyPatch, cores: int, *sources: str) -> tuple[list[str], int]:
    """Return the names that jobs have made, and the steps that were told."""
    monkeypatch.setattr(system, "cores", lambda: cores)
    steps: list[int] = []
    done = tasks.run(do, [*map(Job, sources)], steps.append)
    names = {job.source: made.name for job, made in done}
    return [names[source] for source in sources], sum(steps)


@pytest.mark.parametrize(("cores", "sources"), [(8, "a"), (1, "ab")])
def test_one_job_or_one_core_needs_no_other_process(
    monkeypatch: pytest.MonkeyPatch, cores: int, sources: str
) -> None:
    names, steps = ran(monkeypatch, cores, *sources)
    assert names == [f"{os.getpid()} {cores}"] * len(sources)
    assert steps == len(sources)  # as the jobs tell them


def test_several_jobs_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    names, steps = ran(monkeypatch, 4, "a", "b")
    assert [name.split()[1] for name in names] == ["2", "2"]
    assert str(os.getpid()) not in {name.split()[0] for name in names}
    assert steps == 2 * 3  # as they say at their end
    assert active_children() == []


def test_a_process_that_the_system_ends_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoRoom, match="the system has ended a process that made a part of the data"):
        ran(monkeypatch, 2, "die", "b")
    assert active_children() == []


def test_an_error_ends_the_other_processes_and_keeps_its_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(BadInput) as raised:
        ran(monkeypatch, 2, "wait", "raise")
    assert str(raised.value) == "one line\nanother line"
    assert active_children() == []


@pytest.mark.parametrize("cores", [1, 2])
def test_the_faults_of_all_jobs_are_raised_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(system, "cores", lambda: cores)
    before = Faults()
    before.add("first")
    jobs = [Job("fault 1"), Job("b"), Job("fault 2")]
    with pytest.raises(BadInput) as raised:
        tasks.make(do, jobs, Cache(tmp_path), tmp_path, lambda _: None, before)
    lines = str(raised.value).splitlines()
    of_each = [(f"fault {job}: wrong", rf"fault {job}: and\nmore") for job in (1, 2)]
    assert lines == ["first", *of_each[0], *of_each[1]]


def test_faults_that_are_not_shown_are_counted() -> None:
    parts = [Faults(), Faults()]
    for number in range(50):
        parts[number % 2].add(str(number))
    parts[0].add_all(parts[1])
    with pytest.raises(BadInput) as raised:
        parts[0].check()
    lines = str(raised.value).splitlines()
    assert (len(lines), lines[0], lines[-1]) == (21, "0", "... and 30 more")


def test_without_a_scheduler_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tasks.CLUSTER, "nonsense")
    with pytest.raises(BadInput, match=r"CONVLSTM_DASK = 'nonsense': "):
        ran(monkeypatch, 2, "a")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_processes_end_with_their_parent(tmp_path: Path, number: int) -> None:
    command = (sys.executable, "-m", "tests.unit.storage.waiting", str(tmp_path))
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while len(pids := list(tmp_path.iterdir())) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
        while any(Path(f"/proc/{path.name}").exists() for path in pids):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    if number == signal.SIGTERM:  # of a kill, Python's own helper tells
        assert errors == "error: stopped by SIGTERM\n"
