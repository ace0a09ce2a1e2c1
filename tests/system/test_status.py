"""Whatever a user does, a stage ends with 0, 2, 3 or 4, or by a signal, and prints no traceback.

Draws of params, of raw folders and of the files of data/ are given to the stages. Each stage runs
in a fork of this process, which has loaded all libraries already, and without the rights of root.
"""

import ctypes
import os
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convlstm.forecast import command
from convlstm.params import loading
from convlstm.params.group import Group
from convlstm.plot import pictures
from convlstm.runtime import exits
from stages import launch, ranks
from tests.builders import SMALL, STAGES, SmallRun, write_params

pytestmark = pytest.mark.slow

SHARED = ("train", "evaluate")  # by ranks
MOST_SECONDS = 120
CPU_SECONDS = 20
MEMORY_BYTES = 6 * 2**30
ENDS = (signal.SIGXCPU, signal.SIGKILL)
"""The signals of a long run and of a full memory. SIGALRM would say that it hangs."""
DRAWS = settings(
    max_examples=int(os.environ.get("CONVLSTM_FUZZ_ROUNDS", "25")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)


def without_rights() -> None:
    """Let the modes of files hold for this process, though it be root's."""
    header, sets = (ctypes.c_uint32 * 2)(0x20080522), (ctypes.c_uint32 * 6)()
    ctypes.CDLL(None).capset(header, sets)


def run_stage(stage: str) -> None:
    """Do what `python -m stages.STAGE` does, with the small run's model and frames for forecast."""
    if stage == "forecast":
        model = "data/model.safetensors"
        command.run(["data/demo", "out"], prog="forecast", default_model=model)
        return
    pictures.save_comparison = lambda path, *_, **__: path.touch()  # it takes as long as all else
    main = import_module(f"stages.{stage}").main
    if stage == "check":
        exits.run(main)
        return
    group: type[Group] = getattr(import_module(f"convlstm.{stage}.params"), stage.capitalize())
    launch.start(main, group, shared=ranks.one_voice() if stage in SHARED else None)


def status_of(folder: Path, stage: str) -> tuple[int, str]:
    """Return the status with which a stage ends in a fork, negative for a signal, and its lines."""
    told = folder.with_suffix(".told")
    with told.open("wb") as file:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.chdir(folder)
                for descriptor in (1, 2):
                    os.dup2(file.fileno(), descriptor)
                sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - for all that follows
                sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115
                signal.alarm(MOST_SECONDS)
                resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
                without_rights()
                run_stage(stage)
                status = 0
            except SystemExit as end:
                status = int(end.code or 0)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
    _, state = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(state), told.read_text(errors="replace")


def check_end(folder: Path, stage: str) -> int:
    """Run a stage and check how it ends."""
    status, lines = status_of(folder, stage)
    assert "Traceback" not in lines, lines
    assert status in (0, 2, 3, 4) or -status in ENDS, (status, lines)
    assert status <= 0 or "error: " in lines
    return status


@contextmanager
def copied(small_run: SmallRun) -> Iterator[Path]:
    """Yield a copy of the small run, which may end in any state."""
    with TemporaryDirectory() as folder:
        place = Path(folder) / "a run"
        shutil.copytree(small_run.folder, place)
        yield place
        for inner, names, _ in os.walk(place):
            for name in names:
                if not Path(inner, name).is_symlink():
                    Path(inner, name).chmod(0o700)


@pytest.fixture(scope="module", autouse=True)
def loaded(small_run: SmallRun) -> None:
    """Load every library before the first fork, in which the stages must end as they should."""
    for stage in STAGES:
        import_module(f"stages.{stage}")
    for module in ("plot.figures", "evaluate.tables", "train.checkpoint", "forecast.writers"):
        import_module(f"convlstm.{module}")
    with copied(small_run) as place:
        for stage in (*STAGES, "forecast"):
            assert check_end(place, stage) == 0


def remove(path: Path) -> None:
    """Remove a file or a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    """Put something else into the place of a file."""
    remove(path)
    make(path)


def halve(path: Path) -> None:
    """Leave the first half of a file."""
    if path.is_file():
        os.truncate(path, path.stat().st_size // 2)


HARMS: dict[str, Callable[[Path], object]] = {
    "missing": remove,
    "unreadable": lambda path: path.chmod(0),
    "may only be listed": lambda path: path.chmod(0o400),
    "may not be written": lambda path: path.chmod(0o500),
    "empty": lambda path: replaced(path, Path.touch),
    "a folder": lambda path: replaced(path, Path.mkdir),
    "a loop of links": lambda path: replaced(path, lambda own: own.symlink_to(own.name)),
    "a link that leads nowhere": lambda path: replaced(path, lambda own: own.symlink_to("none")),
    "a pipe": lambda path: replaced(path, os.mkfifo),
    "a device": lambda path: replaced(path, lambda own: own.symlink_to("/dev/full")),
    "other bytes": lambda path: replaced(path, lambda own: own.write_bytes(bytes(range(256)) * 9)),
    "a line": lambda path: replaced(path, lambda own: own.write_text("lead,mse\n1,x\n")),
    "half": halve,
}
FILES = [
    *("params.yaml", "data", "data/demo", "data/demo/001", "data/demo/001/03.png"),
    *(
        "data/frames/index.h5",
        "data/patches/index.h5",
        "data/model.safetensors",
        "data/forecasts.h5",
    ),
    *("data/metrics", "data/metrics/by_lead.csv", "data/metrics/training.csv"),
    *("data/metrics/dataset.json", "data/metrics/summary.json", "data/plots", "out"),
    *(
        "data/.train.lock",
        "data/.ingest.lock",
        "data/.frames.partial",
        "data/plots/.overview.partial",
    ),
    *("data/plots/.overview.old", "data/.demo.partial", ".checkpoints", ".shards"),
]


@DRAWS
@given(
    harms=st.dictionaries(st.sampled_from(FILES), st.sampled_from(list(HARMS)), max_size=3),
    stage=st.sampled_from([*STAGES, "forecast"]),
)
def test_any_state_of_the_files_ends_a_stage_in_order(
    small_run: SmallRun, harms: dict[str, str], stage: str
) -> None:
    with copied(small_run) as place:
        for name, harm in sorted(harms.items(), reverse=True):  # what is inside first
            path = place / name
            if not os.path.lexists(path):
                path.mkdir(parents=True)
                (path / "left").touch()
            HARMS[harm](path)
        check_end(place, stage)


NAMES = st.one_of(
    st.sampled_from(["lost+found", "a", "a b", "$\\frac{$", "$x^2$", ".hidden", "x" * 255, "%s"]),
    st.binary(min_size=1, max_size=6)
    .filter(lambda name: not set(name) & {0, 47} and name not in (b".", b".."))
    .map(os.fsdecode),
    st.text(min_size=1, max_size=6).filter(lambda name: not set(name) & set("\0/.")),
)
LEAVES = st.sampled_from(["frame", "array", *HARMS])
MODES = st.sampled_from([0o700, 0o700, 0o700, 0o000, 0o400, 0o100, 0o500])
TREES = st.recursive(
    LEAVES, lambda inner: st.tuples(MODES, st.dictionaries(NAMES, inner, max_size=4)), max_leaves=9
)


def plant(path: Path, tree: object, run: Path) -> None:
    """Make a drawn tree."""
    if isinstance(tree, tuple):
        mode, inner = tree
        path.mkdir()
        for name, own in inner.items():
            suffix = "" if isinstance(own, tuple) else ".npy" if own == "array" else ".png"
            plant(path / f"{name[: 255 - len(suffix)]}{suffix}", own, run)
        path.chmod(mode)
    elif tree == "array":
        shutil.copy(run / "array.npy", path)
    else:
        shutil.copy(run / "data/demo/001/03.png", path)
        if tree != "frame":
            HARMS[str(tree)](path)


@DRAWS
@given(tree=TREES, stage=st.sampled_from(["ingest", "forecast"]))
def test_any_tree_of_raw_files_ends_a_stage_in_order(
    small_run: SmallRun, tree: object, stage: str
) -> None:
    with copied(small_run) as place:
        np.save(place / "array.npy", np.ones((5, 22, 22), np.uint8))
        try:
            plant(place / "raw", tree, place)
        except OSError:  # the file system has no such name
            return
        if not os.path.lexists(place / "raw"):  # a leaf that is nothing
            return
        shutil.rmtree(place / "data/demo")
        (place / "raw").rename(place / "data/demo")
        check_end(place, stage)


SCALARS = st.one_of(
    st.sampled_from(
        [
            *("2023-02-30", "!!int abc", "!!int ''", "!!bool abc", "!!float abc", "!!binary abc"),
            *("!!timestamp abc", "!!set {a, b}", "!!omap [a: 1]", "*unknown", "&a [*a]", "&a [1]"),
            *("9" * 4000, "9" * 5000, "0x" + "f" * 5000, "[" * 5000, "{a: " * 5000, "1:" * 99),
            *("1e300", "1e-300", "1e30", "-0.0", ".inf", ".nan", str(10**18), str(10**12)),
            *('"\\0"', '"\\ud800"', '"a\\nb"', "x" * 300, "''", "[]", "{}", "null", "true"),
            *("'%Y%Y'", "'%'", "[1, 2]", "[[1, 2], [3, 4]]", "[1e300]", "[100000]", "[a]", "/"),
        ]
    ),
    st.integers(-5, 300).map(str),
    st.floats(0, 2).map(repr),
    st.text(st.characters(codec="utf-8"), max_size=12),
)


@DRAWS
@given(data=st.data(), stage=st.sampled_from(["check", *STAGES, "forecast"]))
def test_any_params_end_a_stage_in_order(
    small_run: SmallRun, data: st.DataObject, stage: str
) -> None:
    with copied(small_run) as place:
        keys = [*loading.read(place / "params.yaml"), "another_key"]
        chosen = data.draw(st.dictionaries(st.sampled_from(keys), SCALARS, min_size=1, max_size=2))
        write_params(place, **SMALL | dict.fromkeys(chosen))  # a line for each, with no value
        text = (place / "params.yaml").read_text(encoding="utf-8")
        for key, value in chosen.items():
            text = text.replace(f"\n{key}:\n", f"\n{key}: {value}\n")
        (place / "params.yaml").write_text(text, encoding="utf-8")
        check_end(place, stage)
