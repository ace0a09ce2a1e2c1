"""What a stranger is told is so: the README's commands, its tables, the pinned versions."""

import re
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from convlstm import glossary
from convlstm.metrics import COLUMNS
from convlstm.params import Params
from convlstm.verification import EVENTS, event_scores

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


@pytest.mark.parametrize(
    "path", sorted((ROOT / "convlstm").glob("[!_]*.py")), ids=lambda path: path.stem
)
def test_the_readmes_tree_names_every_module(path: Path) -> None:
    tree = README.split("## The tree")[1].split("```")[1]
    assert re.search(rf"\b{path.stem}\b", tree)


def test_the_readme_names_every_column_of_the_tables() -> None:
    assert all(f"`{column}`" in README for column in (*COLUMNS, *EVENTS, *glossary.COLUMNS))
    scored = event_scores(np.ones((1, 4)))
    assert all(f"`{column}`" in README for column in (*scored, "fss"))
