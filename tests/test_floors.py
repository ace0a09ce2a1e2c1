"""The house stands: imports go down only, and each heavy library enters by its own door."""

import ast
from pathlib import Path

import pytest
from conftest import ROOT

FLOORS = (
    {"ahead", "errors", "rules", "glossary", "interrupts", "device"},
    {"params", "files", "locks", "memory"},
    {"loading", "hdf5", "checkpoint", "learning_rate", "steps"},
    {"store", "times", "images", "arrays", "video", "patches", "scaling", "windows"},
    {"spectra", "neighbourhoods"},
    {"readers", "cells", "unrolled", "metrics", "verification", "baselines"},
    {"figures", "pictures", "rain", "digits", "report"},
    {"sources", "sampling", "network", "dataset", "batches"},
    {"frames", "writers", "model"},
    {"validation", "evaluation", "forecast"},
    {"training", "tables", "samples"},
)
DOORS = {
    "PIL": {"images", "video"},
    "av": {"video"},
    "h5py": {"arrays", "hdf5"},
    "matplotlib": {"figures", "pictures"},
    "pandas": {"figures", "plot"},
    "pydantic": {"loading", "params"},
    "pydantic_core": {"loading"},
    "ruamel": {"loading"},
    "safetensors": {"model"},
    "scipy": {"baselines", "metrics", "rain", "tables"},
    "skimage": {"baselines", "metrics"},
    "torch": {
        "batches",
        "cells",
        "checkpoint",
        "device",
        "learning_rate",
        "memory",
        "model",
        "network",
        "sampling",
        "steps",
        "training",
        "unrolled",
    },
}
MODULES = sorted((ROOT / "convlstm").glob("[!_]*.py"))
STAGE_MODULES = sorted((ROOT / "stages").glob("*.py"))


def imported(path: Path) -> set[str]:
    """Full names of all that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def floor(module: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if module in rooms)


def test_every_module_has_its_floor() -> None:
    assert {path.stem for path in MODULES} == set().union(*FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_imports_only_from_lower_floors(path: Path) -> None:
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("convlstm.")}
    assert all(floor(other) < floor(path.stem) for other in ours), ours


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_the_package_knows_no_stage_and_no_dvc(path: Path) -> None:
    assert not {name for name in imported(path) if name.split(".")[0] in ("stages", "dvc", "tqdm")}


@pytest.mark.parametrize("library", DOORS)
def test_a_heavy_library_enters_by_its_door(library: str) -> None:
    users = {
        path.stem
        for path in (*MODULES, *STAGE_MODULES)
        if any(name.split(".")[0] == library for name in imported(path))
    }
    assert users == DOORS[library]


def test_the_package_itself_imports_nothing() -> None:
    assert imported(ROOT / "convlstm/__init__.py") == set()


@pytest.mark.parametrize("path", [*MODULES, *STAGE_MODULES], ids=lambda path: path.stem)
def test_a_file_is_one_idea_of_at_most_200_lines(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 200
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", [*MODULES, *STAGE_MODULES], ids=lambda path: path.stem)
def test_a_function_has_at_most_40_lines_and_six_parameters(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            count = len([*node.args.args, *node.args.kwonlyargs]) - (
                node.args.args[:1] != [] and node.args.args[0].arg == "self"
            )
            assert count <= 6, node.name
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 40, node.name
