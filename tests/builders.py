"""Builders of what several tests need: changed params, a small model, a small run of all stages."""

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from convlstm.ingest.params import Reading
from convlstm.model.model_file import Model
from convlstm.model.network import Architecture, Network
from convlstm.params import loading
from convlstm.params.group import GroupT
from convlstm.patch import building
from convlstm.patch.curves import Transform
from convlstm.patch.folding import Geometry
from convlstm.patch.params import Patch
from convlstm.patch.scaling import Scaling
from convlstm.runtime.errors import BadInput
from convlstm.runtime.files import replacing_folder
from convlstm.storage import frames as frames_h5
from convlstm.storage import hdf5
from convlstm.storage import patches as patches_h5
from convlstm.storage.frames import Frame
from convlstm.storage.meaning import NOTHING_SAID, Channel, Meaning, Quantity, quantities
from convlstm.storage.patches import Patches
from convlstm.train.params import Train

ROOT = Path(__file__).parent.parent
STAGES = ("check", "demo", "ingest", "patch", "train", "evaluate", "plot")
CHECKED = "data/params.checked"
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
"""A demo that takes a second per stage."""
REPORT: dict[str, Any] = {
    "readout": "frame",
    "members": 1,
    "loss": "mse",
    "average_decay": 0.0,
    "augment": "none",
    "lr": 0.003,
}
"""The network of the report, which paints each next frame, as params of train."""
BYTES: dict[str, object] = {"value_range": (0.0, 255.0)}
"""The range of frames of tests, of which nothing is said, unless a test names another."""
MINUTE = 60_000_000
"""A minute in microseconds, in which the files count time."""


def params_of(group: type[GroupT], **changes: object) -> GroupT:
    """One group of the shipped params.yaml, with changes, for frames of bytes."""
    values = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values |= BYTES
    return group.model_validate({key: values[key] for key in group.model_fields} | changes)


def faults_of(group: type[GroupT], **changes: object) -> list[str]:
    """Return the lines that refuse one group of the shipped params.yaml, with changes."""
    values = params_of(group).model_dump() | changes
    with pytest.raises(BadInput) as raised:
        loading.check(values, group, where="here")
    return str(raised.value).splitlines()


def reading_of(**changes: object) -> Reading:
    """How raw files are read by the shipped params.yaml, with changes."""
    return params_of(Reading, **changes)


def frames_from(arrays: Iterable[np.ndarray], meaning: Meaning = NOTHING_SAID) -> list[Frame]:
    """Return frames of one meaning; without it nothing is said of their numbers."""
    return [Frame(values, meaning) for values in arrays]


def values_of(frames: Iterable[Frame]) -> list[np.ndarray]:
    """Return the numbers of frames."""
    return [frame.values for frame in frames]


def patches_of(
    folder: Path,
    sequences: Mapping[str, np.ndarray],
    *,
    times: Mapping[str, tuple[int, ...]] | None = None,
    time_format: str | None = None,
    meanings: Mapping[str, Meaning] | None = None,
    **changes: object,
) -> Path:
    """Build `frames` and from it `patches` in `folder`; return the path of `patches`.

    Args:
        folder: exists.
        sequences: frames (time, channel, row, col) by name; frame 3 comes from a file 3.png.
        times: for the sequences that have them, microseconds since 1970 of each frame.
        time_format: by which the times were read.
        meanings: of the numbers of sequences; the others say nothing.
        changes: to the shipped params of the patch stage.
    """
    frames, patches, cache = (folder / name for name in ("frames", "patches", ".shards"))
    frames.mkdir(exist_ok=True)
    with hdf5.create(frames / "all.h5") as file:
        for name, own in sequences.items():
            frames_h5.append_sequence(
                file,
                name,
                frames_from(own, (meanings or {}).get(name, NOTHING_SAID)),
                labels=tuple(f"{number}.png" for number in range(len(own))),
                times=(times or {}).get(name),
            )
    frames_h5.write_index(frames, ["all.h5"], reading_of(time_format=time_format).model_dump())
    with replacing_folder(patches) as new:
        building.build(frames, new, params_of(Patch, **changes), cache, lambda _: None)
    return patches


@contextmanager
def stored_frames(shard: Path) -> Iterator[dict[str, frames_h5.Sequence]]:
    """Open the sequences of one shard, beside which an index is written."""
    frames_h5.write_index(shard.parent, [shard.name], {})
    with frames_h5.opened(shard.parent) as stored:
        yield stored.sequences


@contextmanager
def open_patches(path: Path) -> Iterator[Patches]:
    """Open patches beside whose path their frames lie."""
    with patches_h5.opened(path, path.with_name("frames")) as stored:
        yield stored


def quantities_of(channels: int) -> tuple[Quantity, ...]:
    """Return channels of which nothing is said, whose values are -32 to 64."""
    nothing = (Channel(),) * channels
    return quantities(nothing, ((-32.0, 64.0),) * channels, np.dtype(np.float32))


def model_of(cell: Literal["convlstm", "peephole", "lstm"], geometry: Geometry) -> Model:
    """An untrained network of one layer that forecasts 2 frames from 3; -32 to 64 become 0 to 1."""
    torch.manual_seed(0)
    channels, rows, cols = geometry.folded_shape
    straight: Transform = "none"
    architecture = Architecture(cell, (3,), 3, channels=channels, rows=rows, cols=cols)
    return Model(
        Network(architecture),
        geometry,
        Scaling(
            ((-32.0, 64.0),) * geometry.channels,
            (straight,) * geometry.channels,
            (255.0, float("nan")),
        ),
        quantities_of(geometry.channels),
        reading_of().model_dump(),
        context_frames=3,
        forecast_frames=2,
        params=params_of(Train).model_dump(),
        training_precision="float32",
    )


def write_params(folder: Path, **changes: object) -> None:
    """The shipped params.yaml with changes, in `folder`."""
    yaml = YAML()
    values = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values.update(changes)
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(values, file)


def file_pages_bytes() -> int:
    """How many bytes of mapped files lie in the memory of this process; on Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssFile"))


def run_stage(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Python in `folder`, with the modules of this repository."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
    )


@dataclass(frozen=True)
class SmallRun:
    """The files and traces of one run of all stages on the small demo, without DVC."""

    folder: Path
    traces: dict[str, dict[str, Any]]


def run_all_stages(folder: Path) -> SmallRun:
    """Run the pipeline on the small demo in `folder`, and trace each stage."""
    (folder / "data/digits").mkdir(parents=True)
    block = struct.pack(">4B3I", 0, 0, 8, 3, 1, 9, 9) + bytes(range(81))  # one digit of 9 x 9
    (folder / "data/digits/block-idx3-ubyte").write_bytes(block)
    write_params(folder, **SMALL, demo_kind="digits")
    of_digits = traced(folder, "demo")
    shutil.rmtree(folder / "data/demo")
    write_params(folder, **SMALL)
    traces = {stage: traced(folder, stage) for stage in STAGES}
    for kind in ("read", "keys read"):  # the demo of either kind
        traces["demo"][kind] += of_digits[kind]
    return SmallRun(folder, traces)


def traced(folder: Path, stage: str) -> dict[str, Any]:
    """Run a stage, and return what it loads, opens and asks for meanwhile."""
    done = run_stage(folder, str(ROOT / "tests/house/trace_stage.py"), stage)
    assert done.returncode == 0, done.stderr
    trace: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return trace
