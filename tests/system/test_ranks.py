"""One training in several processes: the same result, one end for all, and nothing half done."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.builders import ROOT
from tests.system.repository import begin, call, clone, commit

pytestmark = pytest.mark.slow

MODEL, TABLE = "data/model.safetensors", "data/metrics/training.csv"
TRAIN, EVALUATE = (("python", "-m", f"stages.{name}") for name in ("train", "evaluate"))
TORCHRUN = (*["torchrun", "--standalone", "--nproc-per-node", "2", "-m", "stages.train"],)
LONG = {"epochs": 1000, "steps": None}  # long enough to be stopped at work
END_SECONDS = 30.0


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which all before training is done; pixels of 0, in some windows most, miss."""
    folder = clone(
        tmp_path_factory.mktemp("a clone"),
        demo_sequences=12,
        precision="float32",
        missing_value=0,
        epochs=None,
        steps=20,
    )
    call(folder, "dvc", "repro", "patch")
    commit(folder)
    return folder


@pytest.fixture
def fresh(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The clone before it has trained; at the end no lock is held, and no file is half done."""
    monkeypatch.setenv("CONVLSTM_CHECKPOINT_MINUTES", "0")
    monkeypatch.delenv("CONVLSTM_RANKS", raising=False)
    yield repository
    hidden = [path for path in (repository / "data").rglob(".*") if path.name != ".gitignore"]
    locks = [*(repository / ".checkpoints").glob("*.lock")]
    clear(repository)
    assert hidden == locks == []


def clear(folder: Path) -> None:
    """Take back all that a test has changed."""
    for name in (".checkpoints", "data/.train.lock", MODEL, TABLE):
        call(folder, "rm", "-rf", name)
    call(folder, "git", "checkout", "--", ".")


def sized(folder: Path, **limits: int | None) -> None:
    """Set the length of the run."""
    text = (folder / "params.yaml").read_text()
    for key, limit in limits.items():
        text = re.sub(rf"^{key}:.*$", f"{key}: {limit or ''}", text, flags=re.MULTILINE)
    (folder / "params.yaml").write_text(text)


def trained(folder: Path, *command: str, ranks: int | None = None) -> dict[str, bytes]:
    """Train by a command; return the outputs."""
    for name in (MODEL, TABLE):
        (folder / name).unlink(missing_ok=True)
    with pytest.MonkeyPatch.context() as environment:
        if ranks:
            environment.setenv("CONVLSTM_RANKS", str(ranks))
        call(folder, *(command or TRAIN))
    return {name: (folder / name).read_bytes() for name in (MODEL, TABLE)}


def rows(table: bytes) -> np.ndarray:
    return np.genfromtxt(table.decode().splitlines()[1:], delimiter=",")


def check_equal(folder: Path, found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    """The weights are equal to 1e-5, and the tables in four digits."""
    weights = []
    for number, outputs in enumerate((found, expected)):
        path = folder.parent / f"{number}.safetensors"
        path.write_bytes(outputs[MODEL])
        weights.append(load_file(path))
    for name, weight in weights[1].items():
        np.testing.assert_allclose(weights[0][name], weight, rtol=0, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(rows(found[TABLE]), rows(expected[TABLE]), rtol=5e-5)


def numbers(folder: Path, count: int, *, at_least: int = 3) -> list[int]:
    """Wait until a run has saved some checkpoints; return the process of each rank, in order."""
    for _ in range(1200):
        saved = [int(path.stem) for path in (folder / ".checkpoints").glob("*/[0-9]*.pt")]
        found = ranks_of(folder)
        if saved and max(saved) >= at_least and len(found) == count:
            return [found[str(rank)] for rank in range(count)]
        time.sleep(0.05)
    raise AssertionError("no checkpoint in a minute")


def ranks_of(folder: Path, module: str = "stages.train") -> dict[str, int]:
    """The processes of the ranks that run in a folder, by their number."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().decode(errors="replace").split("\0")
            here = (process / "cwd").resolve() == folder
            ours = module.encode() in (process / "cmdline").read_bytes()
        except OSError:
            continue
        number = [text[5:] for text in variables if text.startswith("RANK=")]
        if number and here and ours:
            found[number[0]] = int(process.name)
    return found


def check_all_ended(folder: Path, since: float, module: str = "stages.train") -> None:
    while ranks_of(folder, module):
        assert time.monotonic() < since + END_SECONDS
        time.sleep(0.05)


def test_one_two_and_four_ranks_train_the_same_network(fresh: Path) -> None:
    alone = trained(fresh)
    for ranks in (2, 4):
        check_equal(fresh, trained(fresh, ranks=ranks), alone)


def test_any_launcher_trains_to_the_same_bytes(fresh: Path) -> None:
    expected = trained(fresh, ranks=2)
    assert trained(fresh, ranks=2) == expected
    assert trained(fresh, *TORCHRUN) == expected


def test_ranks_train_under_dvc(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVLSTM_RANKS", "2")
    output = call(fresh, "dvc", "repro", "train")
    assert output.count("train: starts 2 ranks\n") == 1
    assert output.count(" shows the curves and a forecast after each epoch\n") == 1


@pytest.fixture(scope="module")
def undisturbed(repository: Path) -> dict[str, bytes]:
    """The outputs of a run of twenty epochs in one process."""
    sized(repository, epochs=20, steps=None)
    outputs = trained(repository)
    clear(repository)
    return outputs


@pytest.mark.parametrize(
    ("victim", "command", "after"), [(0, TRAIN, 4), (1, TRAIN, 1), (1, TORCHRUN, 2)]
)
def test_a_killed_rank_ends_all_and_the_run_goes_on_with_any_number(
    fresh: Path,
    undisturbed: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    victim: int,
    command: tuple[str, ...],
    after: int,
) -> None:
    sized(fresh, epochs=20, steps=None)
    with monkeypatch.context() as environment:
        environment.setenv("CONVLSTM_RANKS", "2")
        with begin(fresh, *command) as process:
            os.kill(numbers(fresh, 2)[victim], signal.SIGKILL)
            since = time.monotonic()
            output, _ = process.communicate()
    check_all_ended(fresh, since)
    assert "Traceback" not in output or command == TORCHRUN, output  # of torchrun's own
    if command == TRAIN:
        assert process.returncode == 137
        assert f"error: rank {victim} was ended by SIGKILL; the same command begins again" in output
    assert process.returncode
    assert not (fresh / MODEL).exists()
    (fresh / TABLE).unlink(missing_ok=True)
    monkeypatch.setenv("CONVLSTM_RANKS", str(after))
    assert "train: continues after batch " in call(fresh, *TRAIN)
    check_equal(fresh, {name: (fresh / name).read_bytes() for name in (MODEL, TABLE)}, undisturbed)


@pytest.mark.parametrize(
    ("to", "number"),
    [("launcher", signal.SIGINT), ("first", signal.SIGTERM), ("second", signal.SIGTERM)],
)
def test_a_signal_to_any_process_stops_all_after_the_same_step(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, to: str, number: signal.Signals
) -> None:
    sized(fresh, **LONG)
    monkeypatch.setenv("CONVLSTM_RANKS", "2")
    with begin(fresh, *TRAIN) as process:
        first, second = numbers(fresh, 2)
        since = time.monotonic()
        os.kill({"launcher": process.pid, "first": first, "second": second}[to], number)
        output, _ = process.communicate()
    check_all_ended(fresh, since)
    assert process.returncode == 128 + number, output
    assert output.count(f"error: stopped by {number.name}\n") == output.count("error: ") == 1
    assert not (fresh / MODEL).exists()
    (last,) = {max(path.stem for path in run.glob("[0-9]*.pt")) for run in saved_runs(fresh)}
    with begin(fresh, *TRAIN) as process:
        numbers(fresh, 2, at_least=int(last) + 1)
        process.terminate()
        output, _ = process.communicate()
    assert f"train: continues after batch {int(last)}, from " in output


def saved_runs(folder: Path) -> list[Path]:
    return [path for path in (folder / ".checkpoints").glob("*/") if any(path.glob("*.pt"))]


def test_ranks_end_when_their_launcher_was_killed(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sized(fresh, **LONG)
    monkeypatch.setenv("CONVLSTM_RANKS", "2")
    with begin(fresh, *TRAIN) as process:
        numbers(fresh, 2)
        process.kill()
        since = time.monotonic()
        output, _ = process.communicate()
    check_all_ended(fresh, since)
    assert output.count("error: stopped by SIGTERM\n") == 1


@pytest.mark.parametrize("launcher", ["own", "torchrun"])
def test_a_batch_that_ranks_cannot_share_is_refused_in_one_line(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    line = (
        "error: batch_size = 4: cannot be shared by 3 ranks evenly; take a number of ranks that "
        "divides it, or a multiple of theirs\n"
    )
    if launcher == "own":
        monkeypatch.setenv("CONVLSTM_RANKS", "3")
        assert call(fresh, *TRAIN, status=2) == line
    else:
        command = [name.replace("2", "3") for name in TORCHRUN]
        assert call(fresh, *command, status=1).count(line) == 1


def test_a_second_run_is_refused_while_ranks_are_at_work(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sized(fresh, **LONG)
    monkeypatch.setenv("CONVLSTM_RANKS", "2")
    with begin(fresh, *TRAIN) as process:
        first, _ = numbers(fresh, 2)
        output = call(fresh, *TRAIN, status=2)
        process.terminate()
        process.communicate()
    assert re.fullmatch(
        rf"train: starts 2 ranks\nerror: data/\.train\.lock: process {first} on \S+ is at the same "
        r"work; wait until it ends, or stop it\n",
        output,
    )


def test_two_runs_on_one_host_do_not_meet_each_other(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path(shutil.copytree(fresh, tmp_path / "another"))
    monkeypatch.setenv("CONVLSTM_RANKS", "2")
    with begin(fresh, *TRAIN) as first, begin(other, *TRAIN) as second:
        outputs = [process.communicate()[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    assert (fresh / MODEL).read_bytes() == (other / MODEL).read_bytes()


def test_a_grid_in_the_queue_trains_side_by_side_each_run_its_own_network(
    fresh: Path,
) -> None:
    """They have no lock but those of their own trainings, and end with networks that differ."""
    commit(fresh)
    grid = ("-S", "steps=150", "-S", "lr=0.002,0.003,0.004")
    call(fresh, "dvc", "exp", "run", "--queue", *grid, "train")
    with begin(fresh, "dvc", "queue", "start", "--jobs", "2") as process:
        process.communicate()
    status = call(fresh, "dvc", "queue", "status")
    call(fresh, "dvc", "queue", "stop")
    assert status.count("Success") == 3, status
    refs = call(fresh, "git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    locked = [call(fresh, "git", "show", f"{ref}:dvc.lock") for ref in refs if "stash" not in ref]
    sums = {re.findall(rf"path: {MODEL}\n\s+hash: md5\n\s+md5: (\w+)", text)[0] for text in locked}
    assert len(sums) >= 3, sums


SBATCH = """#!{python}
import os, re, subprocess, sys
assert sys.argv[1] == "--wait", sys.argv
found = re.findall(r"^#SBATCH --([a-z-]+)=(.*)$", open(sys.argv[2]).read(), re.MULTILINE)
own = {{"SLURM_JOB_ID": "4711", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}}
asked = dict(found)
count = int(asked["nodes"]) * int(asked["ntasks-per-node"])
own |= {{"SLURM_NTASKS": str(count), "SLURM_CPUS_PER_TASK": "1"}}
with open(asked["output"].replace("%j", "4711"), "w") as log:
    sys.exit(subprocess.call(["bash", sys.argv[2]], env=os.environ | own, stdout=log, stderr=log))
"""
SRUN = """#!{python}
import os, subprocess, sys
assert sys.argv[1] == "--kill-on-bad-exit=1", sys.argv
count = os.environ["SLURM_NTASKS"]
step = {{"SLURM_STEP_NUM_TASKS": count, "SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": "localhost"}}
tasks = [
    subprocess.Popen(
        sys.argv[2:],
        env=os.environ | step | {{"SLURM_PROCID": str(n), "SLURM_LOCALID": str(n % 2)}},
    )
    for n in range(int(count))
]
sys.exit(max(task.wait() for task in tasks))
"""
"""What SLURM does with the script of docs/slurm, on one host."""


def test_the_example_of_slurm_trains_as_the_command_of_the_stage(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = trained(fresh, ranks=4)
    for name, content in (("sbatch", SBATCH), ("srun", SRUN)):
        (tmp_path / name).write_text(content.format(python=sys.executable))
        (tmp_path / name).chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    pipeline = (fresh / "dvc.yaml").read_text()
    (line,) = re.findall(r"cmd: exec sbatch .*", (ROOT / "docs/slurm/train.sbatch").read_text())
    (fresh / "dvc.yaml").write_text(pipeline.replace("cmd: exec python -m stages.train", line))
    (fresh / MODEL).unlink()
    call(fresh, "dvc", "repro", "--single-item", "train")
    assert (fresh / MODEL).read_bytes() == expected[MODEL]
    assert (fresh / "slurm-4711.log").read_text().count(" shows the curves") == 1
    (fresh / "slurm-4711.log").unlink()


def test_the_example_of_slurm_is_sound_and_asks_for_as_many_ranks_as_it_says() -> None:
    path = ROOT / "docs/slurm/train.sbatch"
    subprocess.run(["bash", "-n", path], check=True)
    text = path.read_text()
    asked = dict(re.findall(r"^#SBATCH --([a-z-]+)=(\S+)$", text, re.MULTILINE))
    assert set(asked) == {
        *("job-name", "nodes", "ntasks-per-node", "gpus-per-node", "cpus-per-task"),
        *("time", "signal", "output"),
    }
    assert asked["gpus-per-node"] == asked["ntasks-per-node"]
    ranks = int(asked["nodes"]) * int(asked["ntasks-per-node"])
    assert f"here {ranks}." in text
    directives = [line for line in text.splitlines() if line.startswith("#SBATCH")]
    assert len(directives) == len(asked)
    # SLURM reads no directive behind the first command.
    assert text.index("set -eu") > text.rindex("#SBATCH")


def evaluated(folder: Path, *command: str) -> dict[str, bytes]:
    """Evaluate by a command; return the outputs."""
    outputs = [folder / "data/forecasts.h5", *(folder / "data/metrics").glob("*.csv")]
    for path in outputs:
        if path.name != "training.csv":
            path.unlink(missing_ok=True)
    call(folder, *command)
    outputs = [folder / "data/forecasts.h5", *(folder / "data/metrics").glob("*.csv")]
    return {path.name: path.read_bytes() for path in outputs}


def test_an_evaluation_by_ranks_writes_the_same_bytes(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_thread = ("env", "OMP_NUM_THREADS=1")  # another number of them changes last digits
    sized(fresh, steps=2)
    call(fresh, *TRAIN)
    expected = evaluated(fresh, *one_thread, *EVALUATE)
    assert "by_lead.csv" in expected
    started = ("torchrun", "--standalone", "--nproc-per-node", "3", "-m", "stages.evaluate")
    assert evaluated(fresh, *one_thread, *started) == expected
    monkeypatch.setenv("CONVLSTM_RANKS", "2")
    assert evaluated(fresh, *one_thread, *EVALUATE) == expected


def test_a_killed_rank_ends_an_evaluation_of_which_nothing_is_written(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVLSTM_RANKS", "2")
    sized(fresh, steps=2)
    call(fresh, *TRAIN)
    names = ("by_lead.csv", "ranks.csv", "summary.json", "scores.json")
    outputs = [fresh / "data/forecasts.h5", *(fresh / "data/metrics" / name for name in names)]
    for path in outputs:
        path.unlink(missing_ok=True)
    run = begin(fresh, *EVALUATE)
    for _ in range(1200):
        found = ranks_of(fresh, "stages.evaluate")
        if "1" in found:
            break
        time.sleep(0.05)
    os.kill(found["1"], signal.SIGKILL)
    started = time.monotonic()
    said, _ = run.communicate(timeout=END_SECONDS)
    assert run.returncode == 128 + signal.SIGKILL
    assert "rank 1 was ended by SIGKILL" in said
    check_all_ended(fresh, started, "stages.evaluate")
    assert [path for path in outputs if path.exists()] == []
