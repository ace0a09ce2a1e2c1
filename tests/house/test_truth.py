"""dvc.yaml tells the whole truth: each stage lists what it loads, opens, writes and reads, no more.

Where it does not, DVC says "up to date" over stale results. The truth is measured: every stage is
run in a fresh interpreter that notes its modules, files and params (trace_stage.py).
"""

import ast
import copy
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from convlstm.params import groups
from tests.builders import ROOT, SMALL, STAGES, SmallRun

DVC: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text("utf-8"))[
    "stages"
]
DEFAULTS = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text("utf-8"))
ENTRIES = [
    (stage, kind, number)
    for stage, facts in DVC.items()
    for kind in ("deps", "outs", "plots", "metrics", "params")
    for number in range(len(facts.get(kind, [])))
]


def violations(dvc: dict[str, Any], traces: dict[str, dict[str, Any]]) -> list[str]:
    """Where a stage of dvc.yaml and its trace differ."""
    found = []
    for stage, trace in traces.items():
        listed, (group,) = dvc[stage], trace["groups"]
        deps = {dep.format_map(DEFAULTS).strip("$") for dep in listed["deps"]}
        code = {dep for dep in deps if dep.endswith(".py")}
        outs = {out if isinstance(out, str) else next(iter(out)) for out in _outs(listed)}
        compared = {
            "code": (code, set(trace["modules"])),
            "deps": (deps - code, {_entry(file, deps - code) for file in trace["read"]}),
            "outs": (outs, {_entry(file, outs) for file in trace["written"]}),
            "params": (set(listed["params"]), set(getattr(groups, group).model_fields)),
        }
        found += [
            f"{stage}: {kind} lists {listed_set ^ true_set}"
            for kind, (listed_set, true_set) in compared.items()
            if listed_set != true_set
        ]
    return found


def _outs(listed: dict[str, Any]) -> list[Any]:
    return [*listed.get("outs", []), *listed.get("plots", []), *listed.get("metrics", [])]


def _entry(file: str, listed: set[str]) -> str:
    """The listed file or folder that holds a file; the file itself, if none does."""
    return next((entry for entry in listed if Path(file).is_relative_to(entry)), file)


def test_dvc_yaml_tells_the_whole_truth(small_run: SmallRun) -> None:
    assert violations(DVC, small_run.traces) == []


@pytest.mark.parametrize(("stage", "kind", "number"), ENTRIES)
def test_the_truth_test_fails_when_an_entry_is_removed(
    small_run: SmallRun, stage: str, kind: str, number: int
) -> None:
    poorer = copy.deepcopy(DVC)
    del poorer[stage][kind][number]
    assert violations(poorer, small_run.traces)


def test_the_stages_stand_in_the_order_of_the_pipeline_each_with_a_description() -> None:
    assert tuple(DVC) == STAGES
    assert all(facts["desc"] for facts in DVC.values())


def test_every_key_of_params_yaml_belongs_to_one_stage() -> None:
    keys = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text("utf-8"))
    listed = [key for facts in DVC.values() for key in facts["params"]]
    assert sorted(listed) == sorted(keys)


@pytest.mark.parametrize("stage", STAGES)
def test_every_key_of_a_stage_is_read_in_its_code(small_run: SmallRun, stage: str) -> None:
    modules = set(small_run.traces[stage]["modules"]) - {"convlstm/params/groups.py"}
    trees = [ast.parse((ROOT / module).read_text("utf-8")) for module in modules]
    attributes = {
        node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }
    assert set(DVC[stage]["params"]) <= attributes


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
