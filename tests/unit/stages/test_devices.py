"""Trainings on one host take GPUs that no other one has, and wait where there is none."""

import os
import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from convlstm.runtime import locks
from stages import devices
from tests.users import NOBODY, ROOT, for_root, rights_of, shared_folder

HOST = socket.gethostname()
FOUR = ["0", "1", "2", "3"]


def no_wait(line: str) -> None:
    raise AssertionError(line)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (devices.VISIBLE, "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("given", "count", "names"),
    [
        (None, 1, ["0"]),
        (None, 2, ["0", "1"]),
        ("2,3", 2, ["2", "3"]),
        ("GPU-5f,GPU-07", 2, ["GPU-5f", "GPU-07"]),
        ("1,9", 1, ["1"]),  # CUDA stops at a number that there is not
        ("", 0, []),
        (None, 0, []),
    ],
)
def test_the_names_are_those_by_which_cuda_is_told(
    monkeypatch: pytest.MonkeyPatch, given: str | None, count: int, names: list[str]
) -> None:
    if given is not None:
        monkeypatch.setenv(devices.VISIBLE, given)
    assert devices.names(count) == names


def test_runs_side_by_side_take_a_gpu_each_and_a_run_alone_all_that_are_free(
    tmp_path: Path,
) -> None:
    with devices.taken(FOUR, tmp_path, 1, 1, no_wait) as first:
        with (
            devices.taken(FOUR, tmp_path, 1, 1, no_wait) as second,
            devices.taken(FOUR, tmp_path, 1, 4, no_wait) as others,
        ):
            assert (first, second, others) == (["0"], ["1"], ["2", "3"])
        with devices.taken(FOUR, tmp_path, 1, 2, no_wait) as again:
            assert again == ["1", "2"]
    assert list(tmp_path.iterdir()) == []


def test_where_all_are_taken_a_run_waits_and_says_so_once(tmp_path: Path) -> None:
    lines: list[str] = []
    told, taken = threading.Event(), []

    def say(line: str) -> None:
        lines.append(line)
        told.set()

    def wait() -> None:
        with devices.taken(["0"], tmp_path, 1, 1, say) as own:
            taken.extend(own)

    with devices.taken(["0"], tmp_path, 1, 1, no_wait):
        other = threading.Thread(target=wait)
        other.start()
        assert told.wait(timeout=30)
        assert taken == []
    other.join()
    assert taken == ["0"]
    assert lines == ["waits for 1 free GPU; of the 1 here other trainings have 1"]


def test_a_run_that_needs_several_holds_none_until_all_of_them_are_free(tmp_path: Path) -> None:
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(devices.taken(FOUR[:3], tmp_path, 1, 1, no_wait))
        second.enter_context(devices.taken(FOUR[:3], tmp_path, 1, 1, no_wait))

        def say(line: str) -> None:
            lines.append(line)
            assert [path.name for path in sorted(tmp_path.iterdir())] == [
                f"gpu-{HOST}-0.lock",
                f"gpu-{HOST}-1.lock",
            ]
            second.close()

        lines: list[str] = []
        with devices.taken(FOUR[:3], tmp_path, 2, 2, say) as own:
            assert own == ["1", "2"]
    assert lines == ["waits for 2 free GPUs; of the 3 here other trainings have 2"]


def test_of_two_runs_that_begin_at_once_and_need_all_gpus_each_has_them_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0.001)
    begin = threading.Barrier(2, timeout=30)
    held: list[list[str]] = []

    def run() -> None:
        for _ in range(50):
            begin.wait()
            with devices.taken(FOUR[:2], tmp_path, 2, 2, lambda _: None) as own:
                held.append(own)
                assert len(list(tmp_path.iterdir())) == 2
                held.append(own)

    runs = [threading.Thread(target=run) for _ in range(2)]
    for own in runs:
        own.start()
    for own in runs:
        own.join()
    assert held == [["0", "1"]] * 200
    assert all(first is second for first, second in zip(held[::2], held[1::2], strict=True))


def test_jobs_that_number_their_gpus_anew_do_not_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    with devices.taken(["0"], tmp_path, 1, 1, no_wait):
        monkeypatch.setenv("SLURM_JOB_ID", "2")
        with devices.taken(["0"], tmp_path, 1, 1, no_wait) as own:
            assert own == ["0"]


@pytest.mark.parametrize(
    ("locks", "others"),
    [
        ([], 0),
        ([f"process {os.getpid()} on {HOST}"], 1),
        ([f"process {os.getpid()} on {HOST}"] * 3, 3),
        ([f"process {os.getpid()} on elsewhere", f"process {2**22 + 1} on {HOST}", ""], 0),
    ],
)
def test_the_other_trainings_of_this_host_are_those_whose_locks_name_a_process_that_lives(
    tmp_path: Path, locks: list[str], others: int
) -> None:
    """2^22 is the highest number of a process in Linux; a killed one leaves its lock file."""
    for number, text in enumerate([*locks, f"process {os.getpid()} on {HOST}"]):
        (tmp_path / f"{number}.lock").write_text(text)
    (tmp_path / "gpu-0.lock").write_text(f"process {os.getpid()} on {HOST}")
    assert devices.others(tmp_path, tmp_path / f"{len(locks)}.lock") == others


@pytest.mark.parametrize(
    ("cores", "others", "share"), [(2, 0, None), (2, 1, 1), (2, 5, 1), (16, 3, 4), (16, 4, 3)]
)
def test_each_of_some_trainings_takes_its_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, others: int, share: int | None
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert devices.share_of_cores(others) == share
    monkeypatch.setenv("OMP_NUM_THREADS", "8")  # then the user has decided
    assert devices.share_of_cores(others) is None


def test_without_a_gpu_nothing_is_locked(tmp_path: Path) -> None:
    with devices.taken([], tmp_path, 1, 1, no_wait) as own:
        assert (own, list(tmp_path.iterdir())) == ([], [])


def test_a_name_may_hold_what_no_file_name_should(tmp_path: Path) -> None:
    with devices.taken(["MIG-GPU-5f/1/0"], tmp_path, 1, 1, no_wait):
        assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


@for_root
def test_a_gpu_of_another_user_is_taken_and_the_wait_for_it_says_what_to_do() -> None:
    with shared_folder() as folder, ExitStack() as first:
        (own,) = first.enter_context(devices.taken(["0"], folder, 1, 1, no_wait))
        (path,) = folder.iterdir()
        lines: list[str] = []

        def say(line: str) -> None:
            lines.append(line)
            with rights_of(ROOT):
                first.close()

        with rights_of(NOBODY):
            with devices.taken(["0", "1"], folder, 1, 2, no_wait) as free:
                assert free == ["1"]
            with devices.taken(["0"], folder, 1, 1, say) as free:
                assert free == [own]
    assert lines == [
        f"waits for 1 free GPU; of the 1 here other trainings have 1; if no process of user 0 runs "
        f"any more, remove {path}"
    ]


@for_root
def test_a_training_of_another_user_counts_though_its_lock_cannot_be_read() -> None:
    with shared_folder() as folder, locks.locked(folder / "theirs.lock"), rights_of(NOBODY):
        assert devices.others(folder, folder / "own.lock") == 1
