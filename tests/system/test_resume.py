"""Training that is killed under DVC continues in the next run, anywhere, and to the same bytes."""

import hashlib
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from convlstm.train.params import Train
from tests.builders import params_of
from tests.system.repository import begin, call, clone, commit, ran

pytestmark = pytest.mark.slow

MODEL, TABLE = "data/model.safetensors", "data/metrics/training.csv"
EPOCHS = 100  # some seconds of training, so that a signal, or a look around, finds it at work
STEPS = 2 * EPOCHS


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which all before training is done."""
    folder = clone(tmp_path_factory.mktemp("a clone"), epochs=EPOCHS)
    call(folder, "dvc", "repro", "patch")
    commit(folder)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The outputs of a run that nothing disturbs."""
    other = clone(tmp_path_factory.mktemp("another clone"), epochs=EPOCHS)
    call(other, "dvc", "repro", "train")
    assert not any((repository / ".checkpoints").glob("*"))
    return {name: (other / name).read_bytes() for name in (MODEL, TABLE)}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVLSTM_CHECKPOINT_MINUTES", "0")


def saved(repository: Path, *, at_least: int = 5) -> int:
    """Wait until a run has saved some checkpoints; returns the number of its process."""
    for _ in range(1200):
        names = [path.stem for path in (repository / ".checkpoints").glob("*/[0-9]*.pt")]
        locks = list((repository / ".checkpoints").glob("*.lock"))
        if locks and names and int(max(names)) >= at_least:
            return int(re.findall(r"process (\d+) on", locks[0].read_text())[0])
        time.sleep(0.05)
    raise AssertionError("no checkpoint in a minute")


def temporary(name: str) -> tuple[str, ...]:
    """The command that trains in a copy of the workspace."""
    return ("dvc", "exp", "run", "--temp", "--name", name, "train")


