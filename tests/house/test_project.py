"""The pages tell the truth: README's commands and tree, the tables of docs/, the versions."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from convlstm.scores import categorical, families
from convlstm.version import VERSION
from stages.check import Params
from tests.builders import ROOT
from tests.house import pages, walk

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
PINS = dict(
    line.split("==") for line in (ROOT / "requirements.lock").read_text("utf-8").splitlines()
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINNED_BY_THEMSELVES = ("cluster", "onnx", "rivals", "search")
"""Extras that no stage needs."""
REQUIRED = [
    *PROJECT["project"]["dependencies"],
    *(
        need
        for extra, needs in PROJECT["project"]["optional-dependencies"].items()
        for need in needs
        if extra not in PINNED_BY_THEMSELVES
    ),
    *PROJECT["dependency-groups"]["dev"],
]
CODE = sorted(path for room in ("convlstm", "stages") for path in (ROOT / room).rglob("*.py"))
MOST_MODULES_TO_A_PICTURE, MOST_MODULES_OF_A_READOUT = 28, 5
"""It was 18 before files told their units, and 25 before there were shards and kernels."""
MOST_README_LINES = 150


@pytest.mark.parametrize("required", REQUIRED)
def test_every_dependency_is_pinned_inside_its_range(required: str) -> None:
    requirement = Requirement(required)
    pins = {canonicalize_name(name): version for name, version in PINS.items()}
    assert Version(pins[canonicalize_name(requirement.name)]) in requirement.specifier


def test_every_library_that_the_package_imports_is_a_dependency() -> None:
    """But for the optional ones, which an extra names."""
    names = {"PIL": "pillow", "skimage": "scikit-image", "ruamel": "ruamel-yaml"}
    names |= {"pydantic_core": "pydantic", "triton": "torch"}  # come with them
    extras = PROJECT["project"]["optional-dependencies"]
    needs = [*REQUIRED, *(need for extra in PINNED_BY_THEMSELVES for need in extras[extra])]
    required = {canonicalize_name(Requirement(need).name) for need in needs}
    imported: set[str] = set()
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    foreign = imported - set(__import__("sys").stdlib_module_names) - {"convlstm", "stages"}
    assert {names.get(name, name) for name in foreign} <= required


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


def test_the_readme_can_be_read_in_one_sitting() -> None:
    assert README.count("\n") <= MOST_README_LINES


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")),
    ],
)
def test_every_link_of_a_page_leads_to_a_file(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    missing = [link for link in links if not ((ROOT / page).parent / link).exists()]
    assert missing == []


def test_the_page_of_scores_has_the_table_of_the_code() -> None:
    page = (ROOT / "docs/scores.md").read_text(encoding="utf-8")
    assert pages.put(page, "the scores", pages.scores()) == page
    assert all(f"`{score.key}`" in page for score in families.ALL)
    assert all(f"`{count}`" in page for count in categorical.COUNTS)


@pytest.mark.slow
def test_a_frame_passes_few_modules_as_docs_architecture_says(tmp_path: Path) -> None:
    table = walk.table(walk.walk(tmp_path))
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert pages.put(page, "the way", table) == page
    count = re.search(r"From raw file to picture: (\d+) modules, and (\d+) of the readout", table)
    assert count
    assert int(count[1]) <= MOST_MODULES_TO_A_PICTURE
    assert int(count[2]) <= MOST_MODULES_OF_A_READOUT


def test_the_changelog_and_the_citation_name_this_version() -> None:
    assert f"## {VERSION}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"version: {VERSION}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_docstring_says_what_its_thing_does(path: Path) -> None:
    """A docstring that goes on from the name of its thing is no sentence."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            text = ast.get_docstring(node) or "Nothing."
            assert not text.startswith(("What ", "Of ", "All that ", "The same ")), text
            first = text.split("\n\n")[0].rstrip()
            assert first.endswith((".", ":")), first
