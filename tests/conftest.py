"""What several tests need: changed params, a small patches.h5, a small run of all stages."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from convlstm import dataset, rain, store
from convlstm.batches import Batches
from convlstm.params import GroupT, Patch

ROOT = Path(__file__).parent.parent


def params_of(group: type[GroupT], **changes: object) -> GroupT:
    """One group of the shipped params.yaml, with changes."""
    values = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return group.model_validate({key: values[key] for key in group.model_fields} | changes)


@pytest.fixture(scope="session")
def patches_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve rain sequences of 6 frames, 18 x 18 padded to 20 x 20; windows of 3 to 2 frames."""
    folder = tmp_path_factory.mktemp("patches")
    with store.create(folder / "frames.h5") as file:
        for index in range(12):
            frames = rain.sequence(frames=6, size=18, seed=1, index=index)
            store.append_sequence(file, f"rain{index}", frames[:, None])
    path = folder / "patches.h5"
    params = params_of(
        Patch, context_frames=3, forecast_frames=2, stride=1, split=(0.5, 0.25, 0.25)
    )
    with store.reading(folder / "frames.h5") as source, store.create(path) as target:
        list(dataset.build(source, target, params))
    return path


@pytest.fixture
def batches(patches_path: Path) -> Iterator[Batches]:
    with store.reading(patches_path) as file:
        yield Batches(file)


STAGES = ("demo", "ingest", "patch", "train", "evaluate", "plot")
SMALL: dict[str, object] = {
    "demo_sequences": 6,
    "demo_frames": 8,
    "demo_size": 22,
    "context_frames": 3,
    "forecast_frames": 2,
    "stride": 3,
    "hidden_channels": [3],
    "epochs": 2,
    "sample_windows": 2,
}
"""A demo that takes a second a stage."""


def write_params(folder: Path, **changes: object) -> None:
    """The shipped params.yaml with changes, in `folder`."""
    yaml = YAML()
    values = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values.update(changes)
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(values, file)


def run_stage(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Python in `folder`, with the modules of this repository."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
    )


@dataclass(frozen=True)
class SmallRun:
    """All six stages once, on the small demo, without DVC."""

    folder: Path
    traces: dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    folder = tmp_path_factory.mktemp("small run")
    write_params(folder, **SMALL)
    traces = {}
    for stage in STAGES:
        done = run_stage(folder, str(ROOT / "tests/trace_stage.py"), stage)
        assert done.returncode == 0, done.stderr
        traces[stage] = json.loads(done.stdout.splitlines()[-1])
    return SmallRun(folder, traces)
