"""The first signal ends a run in order, the second at once, and a parent's end counts as a signal.

The commands that the signals are sent to stand in children.py.
"""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.builders import ROOT

CHILD = (sys.executable, "-m", "tests.unit.runtime.children")


class Running:
    """A command in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.stdin: IO[str] = process.stdin
        self.stdout: IO[str] = process.stdout
        self.stderr: IO[str] = process.stderr

    def await_word(self, word: str) -> None:
        """Wait until the command has come so far that it says `word`."""
        assert self.stdout.readline() == f"{word}\n"

    def end(self) -> tuple[int, str, str]:
        """Wait for the end; return the status and all that was not read yet."""
        out, err = self.process.communicate()
        return self.process.returncode, out, err


def status(pid: int) -> str:
    """Return what the system says of a process."""
    return Path(f"/proc/{pid}/status").read_text(encoding="utf-8")


def is_pending(pid: int) -> bool:
    """Return whether a signal has been sent to a process, and not been delivered yet."""
    masks = re.findall(r"(?:SigPnd|ShdPnd):\s+(\w+)", status(pid))
    return any(int(mask, 16) for mask in masks)


@contextmanager
def running(*command: str, start_new_session: bool = False) -> Iterator[Running]:
    with subprocess.Popen(
        command,
        cwd=ROOT,
        start_new_session=start_new_session,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield Running(process)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_command_tidily_with_its_own_status(
    number: signal.Signals, status: int
) -> None:
    with running(*CHILD, "wait") as command:
        command.await_word("ready")
        command.process.send_signal(number)
        assert command.end() == (status, "tidy\n", f"error: stopped by {number.name}\n")


@pytest.mark.parametrize("place", ["check", "leave"])
def test_a_deferred_signal_waits_and_is_not_forgotten(place: str) -> None:
    with running(*CHILD, place) as command:
        command.await_word("ready")
        command.process.send_signal(signal.SIGTERM)
        assert command.end() == (143, "saved\n", "error: stopped by SIGTERM\n")


def test_a_second_signal_ends_the_process_at_once() -> None:
    with running(*CHILD, "hang", "60") as command:
        command.await_word("ready")
        command.process.send_signal(signal.SIGTERM)
        command.await_word("saved")
        command.process.send_signal(signal.SIGINT)
        assert command.end() == (130, "", "")


def test_a_run_that_does_not_come_to_a_stop_is_ended() -> None:
    with running(*CHILD, "hang", "0.1") as command:
        command.await_word("ready")
        command.process.send_signal(signal.SIGTERM)
        assert command.end() == (143, "saved\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_ends_a_process_that_never_comes_back_to_python(
    number: signal.Signals,
) -> None:
    with running(*CHILD, "stick") as command:
        command.await_word("ready")
        while "sleeping" not in status(command.process.pid):  # it has not come to the wait yet
            time.sleep(0.01)
        command.process.send_signal(number)
        while is_pending(command.process.pid):  # two of a kind that wait are one
            time.sleep(0.01)
        command.process.send_signal(number)
        assert command.end() == (-number, "", "")


def test_an_interrupt_while_libraries_are_loaded_is_one_line() -> None:
    with running(*CHILD, "load") as command:
        command.await_word("ready")
        command.process.send_signal(signal.SIGINT)
        assert command.end() == (130, "", "error: stopped by SIGINT\n")


def test_a_stop_while_a_film_is_drawn_is_a_stop() -> None:
    with running(*CHILD, "film") as command:
        command.await_word("ready")
        command.process.send_signal(signal.SIGTERM)
        assert command.end() == (143, "tidy\n", "error: stopped by SIGTERM\n")


def test_a_stage_under_a_low_limit_of_addresses_ends_with_a_line() -> None:
    limit = 700_000 * 1024  # under which OpenBLAS asks for memory for ever
    done = subprocess.run(
        [sys.executable, "-m", "stages.plot"],
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 4
    assert done.stderr.startswith("error: the limit on virtual memory, 716,800,000 bytes, is too")
    assert len(done.stderr.splitlines()) == 1


def test_under_dvc_a_command_ends_with_its_parent() -> None:
    with running(*CHILD, "parent", "wait") as parent:
        parent.await_word("ready")
        parent.process.kill()
        parent.await_word("tidy")  # from the child, which would wait for ever
        assert parent.stderr.read() == "error: stopped by SIGTERM\n"


def test_a_signal_that_is_ignored_from_the_start_stays_ignored() -> None:
    with running("nohup", *CHILD, "wait_for_a_line") as command:
        command.await_word("listening")
        command.process.send_signal(signal.SIGHUP)
        command.stdin.write("\n")
        command.stdin.flush()
        command.await_word("ready")  # so the SIGHUP did not end it
        command.process.send_signal(signal.SIGTERM)
        assert command.end() == (143, "tidy\n", "error: stopped by SIGTERM\n")


@pytest.mark.parametrize("number", [1, 5, 9])
def test_a_signal_while_hdf5_writes_leaves_nothing(tmp_path: Path, number: int) -> None:
    # h5py ends with a segmentation fault if the first of its 11 writes raises an exception
    with running(*CHILD, "store", str(tmp_path / "frames.h5"), str(number)) as command:
        assert command.end() == (143, "", "error: stopped by SIGTERM\n")
    assert list(tmp_path.iterdir()) == []


def test_the_end_of_a_parent_that_got_the_same_signal_is_not_a_second_one() -> None:
    # a scheduler or a closed terminal sends the signal to the whole process group
    with running(*CHILD, "parent", "outlive_the_parent", start_new_session=True) as parent:
        parent.await_word("ready")
        os.killpg(parent.process.pid, signal.SIGTERM)
        assert parent.stdout.read() == "saved\nthrough\n"
