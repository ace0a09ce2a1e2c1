"""The pipeline under DVC, for real: a clone of this repository, `dvc` as a user calls it.

All tests share one clone and go on from where the one before has left it, as a user's day does.
"""

import hashlib
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.builders import ROOT, STAGES
from tests.system.repository import call, clone, commit, ran

pytestmark = pytest.mark.slow

OUTPUTS = (
    "data/demo/000/00.png",
    "data/frames.h5",
    "data/patches.h5",
    "data/model.safetensors",
    "data/metrics/training.csv",
    "data/metrics/by_lead.csv",
    "data/metrics/baselines.csv",
    "data/metrics/by_threshold.csv",
    "data/metrics/by_scale.csv",
    "data/metrics/spectrum.csv",
    "data/metrics/summary.json",
    "data/forecasts.h5",
    "data/plots/forecast.gif",
    "data/plots/lead_time.png",
    "data/plots/report.html",
    "data/plots/strip1.png",
)
README_COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    for line in block.splitlines()
    if line.startswith(("dvc", "python -m stages"))
]


def digests(folder: Path) -> dict[str, str]:
    return {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in OUTPUTS}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clone(tmp_path_factory.mktemp("a clone"))


def test_one_command_runs_all_stages_and_leaves_every_file(repository: Path) -> None:
    assert ran(call(repository, "dvc", "repro")) == list(STAGES)
    assert digests(repository)
    commit(repository)
    assert "up to date" in call(repository, "dvc", "status")


def test_the_film_shows_rain_that_moves(repository: Path) -> None:
    with Image.open(repository / "data/plots/forecast.gif") as film:
        # 3 of context and 2 of forecast: no frame equals the one before
        assert getattr(film, "n_frames", 1) == 5


def test_a_second_run_computes_nothing(repository: Path) -> None:
    assert ran(call(repository, "dvc", "repro")) == []


def test_another_lr_trains_evaluates_and_plots_only(repository: Path) -> None:
    output = call(repository, "dvc", "exp", "run", "-S", "lr=0.0005")
    assert ran(output) == ["train", "evaluate", "plot"]


def test_metrics_and_plots_can_be_compared(repository: Path) -> None:
    table = json.loads(call(repository, "dvc", "metrics", "diff", "--json"))
    changes = table["data/metrics/summary.json"]
    for key in ("model.mse", "model.ssim", "skill_against_persistence.mse"):
        assert isinstance(changes[key]["diff"], float), changes
    call(repository, "dvc", "plots", "diff", "--out", "compared")
    page = (repository / "compared/index.html").read_text(encoding="utf-8")
    assert "strip1.png" in page
    assert "Test MSE by lead time" in page
    shutil.rmtree(repository / "compared")
    assert "0.0005" in call(repository, "dvc", "exp", "show", "--csv")


def test_back_at_the_first_lr_nothing_is_computed(repository: Path) -> None:
    output = call(repository, "dvc", "exp", "run", "-S", "lr=0.003")
    assert ran(output) == []
    assert "Stage 'train' is cached" in output
    assert "up to date" in call(repository, "dvc", "status")


def test_an_experiment_runs_in_a_temporary_copy(repository: Path) -> None:
    before = digests(repository)
    output = call(repository, "dvc", "exp", "run", "--temp", "-S", "lr=0.0006")
    assert ran(output) == ["train", "evaluate", "plot"]
    assert digests(repository) == before


def test_queued_experiments_run(repository: Path) -> None:
    call(repository, "dvc", "exp", "run", "--queue", "--name", "queued", "-S", "lr=0.0007")
    call(repository, "dvc", "queue", "start")
    call(repository, "dvc", "queue", "logs", "queued", "--follow")
    assert re.search(r"queued.*Success", call(repository, "dvc", "queue", "status"))
    call(repository, "dvc", "queue", "stop")


def test_a_bad_value_stops_before_any_work_and_the_last_model_can_be_had_back(
    repository: Path,
) -> None:
    before = digests(repository)
    output = call(repository, "dvc", "exp", "run", "-S", "lr=abc", status=255)
    assert "lr = 'abc'" in output
    call(repository, "git", "checkout", "--", "params.yaml", "dvc.lock")
    call(repository, "dvc", "checkout")
    call(repository, "git", "checkout", "--", "data/metrics")
    assert digests(repository) == before


def test_from_scratch_again_every_output_is_the_same_bytes(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    again = clone(tmp_path_factory.mktemp("another clone"))
    assert ran(call(again, "dvc", "repro")) == list(STAGES)
    assert digests(again) == digests(repository)


@pytest.mark.parametrize("command", README_COMMANDS)
def test_the_readmes_commands_run(repository: Path, command: str) -> None:
    mine = str(repository / "data/demo")
    call(repository, *(word.replace("/path/to/frames", mine) for word in shlex.split(command)))
