"""A lock has one holder at a time, and a holder that died holds nothing."""

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from convlstm.runtime.errors import BadInput
from convlstm.runtime.locks import Held, awaited, is_awaited, locked
from tests.builders import ROOT
from tests.users import NOBODY, for_root, rights_of, shared_folder
from tests.users import ROOT as FIRST


def test_a_second_holder_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "new" / "lock"),
        pytest.raises(BadInput, match=rf"process {os.getpid()} on "),
        locked(tmp_path / "new" / "lock"),
    ):
        pass


def test_a_lock_leaves_no_file_and_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "lock"):
            assert (tmp_path / "lock").exists()
        assert list(tmp_path.iterdir()) == []


@contextmanager
def begun(command: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a command on a lock in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.unit.runtime.children", command, str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as other:
        yield other


def line(other: subprocess.Popen[str]) -> str:
    """The next line that a process prints."""
    assert other.stdout is not None
    return other.stdout.readline()


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with begun("hold", path) as other:
        assert line(other) == "ready\n"
        with pytest.raises(BadInput, match=f"process {other.pid} on "), locked(path):
            pass
        other.kill()
    assert path.exists()
    with locked(path):
        pass
    assert not path.exists()


def test_who_waits_says_so_once_and_holds_the_lock_when_the_first_has_ended(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.lock"
    with ExitStack() as ours:
        ours.enter_context(locked(path))
        assert not is_awaited(path)
        with begun("wait_for_lock", path) as other:
            assert re.fullmatch(
                rf"waits for the result of process {os.getpid()} on \S+, which is at the same work"
                rf"; Ctrl-C, or `kill {other.pid}`, ends the wait\n",
                line(other),
            )
            assert is_awaited(path)
            ours.close()
            assert line(other) == "ready\n"
            assert not is_awaited(path)
            with pytest.raises(BadInput, match=f"process {other.pid} on "), locked(path):
                pass
            other.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_wait_ends_at_a_signal_with_its_status(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "a.lock"
    with locked(path), begun("wait_for_lock", path) as other:
        assert line(other).startswith("waits for ")
        other.send_signal(number)
        assert line(other) == f"error: stopped by {number.name}\n"
        assert other.wait() == 128 + number
        assert not is_awaited(path)
        assert list(tmp_path.iterdir()) == [path]


def test_a_killed_process_waits_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with locked(path), begun("wait_for_lock", path) as other:
        assert line(other).startswith("waits for ")
        other.kill()
        other.wait()
        assert len(list(tmp_path.iterdir())) == 2
        assert not is_awaited(path)
        assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    with (
        pytest.raises(BadInput, match=r"data/lock: cannot be written \(.+\)"),
        locked(tmp_path / "data" / "lock"),
    ):
        pass


def test_a_lock_holds_on_a_full_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "pwrite", full)
    with (
        locked(tmp_path / "lock"),
        pytest.raises(BadInput, match="another process is at the same work"),
        locked(tmp_path / "lock"),
    ):
        pass


@pytest.mark.parametrize("kind", ["link", "broken link", "hard link", "pipe"])
def test_what_lies_in_the_place_of_a_lock_is_not_written_to(tmp_path: Path, kind: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    match kind:
        case "link":
            (tmp_path / "lock").symlink_to(victim)
        case "broken link":
            (tmp_path / "lock").symlink_to(tmp_path / "made by us")
        case "hard link":
            (tmp_path / "lock").hardlink_to(victim)
        case "pipe":
            os.mkfifo(tmp_path / "lock")
    with (
        pytest.raises(BadInput, match=r"lock: cannot be written \(.+\)"),
        locked(tmp_path / "lock"),
    ):
        pass
    assert victim.read_text() == "mine"
    assert not (tmp_path / "made by us").exists()


def test_a_lock_is_of_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with locked(tmp_path / "lock"):
            assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


@for_root
def test_a_lock_of_another_user_is_held_and_the_line_says_whose_it_is_and_what_to_do() -> None:
    with shared_folder() as folder:
        path = folder / "lock"
        with locked(path), rights_of(NOBODY), pytest.raises(Held) as refused, locked(path):
            pass
    assert str(refused.value) == (
        f"{path}: a process of user 0 is at the same work; wait until it ends, or stop it; if no "
        f"process of user 0 runs any more, remove {path}"
    )


@for_root
def test_a_lock_that_another_user_has_left_is_held_until_it_is_removed() -> None:
    with shared_folder() as folder:
        path = folder / "lock"
        with rights_of(NOBODY):
            path.touch(0o600)
        with rights_of(NOBODY), locked(path):  # it is nobody's own, whom it does not lock out
            pass
        path.touch(0o600)
        with rights_of(NOBODY):
            with pytest.raises(Held, match="a process of user 0 "), locked(path):
                pass
            path.unlink()
            with locked(path):
                assert path.stat().st_uid == NOBODY


@for_root
def test_who_waits_for_another_user_says_what_to_do_and_is_seen_by_him() -> None:
    with shared_folder() as folder, ExitStack() as first:
        path, lines = folder / "a.lock", []
        first.enter_context(locked(path))

        def say(line: str) -> None:
            lines.append(line)
            with rights_of(FIRST):
                assert is_awaited(path)
                first.close()

        with rights_of(NOBODY), awaited(path, say):
            assert path.stat().st_uid == NOBODY
    assert lines == [
        f"waits for the result of a process of user 0, which is at the same work; Ctrl-C, or `kill "
        f"{os.getpid()}`, ends the wait; if no process of user 0 runs any more, remove {path}"
    ]


@for_root
def test_a_wait_of_another_user_counts() -> None:
    with shared_folder() as folder:
        path = folder / "a.lock"
        with locked(folder / "a.host-1.waits"), rights_of(NOBODY):
            assert is_awaited(path)


@for_root
def test_a_folder_of_another_user_in_which_nothing_can_be_made_is_named() -> None:
    with shared_folder() as folder:
        folder.chmod(0o755)
        with (
            rights_of(NOBODY),
            pytest.raises(BadInput, match=r"lock: cannot be written \(Permission denied\)$"),
            locked(folder / "lock"),
        ):
            pass


@for_root
def test_a_lock_of_another_user_that_ends_while_we_look_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its file is there when we open it, and gone when we ask whose it is."""
    opened, tries = os.open, []

    def open_and_end(path: Path, *flags: int) -> int:
        tries.append(path)
        try:
            return opened(path, *flags)
        finally:
            if len(tries) == 1:
                path.unlink()

    with shared_folder() as folder, monkeypatch.context() as patched:
        path = folder / "lock"
        path.touch(0o600)
        patched.setattr(os, "open", open_and_end)
        with rights_of(NOBODY), locked(path):
            assert path.stat().st_uid == NOBODY
    assert tries == [path, path]
