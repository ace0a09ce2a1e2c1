"""The pipeline under DVC, for real: a clone of this repository, `dvc` as a user calls it.

All tests share a clone and continue where the one before has left it, as a user's day does.
"""

import hashlib
import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image
from ruamel.yaml import YAML

from convlstm.plot import curves
from convlstm.train.params import Train
from stages import search
from tests.builders import CHECKED, ROOT, STAGES, params_of
from tests.system.repository import call, clone, commit, ran

pytestmark = pytest.mark.slow

OUTPUTS = (
    CHECKED,
    "data/demo/000/00.png",
    "data/frames/index.h5",
    "data/patches/index.h5",
    "data/model.safetensors",
    "data/metrics/training.csv",
    "data/metrics/by_lead.csv",
    "data/metrics/baselines.csv",
    "data/metrics/by_threshold.csv",
    "data/metrics/by_scale.csv",
    "data/metrics/spectrum.csv",
    "data/metrics/reliability.csv",
    "data/metrics/ranks.csv",
    "data/metrics/scores.json",
    "data/metrics/summary.json",
    "data/metrics/dataset.json",
    *(f"data/metrics/{stage}.sha256" for stage in ("patch", "train", "evaluate")),
    "data/forecasts.h5",
    *(f"data/curves/{name}.csv" for name in curves.NAMES),
    "data/plots/overview/forecast.gif",
    "data/plots/overview/lead_time.png",
    "data/plots/overview/strip1.png",
    "data/plots/details/loss.png",
    "data/plots/report.html",
)
LR = params_of(Train).lr
HEADLINE = ("mse", "crps", "csi", "spread", "vs_adv", "vs_pers")
README_COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    for line in block.replace("\\\n", "").splitlines()
    if line.startswith(("dvc", "python -m stages"))
]


def digests(folder: Path) -> dict[str, str]:
    """Return the MD5 of each file of OUTPUTS that is there."""
    return {
        name: hashlib.md5((folder / name).read_bytes()).hexdigest()
        for name in OUTPUTS
        if (folder / name).exists()
    }


def locked_digests(folder: Path) -> dict[str, str]:
    """Return the MD5 of each output that dvc.lock notes; of a folder, that of its listing."""
    lock = YAML(typ="safe", pure=True).load((folder / "dvc.lock").read_text("utf-8"))
    outs = [out for stage in STAGES for out in lock["stages"][stage]["outs"]]
    return {out["path"]: out["md5"] for out in outs}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clone(tmp_path_factory.mktemp("a clone"))


@pytest.fixture(scope="module")
def other_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clone(tmp_path_factory.mktemp("another clone"))


def test_one_command_runs_all_stages_and_leaves_every_file(repository: Path) -> None:
    assert ran(call(repository, "dvc", "repro")) == list(STAGES)
    made, locked = digests(repository), locked_digests(repository)
    assert set(made) == set(OUTPUTS)
    folders = {name for name in locked if (repository / name).is_dir()}
    plots = {"data/plots/overview", "data/plots/details"}
    assert folders == {"data/demo", "data/frames", "data/patches", *plots}
    for name in set(locked) - folders:
        assert made[name] == locked[name], name
    assert all((repository / name).stat().st_size > 0 for name in OUTPUTS)
    commit(repository)
    assert "up to date" in call(repository, "dvc", "status")


def test_the_film_shows_rain_that_moves(repository: Path) -> None:
    with Image.open(repository / "data/plots/overview/forecast.gif") as film:
        # 3 of context and 2 of forecast: no frame equals the one before
        assert getattr(film, "n_frames", 1) == 5


def test_a_second_run_computes_nothing(repository: Path) -> None:
    assert ran(call(repository, "dvc", "repro")) == []


def test_another_lr_is_checked_trains_evaluates_and_plots_only(repository: Path) -> None:
    name = "a-name-as-long-as"  # those that DVC draws have 5 to 21 letters, which widen its table
    output = call(repository, "dvc", "exp", "run", "--name", name, "-S", "lr=0.0005")
    assert ran(output) == ["check", "train", "evaluate", "plot"]


def test_set_param_has_changed_one_line_of_params_yaml(repository: Path) -> None:
    lines = call(repository, "git", "diff", "--unified=0", "params.yaml").splitlines()
    changed = [line for line in lines if re.match(r"[-+]\w", line)]
    assert [line.split("#")[0].rstrip() for line in changed] == [f"-lr: {LR}", "+lr: 0.0005"]


