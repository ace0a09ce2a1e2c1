"""The first signal ends a run in order, the second one at once, the parent's end as a signal."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.builders import ROOT

BEGIN = "import os, time; from stages import guard; from convlstm.runtime import signals\n"
WAIT = "print('ready', flush=True)\nwhile True: time.sleep(0.01)\n"
FREE = "def main():\n    try:\n" + WAIT.replace("while", "        while").replace(
    "print", "        print"
)
FREE += "    finally: print('tidy', flush=True)\nguard(main)"
HELD = """
def main():
    with signals.held() as stop:
        print('ready', flush=True)
        while not stop.asked: time.sleep(0.01)
        print('saved', flush=True)
        {then}
guard(main)
"""


def parent_of(code: str) -> str:
    """What starts that code in a process of its own, as DVC starts a stage."""
    child = BEGIN + code
    return f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {child!r}]).wait()"


@contextmanager
def running(
    code: str, *arguments: str, start_new_session: bool = False, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """A process that has come to its waiting."""
    with subprocess.Popen(
        [sys.executable, "-c", BEGIN + code, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        start_new_session=start_new_session,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_stage_tidily_with_its_own_status(number: int, status: int) -> None:
    with running(FREE) as process:
        process.send_signal(number)
        out, err = process.communicate()
    assert process.returncode == status
    assert out == "tidy\n"
    assert err == f"error: stopped by {signal.Signals(number).name}\n"


@pytest.mark.parametrize("then", ["stop.check()", "pass"])
def test_held_back_a_signal_waits_and_is_not_forgotten(then: str) -> None:
    with running(HELD.format(then=then)) as process:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate()
    assert (process.returncode, out) == (143, "saved\n")


def test_a_second_signal_ends_the_process_at_once() -> None:
    with running(HELD.format(then="time.sleep(60)")) as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.readline() == "saved\n"
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130


def test_a_run_that_does_not_come_to_a_stop_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    with running(
        "signals.GRACE_SECONDS = 0.1\n" + HELD.format(then="time.sleep(60); os._exit(7)")
    ) as slow:
        slow.send_signal(signal.SIGTERM)
        slow.communicate()
    assert slow.returncode == 143


def test_under_dvc_a_stage_ends_with_its_parent() -> None:
    with running(parent_of(FREE), DVC_ROOT=str(ROOT)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.kill()
        assert process.stdout.readline() == "tidy\n"  # of the child, which would wait for ever
        assert process.stderr.read() == "error: stopped by SIGTERM\n"


def test_a_signal_that_is_ignored_from_the_start_stays_ignored() -> None:
    ignore = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    with running(ignore + FREE) as process:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode == 143


STORED = """
import numpy as np, pathlib, signal, sys
from convlstm.storage import hdf5
from convlstm.storage import store
plain, told = hdf5._Target.write, []
def write(target, data):  # HDF5 calls it
    if not told:
        told.append(os.kill(os.getpid(), signal.SIGTERM))
    return plain(target, data)
hdf5._Target.write = write
def main():
    with hdf5.create(pathlib.Path(sys.argv[1])) as file:
        print('ready', flush=True)
        store.append_sequence(file, 's', (np.ones((1, 300, 300)) for _ in range(100)))
guard(main)
"""


def test_a_signal_while_hdf5_writes_leaves_nothing(tmp_path: Path) -> None:
    with running(STORED, str(tmp_path / "frames.h5")) as process:
        _, err = process.communicate()
    assert (process.returncode, err) == (143, "error: stopped by SIGTERM\n")
    assert list(tmp_path.iterdir()) == []


def test_the_end_of_a_parent_that_heard_the_same_signal_is_no_second_one() -> None:
    # as a scheduler or a closed terminal does it, which tell the whole group
    child = HELD.format(then="time.sleep(1); print('through', flush=True)")
    with running(parent_of(child), DVC_ROOT=str(ROOT), start_new_session=True) as process:
        assert process.stdout is not None
        os.killpg(process.pid, signal.SIGTERM)
        assert process.stdout.read() == "saved\nthrough\n"