def awaited(repository: Path) -> None:
    """Wait until a run waits for another one."""
    for _ in range(1200):
        if any((repository / ".checkpoints").glob("*.waits")):
            return
        time.sleep(0.05)
    raise AssertionError("no wait in a minute")


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """Let a process do nothing in the block: a fast machine would be through with the training."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def killed(repository: Path, *command: str, number: signal.Signals = signal.SIGKILL) -> str:
    """Start a command, kill the training in it, and return what was printed."""
    with begin(repository, *command) as process:
        os.kill(saved(repository), number)
        output, _ = process.communicate()
    assert process.returncode != 0, output
    return output


def result(repository: Path) -> dict[str, bytes]:
    return {name: (repository / name).read_bytes() for name in (MODEL, TABLE)}


def check_experiment(repository: Path, name: str, expected: dict[str, bytes]) -> None:
    """The model and the table of an experiment, which DVC keeps as a commit, are as expected."""
    refs = call(repository, "git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    (ref,) = (ref for ref in refs if ref.endswith(f"/{name}"))
    locked = call(repository, "git", "show", f"{ref}:dvc.lock")
    for name in (MODEL, TABLE):
        sum_of_it = hashlib.md5(expected[name]).hexdigest()
        assert re.search(rf"path: {name}\n\s+hash: md5\n\s+md5: {sum_of_it}\n", locked), name


@pytest.fixture
def fresh(repository: Path) -> Iterator[Path]:
    """Before training again, whatever DVC remembers of it; afterwards no checkpoint is left."""
    for name in (MODEL, TABLE, ".dvc/cache/runs"):
        call(repository, "rm", "-rf", name)
    call(repository, "git", "checkout", "--", ".")
    yield repository
    assert not any((repository / ".checkpoints").glob("*"))


def test_a_killed_repro_is_continued(fresh: Path, uninterrupted: dict[str, bytes]) -> None:
    killed(fresh, "dvc", "repro", "train")
    output = call(fresh, "dvc", "repro", "train")
    assert re.search(r"train: continues after batch \d+, from ", output), output
    assert result(fresh) == uninterrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_repro_that_is_asked_to_stop_is_continued(
    fresh: Path, uninterrupted: dict[str, bytes], number: signal.Signals
) -> None:
    assert f"error: stopped by {number.name}" in killed(
        fresh, "dvc", "repro", "train", number=number
    )
    assert not (fresh / MODEL).exists()
    assert "continues after batch" in call(fresh, "dvc", "repro", "train")
    assert result(fresh) == uninterrupted


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])  # DVC runs a stage in the user's
def test_a_killed_dvc_leaves_no_second_writer(
    fresh: Path,
    uninterrupted: dict[str, bytes],
    shell: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not Path(shell).exists():
        pytest.skip(f"no {shell}")
    monkeypatch.setenv("SHELL", shell)
    with begin(fresh, "dvc", "repro", "train") as process:
        child = saved(fresh)
        with paused(child):
            process.kill()
            process.wait()  # from here on the training has another parent
        output, _ = process.communicate()  # which ends when the orphan lets go of its stdout
    assert "error: stopped by SIGTERM" in output
    assert "continues after batch" in call(fresh, "dvc", "repro", "train")
    assert result(fresh) == uninterrupted


def test_a_second_run_is_refused_and_names_the_first(fresh: Path) -> None:
    with begin(fresh, "python", "-m", "stages.train") as first:
        pid = saved(fresh)
        with paused(pid):
            output = call(fresh, "python", "-m", "stages.train", status=2)
        assert re.fullmatch(
            rf"error: data/\.train\.lock: process {pid} on \S+ is at the same work; "
            r"wait until it ends, or stop it\n",
            output,
        )
        first.communicate()
    assert first.returncode == 0


@pytest.mark.parametrize("end", ["whole", "killed"])
def test_of_two_runs_of_the_same_training_the_second_takes_what_the_first_has_done(
    fresh: Path, uninterrupted: dict[str, bytes], end: str
) -> None:
    with begin(fresh, "dvc", "repro", "train") as first:
        pid = saved(fresh)
        with begin(fresh, *temporary(end)) as second:
            with paused(pid):
                awaited(fresh)
                if end == "killed":
                    os.kill(pid, signal.SIGKILL)
            output, _ = second.communicate()
        first.communicate()
    assert (first.returncode == 0) == (end == "whole")
    assert second.returncode == 0, output
    assert len(re.findall(rf"train: waits for the result of process {pid} on ", output)) == 1
    (taken,) = re.findall(r"train: continues after batch (\d+), from ", output)
    assert (int(taken) == STEPS) == (end == "whole")
    check_experiment(fresh, end, uninterrupted)


def test_of_two_queued_runs_of_the_same_training_one_trains(
    fresh: Path, uninterrupted: dict[str, bytes]
) -> None:
    for name in ("this", "that"):
        call(fresh, "dvc", "exp", "run", "--queue", "--name", name, "train")
    with begin(fresh, "dvc", "queue", "start", "--jobs", "2") as process:
        process.communicate()
    logs = "".join(call(fresh, "dvc", "queue", "logs", name) for name in ("this", "that"))
    # the second one waits, or finds that the first has ended, if its worker began late
    taken = r"train: waits for the result of process|'train' is cached - skipping"
    assert len(re.findall(taken, logs)) == 1, logs
    call(fresh, "dvc", "queue", "stop")
    check_experiment(fresh, "this", uninterrupted)


def test_a_killed_experiment_in_a_temporary_copy_is_continued_in_the_next_one(
    fresh: Path, uninterrupted: dict[str, bytes]
) -> None:
    killed(fresh, *temporary("mine"))
    assert "continues after batch" in call(fresh, *temporary("mine"))
    check_experiment(fresh, "mine", uninterrupted)


def test_a_killed_experiment_of_the_queue_is_continued_in_the_next_one(
    fresh: Path, uninterrupted: dict[str, bytes]
) -> None:
    for name in ("first", "second"):
        call(fresh, "dvc", "exp", "run", "--queue", "--name", name, "train")
        with begin(fresh, "dvc", "queue", "start") as process:
            if name == "first":
                os.kill(saved(fresh), signal.SIGKILL)
            process.communicate()  # its worker keeps the pipe until it has nothing more to do
    assert "continues after batch" in call(fresh, "dvc", "queue", "logs", "second")
    call(fresh, "dvc", "queue", "stop")
    check_experiment(fresh, "second", uninterrupted)


def test_other_params_start_afresh_and_say_so(fresh: Path) -> None:
    killed(fresh, "dvc", "repro", "train")
    output = call(fresh, "dvc", "exp", "run", "-S", "lr=0.001", "train")
    assert "unfinished runs with other params, data or code (1); they are not continued" in output
    assert "continues after" not in output
    shipped = params_of(Train).lr
    output = call(fresh, "dvc", "exp", "run", "-S", f"lr={shipped}", "train")
    assert ran(output) == ["check", "train"]
    assert "continues after batch" in output


def test_more_epochs_after_the_end_start_afresh(fresh: Path) -> None:
    call(fresh, "dvc", "repro", "train")
    output = call(fresh, "dvc", "exp", "run", "-S", f"epochs={EPOCHS + 1}", "train")
    assert "continues after" not in output
    rows = (fresh / TABLE).read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == [str(n) for n in range(1, EPOCHS + 2)]
