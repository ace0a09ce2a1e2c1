"""What a stranger is told is so: the README's commands, its tables, the pinned versions."""

import re
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from convlstm.params.groups import Params
from convlstm.scores import catalogue
from convlstm.scores.frame import COLUMNS
from convlstm.scores.totals import EVENTS, event_scores
from tests.builders import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
REQUIRED = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]


@pytest.mark.parametrize("required", REQUIRED)
def test_every_dependency_is_pinned_inside_its_range(required: str) -> None:
    requirement = Requirement(required)
    pins = {canonicalize_name(name): version for name, version in PINS.items()}
    assert Version(pins[canonicalize_name(requirement.name)]) in requirement.specifier


def test_torch_is_pinned_to_the_version_that_was_tested() -> None:
    assert PINS["torch"] == "2.13.0"


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("make")])
def test_make_knows_the_readmes_targets(command: str) -> None:
    subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def test_the_readme_sets_only_keys_that_exist() -> None:
    keys = set(re.findall(r"(?:-S |`)'?(\w+)=", README))
    assert keys
    assert keys <= set(Params.model_fields)


def test_the_readmes_tree_is_the_tree_on_the_disk() -> None:
    tree = README.split("## The tree")[1].split("```")[1]
    drawn = {
        room: set(names.split()) for room, names in re.findall(r"^  (\w+)/ +(.+)$", tree, re.M)
    }
    there = {
        folder.parent.name: {path.stem for path in folder.parent.glob("[!_]*.py")}
        for folder in (ROOT / "convlstm").glob("*/__init__.py")
    }
    assert drawn == there


def test_the_readme_names_every_column_of_the_tables() -> None:
    assert all(f"`{column}`" in README for column in (*COLUMNS, *EVENTS, *catalogue.COLUMNS))
    scored = event_scores(np.ones((1, 4)))
    assert all(f"`{column}`" in README for column in (*scored, "fss"))
