"""Kill one stage at random moments and print as JSON what came of it.

Usage: python kill_stage.py STAGE KILLS OUT ..., in the folder that holds params.yaml and data/.

The libraries are loaded once; each try runs in a fork of this process, so that most kills fall into
the stage's own work and not into imports. Before each try the outs are removed, as DVC does.
"""

import hashlib
import importlib
import json
import os
import random
import runpy
import shutil
import signal
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
LIBRARIES = {
    "check": ("stages.check",),
    "demo": ("convlstm.demo.rain", "convlstm.ingest.images"),
    "ingest": ("convlstm.ingest.decoding", "convlstm.storage.hdf5"),
    "patch": ("convlstm.patch.building",),
    "train": ("convlstm.train.loop", "convlstm.train.checkpoint", "torch._dynamo"),
    "evaluate": (
        "convlstm.evaluate.scoring",
        "convlstm.evaluate.selection",
        "convlstm.evaluate.tables",
        "skimage.metrics",
    ),
    "plot": ("convlstm.plot.figures", "convlstm.plot.pictures", "convlstm.plot.page"),
}
stage, kills, outs = sys.argv[1], int(sys.argv[2]), [Path(name) for name in sys.argv[3:]]


def forked() -> int:
    """Start the stage in a process of its own; returns its number."""
    child = os.fork()
    if child == 0:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        try:
            runpy.run_module(f"stages.{stage}", run_name="__main__")
        except BaseException:
            os._exit(1)
        os._exit(0)
    return child


def digest(path: Path) -> str:
    """Return a digest of a file, or of a folder with all names in it; empty if there is none."""
    if not path.exists():
        return ""
    files = sorted(inner for inner in path.rglob("*") if inner.is_file()) or [path]
    seen = hashlib.sha256()
    for file in files:
        seen.update(str(file).encode() + file.read_bytes())
    return seen.hexdigest()


def clear() -> None:
    """Remove the outs."""
    for path in outs:
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)


def leftovers() -> list[str]:
    """Return the temporary files, locks and checkpoints that are there."""
    hidden = (path for path in Path("data").rglob(".*") if path.name != ".gitignore")
    return [str(path) for path in [*hidden, *Path(".checkpoints").glob("*")]]


for library in LIBRARIES[stage]:
    importlib.import_module(library)
clear()
began = time.monotonic()
assert os.waitstatus_to_exitcode(os.waitpid(forked(), 0)[1]) == 0
lasts = time.monotonic() - began
expected = {path: digest(path) for path in outs}
assert all(expected.values())
found = {"killed": 0, "partial": 0, "different": 0, "leftovers": 0, "resumed": 0}
chance = random.Random(0)
while found["killed"] < kills:
    clear()
    child = forked()
    time.sleep(chance.uniform(0, lasts))
    os.kill(child, signal.SIGKILL)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        continue  # it came too late
    found["killed"] += 1
    if stage != "train":  # whose table grows with the epochs
        found["partial"] += sum(digest(path) not in ("", expected[path]) for path in outs)
    found["resumed"] += any(Path(".checkpoints").glob("*/[0-9]*.pt"))
    assert os.waitstatus_to_exitcode(os.waitpid(forked(), 0)[1]) == 0
    found["different"] += sum(digest(path) != expected[path] for path in outs)
    found["leftovers"] += len(leftovers())
print(json.dumps(found))
