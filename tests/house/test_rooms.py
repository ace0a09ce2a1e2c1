"""The house stands: rooms in one order, imports downwards only, no circle, and few heavy doors."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.builders import ROOT

ORDER = (
    {"version", "runtime", "scores"},
    {"params", "storage", "sums"},
    {"demo", "ingest", "plot"},
    {"patch"},
    {"model"},
    {"train", "evaluate", "forecast", "export"},
)
"""A room imports from rooms further up in this list, and from itself; `version` is one module."""
LONGEST_FILE_LINES = 480  # a long file that is one idea is better than two halves of one
LONGEST_FUNCTION_LINES = 40
MOST_PARAMETERS = 6
DOORS = {
    "PIL": {
        *("forecast.writers", "ingest.gifs", "ingest.images", "ingest.pixels", "plot.pictures"),
        *("stages.demo", "stages.following"),
    },
    "imagecodecs": {"ingest.chunks", "ingest.pngs", "ingest.tiffs"},
    "tifffile": {"forecast.writers", "ingest.tiffpixels", "ingest.tiffs", "ingest.tifftags"},
    "av": {"ingest.video"},
    "cftime": {"ingest.cf"},
    "distributed": {"storage.tasks"},
    "h5netcdf": {"storage.netcdf"},
    "hdf5plugin": {"storage.hdf5"},
    "h5py": {"ingest.chunks", "ingest.conventions", "ingest.datasets", "storage.hdf5"},
    "matplotlib": {"plot.comparison", "plot.figures", "plot.pictures"},
    "triton": {"model.triton_kernels"},
    "onnx": {"export.onnx_file"},
    "pandas": {
        *("plot.comparison", "plot.curves", "plot.figures", "plot.tables"),
        *("stages.experiments", "stages.search"),
    },
    "pydantic": {
        "params.loading",
        "params.group",
        "patch.scaling",
        *(
            f"{room}.params"
            for room in ("demo", "evaluate", "forecast", "ingest", "patch", "plot", "train")
        ),
    },
    "pydantic_core": {"params.loading"},
    "ruamel": {"params.loading"},
    "safetensors": {"model.model_file"},
    "scipy": {"evaluate.tables", "demo.rain"},
    "xarray": {"ingest.groups", "ingest.gridded"},
    "zarr": {"ingest.groups"},
}
"""The modules by which each heavy library enters; torch enters by rooms as a whole."""
OF_ONE_STAGE = {
    "train": {"train", "training", "following"},
    "evaluate": {"evaluate", "evaluation"},
    "forecast": {"forecast"},
    "export": {"export"},
}
"""The modules of stages/ that may import a room of one stage or command."""
TORCH_ROOMS = {"sums", "model", "train", "evaluate", "forecast", "export"}
MODULES = sorted((ROOT / "convlstm").rglob("[!_]*.py"))
INITS = sorted((ROOT / "convlstm").rglob("__init__.py"))
STAGE_MODULES = sorted((ROOT / "stages").glob("*.py"))


def name_of(path: Path) -> str:
    """room.module, or stages.module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[1:] if parts[0] == "convlstm" else parts)


def imported(path: Path) -> set[str]:
    """Full names of all that a file imports, wherever the import stands in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_modules(path: Path) -> set[str]:
    """The modules of the package that a file imports, as room.module."""
    ours = {tuple(name.split(".")[1:3]) for name in imported(path) if name.startswith("convlstm.")}
    return {"version" if parts[0] == "version" else ".".join(parts) for parts in ours}


def rank(room: str) -> int:
    return next(number for number, rooms in enumerate(ORDER) if room in rooms)


def test_the_rooms_on_the_disk_are_those_of_the_order() -> None:
    assert {path.parent.name for path in INITS} - {"convlstm"} == set().union(*ORDER) - {"version"}
    assert [name_of(path) for path in MODULES if path.parent.name == "convlstm"] == ["version"]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_from_its_own_room_and_from_lower_ones(path: Path) -> None:
    own = name_of(path).split(".")[0]
    for room in {name.split(".")[0] for name in imported_modules(path)} - {own}:
        assert rank(room) < rank(own), f"{own} imports {room}"


@pytest.mark.parametrize("room", OF_ONE_STAGE)
def test_what_several_stages_run_lives_in_a_shared_room(room: str) -> None:
    """All params are checked by one stage before the others."""
    used = {path.stem: imported_modules(path) - {f"{room}.params"} for path in STAGE_MODULES}
    users = {name for name, own in used.items() if room in {one.split(".")[0] for one in own}}
    assert users <= OF_ONE_STAGE[room]


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name_of(path): imported_modules(path) for path in MODULES}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError where there is one
    assert set(order) == set(graph)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_package_knows_no_stage_and_no_dvc(path: Path) -> None:
    assert not {name for name in imported(path) if name.split(".")[0] in ("stages", "dvc", "tqdm")}


@pytest.mark.parametrize("library", DOORS)
def test_a_heavy_library_enters_by_its_doors(library: str) -> None:
    assert users_of(library) == DOORS[library]


def test_torch_enters_by_its_rooms() -> None:
    assert {name.split(".")[0] for name in users_of("torch")} == TORCH_ROOMS


def users_of(library: str) -> set[str]:
    return {
        name_of(path)
        for path in (*MODULES, *STAGE_MODULES)
        if any(name.split(".")[0] == library for name in imported(path))
    }


@pytest.mark.parametrize(
    "path",
    [path for path in INITS if path.parent.name != "convlstm"],
    ids=lambda path: path.parent.name,
)
def test_the_init_of_a_room_holds_a_docstring_and_imports_nothing(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert imported(path) == set()


@pytest.mark.parametrize("path", [*MODULES, *STAGE_MODULES], ids=name_of)
def test_a_file_says_in_a_docstring_what_it_is_for_and_is_no_longer_than_its_idea(
    path: Path,
) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= LONGEST_FILE_LINES


def on_a_gpu(node: ast.FunctionDef) -> bool:
    """Whether a function is a kernel, which takes addresses and sizes one by one."""
    return [ast.unparse(decorator) for decorator in node.decorator_list] == ["triton.jit"]


@pytest.mark.parametrize("path", [*MODULES, *STAGE_MODULES], ids=name_of)
def test_a_function_is_short_and_has_few_parameters(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and not on_a_gpu(node):
            names = [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
            assert len([name for name in names if name != "self"]) <= MOST_PARAMETERS, node.name
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < LONGEST_FUNCTION_LINES, node.name
