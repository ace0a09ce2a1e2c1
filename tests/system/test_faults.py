"""Faults injected into every stage: kills at random moments, and a disk that is full."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import ROOT, SMALL, STAGES, SmallRun, run_stage, write_params

OUTS = {
    "check": ["data/params.checked"],
    "demo": ["data/demo"],
    "ingest": ["data/frames"],
    "patch": ["data/patches", "data/metrics/dataset.json", "data/metrics/patch.sha256"],
    "train": ["data/model.safetensors", "data/metrics/training.csv", "data/metrics/train.sha256"],
    "evaluate": [
        "data/forecasts.h5",
        "data/metrics/summary.json",
        "data/metrics/scores.json",
        "data/metrics/evaluate.sha256",
        *(
            f"data/metrics/{name}.csv"
            for name in (
                *("by_lead", "baselines", "by_threshold", "by_scale", "spectrum"),
                *("reliability", "ranks"),
            )
        ),
    ],
    "plot": ["data/plots/overview", "data/plots/details", "data/plots/report.html"],
}
KILLS = 20
ROOM = dict.fromkeys(STAGES, 500) | {"check": 10, "demo": 60}
"""Bytes that are too few for a file of the stage."""


@pytest.fixture
def place(small_run: SmallRun, tmp_path: Path) -> Path:
    """A copy of the small run."""
    return Path(shutil.copytree(small_run.folder, tmp_path / "a run"))


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_of_20_kills_none_leaves_half_a_file_or_changes_a_byte(
    place: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVLSTM_CHECKPOINT_MINUTES", "0")  # most kills fall into or after a save
    if stage == "train":
        write_params(place, **{**SMALL, "epochs": 60})
    done = run_stage(
        place, str(ROOT / "tests/system/kill_stage.py"), stage, str(KILLS), *OUTS[stage]
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(stage, found)
    resumed = found.pop("resumed")
    assert found == {"killed": KILLS, "partial": 0, "different": 0, "leftovers": 0}
    assert stage != "train" or resumed >= KILLS / 2  # the others were killed before the first save


def with_room(place: Path, stage: str, size: int) -> subprocess.CompletedProcess[str]:
    """Run a stage that may write no file of more than `size` bytes: the system says EFBIG."""
    return subprocess.run(
        [sys.executable, "-m", f"stages.{stage}"],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        capture_output=True,
        text=True,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "training.csv"  # it tells how far training came
    }


@pytest.mark.parametrize(
    "stage",
    [pytest.param(stage, marks=() if stage == "ingest" else pytest.mark.slow) for stage in STAGES],
)
def test_a_full_disk_is_one_line_and_the_previous_output_stays(place: Path, stage: str) -> None:
    shutil.rmtree(place / ".shards")  # or nothing would be left to be made
    before = contents(place)
    done = with_room(place, stage, ROOM[stage])
    assert done.returncode == 4, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert done.stderr.splitlines()[-1] == errors[0]
    # of several, the first for which there is no room
    assert errors[0].startswith(("error: data/", "error: .shards/"))
    assert "no room for it: it needs at least " in errors[0]
    assert contents(place) == before
