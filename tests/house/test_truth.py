"""dvc.yaml tells the whole truth: each stage lists what it loads, opens, writes and reads, no more.

Where it does not, DVC says "up to date" over stale results. The truth is measured: every stage is
run in a fresh interpreter that notes its modules, files and params (trace_stage.py).
"""

import copy
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from convlstm.ingest import readers
from convlstm.model.batches import Batches
from convlstm.runtime.errors import NonFinite
from convlstm.train.loop import Training
from convlstm.train.params import LearningRate, Sampling, Train
from convlstm.train.schedules import learning_rate, sampling_probability
from tests.builders import (
    CHECKED,
    ROOT,
    SMALL,
    STAGES,
    SmallRun,
    open_patches,
    params_of,
    patches_of,
    reading_of,
)
from tests.house.spy import keys_read

DVC: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text("utf-8"))[
    "stages"
]
SHIPPED = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text("utf-8"))
WHOLE_FILE = [{"params.yaml": None}]
CPU = torch.device("cpu")
FOR_GPU = {"convlstm/model/triton_kernels.py"}


def violations(dvc: dict[str, Any], traces: dict[str, dict[str, Any]]) -> list[str]:
    """Where a stage of dvc.yaml and its trace differ."""
    found = []
    for stage, trace in traces.items():
        listed = dvc[stage]
        deps = {dep.format_map(SHIPPED).strip("$") for dep in listed["deps"]}
        code = {dep for dep in deps if dep.startswith(("convlstm/", "stages/"))}
        # The marker of `check` orders the stages; none of them reads it.
        files = deps - code - ({CHECKED} if stage != "check" else set())
        outs = {out if isinstance(out, str) else next(iter(out)) for out in _outs(listed)}
        keys = set(SHIPPED) if listed["params"] == WHOLE_FILE else set(listed["params"])
        compared = {
            "code": (_modules(code), set(trace["modules"])),
            "deps": (files, {_entry(file, files) for file in trace["read"]}),
            "outs": (outs, {_entry(file, outs) for file in trace["written"]}),
            "params": (keys, set(trace["keys checked"])),
        }
        found += [
            f"{stage}: {kind} lists {listed_set ^ true_set}"
            for kind, (listed_set, true_set) in compared.items()
            if listed_set != true_set
        ]
    return found


def _modules(code: set[str]) -> set[str]:
    """The listed files, and all modules of the listed rooms but those that only a GPU needs."""
    modules = {entry for entry in code if entry.endswith(".py")}
    for room in code - modules:
        modules |= {str(path.relative_to(ROOT)) for path in (ROOT / room).glob("[!_]*.py")}
    return modules - FOR_GPU


def _outs(listed: dict[str, Any]) -> list[Any]:
    return [*listed.get("outs", []), *listed.get("plots", []), *listed.get("metrics", [])]


def _entry(file: str, listed: set[str]) -> str:
    """The listed file or folder that holds a file; the file itself, if none does."""
    return next((entry for entry in listed if Path(file).is_relative_to(entry)), file)


def test_dvc_yaml_tells_the_whole_truth(small_run: SmallRun) -> None:
    assert violations(DVC, small_run.traces) == []


def test_the_truth_test_fails_when_any_entry_is_removed(small_run: SmallRun) -> None:
    unnoticed = []
    for stage, listed in DVC.items():
        for kind in ("deps", "outs", "plots", "metrics", "params"):
            for number, entry in enumerate(listed.get(kind, [])):
                poorer = copy.deepcopy(DVC)
                del poorer[stage][kind][number]
                if entry != CHECKED and not violations(poorer, small_run.traces):
                    unnoticed.append((stage, kind, entry))
    assert unnoticed == []


def test_a_room_is_listed_where_all_of_it_is_loaded() -> None:
    for stage, listed in DVC.items():
        files = {dep for dep in listed["deps"] if dep.endswith(".py")}
        for room in {str(Path(file).parent) for file in files} - {"convlstm", "stages"}:
            whole = {str(path.relative_to(ROOT)) for path in (ROOT / room).glob("[!_]*.py")}
            assert not whole <= files, f"{stage} lists every module of {room}"


def test_every_stage_waits_for_the_check_of_all_params() -> None:
    assert DVC["check"]["outs"] == [CHECKED]
    for stage in set(DVC) - {"check"}:
        assert CHECKED in DVC[stage]["deps"]


def test_the_stages_stand_in_the_order_of_the_pipeline_each_with_a_description() -> None:
    assert tuple(DVC) == STAGES
    assert all(listed["desc"].endswith(".") for listed in DVC.values())


def test_every_key_of_params_yaml_belongs_to_one_stage() -> None:
    listed = [key for stage in STAGES if stage != "check" for key in DVC[stage]["params"]]
    assert sorted(listed) == sorted(SHIPPED)


def test_every_key_of_a_stage_is_read_by_its_code(small_run: SmallRun, tmp_path: Path) -> None:
    """The small run reads most keys; those that other choices read are read here."""
    with keys_read() as read:
        read |= {key for trace in small_run.traces.values() for key in trace["keys read"]}
        for kind in ("constant", "step", "exponential", "cosine", "onecycle"):
            optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
            learning_rate(optimizer, params_of(LearningRate, lr_schedule=kind), 10)
        for kind in ("step", "linear", "exponential", "inverse_sigmoid", "reverse"):
            sampling_probability(50.0, params_of(Sampling, sampling=kind))
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["x"] = np.zeros((2, 9, 9))
        readers.extent(tmp_path / "a.h5", reading_of(raw_dataset="x", raw_axes="THW"))
        rain = {name: np.full((20, 1, 9, 9), 9, np.uint8) for name in "abc"}
        path = patches_of(tmp_path, rain, valid_sequences=["b"], test_sequences=["c"])
        with open_patches(path) as stored:
            training = Training(Batches(stored, repeated=True), params_of(Train), CPU)
            with pytest.raises(NonFinite):
                training._skip(float("nan"), 0.0)
    listed = {key for stage in STAGES if stage != "check" for key in DVC[stage]["params"]}
    assert listed - read == set()


def test_another_key_of_one_stage_touches_no_code_of_the_others() -> None:
    """A new key is a change of params.yaml, of the group of its stage and of its stage's code."""
    groups = {
        "demo": "convlstm/demo/params.py",
        "ingest": "convlstm/ingest/params.py",
        "patch": "convlstm/patch/params.py",
        "train": "convlstm/train/params.py",
        "evaluate": "convlstm/evaluate/params.py",
        "plot": "convlstm/plot/params.py",
    }
    for stage in set(DVC) - {"check"}:
        others = {path for owner, path in groups.items() if owner != stage}
        assert _modules(set(DVC[stage]["deps"])) & others == set(), stage


def test_only_train_and_evaluate_load_torch(small_run: SmallRun) -> None:
    loading = {stage for stage, trace in small_run.traces.items() if trace["torch"]}
    assert loading == {"train", "evaluate"}


def test_the_traced_run_uses_the_demo_as_its_raw_frames() -> None:
    assert {"raw", "demo_digits"}.isdisjoint(SMALL)
    assert DVC["ingest"]["deps"][0] == "${raw}"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_opens_only_temporary_files_for_writing(small_run: SmallRun, stage: str) -> None:
    opened = small_run.traces[stage]["opened for writing"]
    assert opened
    for name in opened:
        assert re.search(r"/\.[^/]+\.(partial\b|lock$)", name), name
