"""data/frames/ -> data/patches/, data/metrics/dataset.json: checked frames, split into windows.

It reads all new frames once, on all cores or on a cluster, with 60 MB of memory for each, and needs
little disk: two counts per patch. What an earlier run has counted is taken from `.shards/`. It runs
as `python -m stages.patch`.
"""

import os
from pathlib import Path

from convlstm.patch import building
from convlstm.patch.params import Patch
from convlstm.runtime import console, files, locks
from stages.launch import start
from stages.progress import bar

FRAMES, PATCHES = Path("data/frames"), Path("data/patches")
DATASET, SUMS = Path("data/metrics/dataset.json"), Path("data/metrics/patch.sha256")
SHARDS = Path(os.environ.get("DVC_ROOT", ""), ".shards/patches")


def main(params: Patch) -> None:
    """Build the patches, and say what was read and made."""
    # The cache is shared by the workspace, `--temp` and the queue.
    with (
        locks.awaited(SHARDS.with_suffix(".lock"), say),
        files.replacing_folder(PATCHES) as folder,
        bar("patch", None, "sequences") as progress,
    ):
        dataset = building.build(FRAMES, folder, params, SHARDS, progress.update)
    for line in dataset.lines():
        say(line)
    files.write_json(DATASET, dataset.content())
    files.write_sums(SUMS, [DATASET])


def say(line: str) -> None:
    """Print a line of this stage."""
    console.say(f"patch: {line}")


if __name__ == "__main__":
    start(main, Patch)