def test_the_metrics_that_differ_are_few_lines_that_fit(repository: Path) -> None:
    head, *lines = call(repository, "dvc", "metrics", "diff").splitlines()
    assert head.split() == ["Path", "Metric", "HEAD", "workspace", "Change"]
    shown = [line.split() for line in lines]
    assert {path for path, *_ in shown} == {"data/metrics/scores.json"}
    assert {key for _, key, *_ in shown} <= set(HEADLINE)
    for _, _, old, new, change in shown:
        assert float(new) - float(old) == pytest.approx(float(change), abs=1e-4)
    assert max(map(len, [head, *lines])) <= 100


def test_the_experiments_fit_with_what_changed_and_how_they_scored(repository: Path) -> None:
    words = ("--only-changed", "--drop", "data/")
    lines = call(repository, "dvc", "exp", "show", *words).splitlines()
    heads, *rows = [line.split() for line in lines if "─" * 9 not in line and line.strip()]
    assert heads[:2] == ["Experiment", "Created"]
    assert set(heads[2:-1]) <= set(HEADLINE)
    assert heads[-1] == "lr"
    assert {row[-1] for row in rows} == {str(LR), "0.0005"}
    assert max(len(line.strip()) for line in lines) <= 100
    lines = call(repository, "dvc", "exp", "diff").splitlines()
    assert max(map(len, lines)) <= 100
    change = f"{0.0005 - LR:.5g}"
    assert lines[-1].split() == ["params.yaml", "lr", str(LR), "0.0005", change]


def test_plots_lay_the_curves_of_two_runs_over_each_other(repository: Path) -> None:
    output = call(repository, "dvc", "plots", "diff", "--out", "compared")
    assert "failed" not in output.lower()
    page = (repository / "compared/index.html").read_text(encoding="utf-8")
    assert "Test MSE by lead time" in page
    drawn = json.loads(call(repository, "dvc", "plots", "diff", "--json"))["data"]
    pictures = {name for name in drawn if name.startswith("data/plots/")}
    names = ("forecast.gif", "lead_time.png", "strip1.png", "strip2.png")
    assert pictures == {str(Path("data/plots/overview", name)) for name in names}
    assert len(drawn.keys() - pictures) == 8
    for name, own in drawn.items():
        assert own, name
    shutil.rmtree(repository / "compared")


def test_experiments_are_compared_on_one_page(repository: Path) -> None:
    output = call(repository, "python", "-m", "stages.compare", "--sort", "mse")
    assert output.splitlines()[-1] == "compare: the page of 2 experiments is compare.html"
    page = (repository / "compare.html").read_text(encoding="utf-8")
    assert not re.search(r'src="(?!data:)|https?://', page)
    rows = re.findall(r"<tr>(.*?)</tr>", page)
    heads, *cells = (re.findall(r"<t[hd]>([^<]*)</t[hd]>", row) for row in rows)
    assert heads == ["experiment", *HEADLINE, "lr"]
    kept = json.loads(call(repository, "dvc", "metrics", "show", "--json"))
    mse = kept[""]["data"]["data/metrics/scores.json"]["data"]["mse"]
    shown = {row[-1]: float(row[1]) for row in cells}
    assert shown.keys() == {str(LR), "0.0005"}
    assert shown["0.0005"] == pytest.approx(mse, rel=1e-3)  # of the workspace
    assert list(shown.values()) == sorted(shown.values())
    output = call(repository, "python", "-m", "stages.compare", "nothing", status=2)
    assert output.startswith("error: nothing: ")
    (repository / "compare.html").unlink()


def test_back_at_the_first_lr_nothing_is_computed(repository: Path) -> None:
    output = call(repository, "dvc", "exp", "run", "-S", f"lr={LR}")
    assert ran(output) == []
    assert "Stage 'train' is cached" in output
    assert "up to date" in call(repository, "dvc", "status")


def test_an_experiment_runs_in_a_temporary_copy(repository: Path) -> None:
    before = digests(repository)
    output = call(repository, "dvc", "exp", "run", "--temp", "-S", "lr=0.0006")
    assert ran(output) == ["check", "train", "evaluate", "plot"]
    assert digests(repository) == before


@pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="needs the extra search")
def test_a_search_goes_on_and_keeps_its_best_experiment(repository: Path) -> None:
    words = ("python", "-m", "stages.search", "lr=0.001:0.1", "--trials")
    first = call(repository, *words, "1")
    name = search.name_of("lr=0.001:0.1")
    assert first.splitlines()[-1].startswith(f"search: the best is {name}-0;")
    second = call(repository, *words, "2")
    assert f"search: {name}-0, " not in second
    scores = re.findall(rf"{name}-\d+, lr=[\d.e-]+: ([\d.]+)", first + second)
    assert len(scores) == 2
    best = min((float(score), number) for number, score in enumerate(scores))[1]
    listed = re.findall(rf"{name}-\d+", call(repository, "dvc", "exp", "list"))
    assert set(listed) == {f"{name}-{best}"}


def test_queued_experiments_run(repository: Path) -> None:
    call(repository, "dvc", "exp", "run", "--queue", "--name", "queued", "-S", "lr=0.0007")
    call(repository, "dvc", "queue", "start")
    call(repository, "dvc", "queue", "logs", "queued", "--follow")
    assert re.search(r"queued.*Success", call(repository, "dvc", "queue", "status"))
    call(repository, "dvc", "queue", "stop")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [("lr=abc", "lr = 'abc'"), ("stride=0", "stride = 0"), ("+lrr=1", "lrr = 1: unknown key")],
)
def test_a_bad_value_of_any_stage_stops_before_any_output_is_removed(
    repository: Path, change: str, complaint: str
) -> None:
    before = digests(repository)
    output = call(repository, "dvc", "exp", "run", "-S", change, status=255)
    assert f"error: params.yaml: {complaint}" in output
    assert ran(output) == ["check"]
    assert digests(repository) == {name: before[name] for name in OUTPUTS if name != CHECKED}
    call(repository, "git", "checkout", "--", "params.yaml")
    assert ran(call(repository, "dvc", "repro")) == []
    assert digests(repository) == before


def test_what_is_removed_before_a_stage_that_fails_can_be_had_back(repository: Path) -> None:
    before = digests(repository)
    output = call(repository, "dvc", "exp", "run", "-S", "value_range=[0,1]", status=255)
    assert "lies outside value_range [0, 1]" in output
    assert ran(output) == ["check", "patch"]
    lost = {"data/patches/index.h5", "data/metrics/dataset.json", "data/metrics/patch.sha256"}
    assert set(before) - set(digests(repository)) == lost
    call(repository, "git", "checkout", "--", "params.yaml", "dvc.lock", "data/metrics")
    call(repository, "dvc", "checkout")
    assert digests(repository) == before


def test_from_scratch_again_every_output_is_the_same_bytes(
    repository: Path, other_repository: Path
) -> None:
    assert ran(call(other_repository, "dvc", "repro")) == list(STAGES)
    assert digests(other_repository) == digests(repository)


def test_adding_a_key_to_train_leaves_the_stages_before_it_up_to_date(
    other_repository: Path,
) -> None:
    for name, place, addition in (
        ("params.yaml", "\nlr: ", "\nmomentum: 0.5\nlr: "),
        (
            "convlstm/train/params.py",
            "\n    lr: Annotated",
            "\n    momentum: Factor\n    lr: Annotated",
        ),
        ("dvc.yaml", "    - lr\n", "    - lr\n    - momentum\n"),
    ):
        path = other_repository / name
        text = path.read_text(encoding="utf-8")
        assert text.count(place) == 1
        path.write_text(text.replace(place, addition), encoding="utf-8")
    status = json.loads(call(other_repository, "dvc", "status", "--json"))
    assert set(status) == {"check", "train"}
    assert ran(call(other_repository, "dvc", "repro", "train")) == ["check", "train"]
    # the model's file tells all params of its training, and the page repeats them
    assert ran(call(other_repository, "dvc", "repro")) == ["evaluate", "plot"]
    assert "up to date" in call(other_repository, "dvc", "status")


@pytest.mark.parametrize("command", README_COMMANDS)
def test_the_readmes_commands_run(repository: Path, command: str) -> None:
    mine = str(repository / "data/demo")
    call(repository, *(word.replace("/path/to/frames", mine) for word in shlex.split(command)))
