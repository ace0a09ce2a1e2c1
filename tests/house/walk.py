"""The way of a frame through the house, from raw file to picture: `python -m tests.house.walk`.

It runs the pipeline on a small demo and notes, stage by stage, the modules of the package whose
functions are given or return a frame (an array of at least three axes), in the order in which the
frame first enters them, and how many modules the stage loads. The readout, which a newcomer may
take as one box at first, is counted apart. A branch of the way leads to the tables: the scores and
the baselines, with what they alone call.
"""

import json
import runpy
import subprocess
import sys
import tempfile
import threading
from dataclasses import is_dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tests.builders import ROOT, SMALL, STAGES, run_stage, write_params

ON_THE_WAY = ("ingest", "patch", "evaluate", "plot")
"""The stages between a raw file and its picture; train learns from frames and passes none on."""
TO_TABLES = (
    "scores.",
    "sums.",
    *(f"evaluate.{name}" for name in ("baselines", "matching", "totals")),
)
TO_TABLES += ("evaluate.tables",)
READOUT = tuple(f"model.{name}" for name in ("basis", "motion", "grids", "cascade", "noise"))
FRAME_AXES = 3


def holds_a_frame(value: Any) -> bool:
    """Whether a value is an array of channels, rows and columns, or a collection of such."""
    if isinstance(value, tuple | list):
        return any(map(holds_a_frame, value))
    if is_dataclass(value) and not isinstance(value, type):
        return any(map(holds_a_frame, getattr(value, "__dict__", {}).values()))
    axes = getattr(value, "ndim", None)
    return isinstance(axes, int) and axes >= FRAME_AXES


def module_of(code: CodeType) -> str | None:
    """Return the module of the package that some code stands in, as room.module."""
    path = Path(code.co_filename)
    if not path.is_relative_to(ROOT / "convlstm"):
        return None
    return ".".join(path.relative_to(ROOT / "convlstm").with_suffix("").parts)


def on_the_branch(frame: FrameType | None) -> bool:
    """Whether some code stands in a module of `TO_TABLES`, or was called from one."""
    while frame is not None:
        if (module_of(frame.f_code) or "").startswith(TO_TABLES):
            return True
        frame = frame.f_back
    return False


def walk_stage(stage: str) -> None:
    """Run a stage in this interpreter and print the modules that a frame enters, as JSON."""
    entered: dict[str, bool] = {}  # whether on the branch only, so far
    names: dict[CodeType, str | None] = {}  # most calls are of others' code: look at a path once

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if code not in names:
            names[code] = module_of(code)
        name = names[code]
        if name is None or not entered.get(name, True) or event not in ("call", "return"):
            return
        if any(map(holds_a_frame, (*frame.f_locals.values(), argument))):
            branch = on_the_branch(frame)
            if name not in entered or not branch:
                entered[name] = branch

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        runpy.run_module(f"stages.{stage}", run_name="__main__")
    finally:
        sys.setprofile(None)
    loaded = [name for name in sys.modules if name.startswith("convlstm.") and name.count(".") == 2]
    branch = [name for name, alone in entered.items() if alone]
    print(json.dumps({"entered": list(entered), "branch": branch, "loaded": len(loaded)}))


def walk(folder: Path) -> dict[str, dict[str, Any]]:
    """Run the pipeline in `folder` and return, for each stage on the way, where a frame went."""
    write_params(folder, **SMALL)
    ways = {}
    for stage in STAGES:
        watched = stage in ON_THE_WAY
        command = ("-m", "tests.house.walk", stage) if watched else ("-m", f"stages.{stage}")
        done = run_stage(folder, *command)
        if done.returncode != 0:
            raise subprocess.CalledProcessError(done.returncode, stage, stderr=done.stderr)
        if watched:
            ways[stage] = json.loads(done.stdout.splitlines()[-1])
    return ways


def table(ways: dict[str, dict[str, Any]]) -> str:
    """Return the walk as the Markdown table that stands in docs/architecture.md."""
    lines = [
        "| stage | loads | a frame passes | in the readout | and, to the tables |",
        "|---|---|---|---|---|",
    ]
    seen: set[str] = set()
    for stage, way in ways.items():
        branch = way["branch"]
        whole = [name for name in way["entered"] if name not in branch]
        readout = [name for name in whole if name in READOUT]
        main = [name for name in whole if name not in READOUT]
        seen |= set(whole)
        columns = (", ".join(names) for names in (main, readout, branch))
        lines.append(f"| {stage} | {way['loaded']} modules | {' | '.join(columns)} |")
    own = len(seen & set(READOUT))
    count = f"From raw file to picture: {len(seen) - own} modules, and {own} of the readout."
    return "\n".join([*lines, f"\n{count}"])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        walk_stage(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as temporary:
            print(table(walk(Path(temporary))))
