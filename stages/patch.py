"""data/frames.h5 -> data/patches.h5, data/metrics/dataset.json: checked frames, split into windows.

It reads all frames once, with 60 MB in memory, and needs little disk: two counts per patch; it runs
as `python -m stages.patch`.
"""

from pathlib import Path

from convlstm.patch import building
from convlstm.patch.params import Patch
from convlstm.runtime import console, files
from convlstm.storage import frames, hdf5
from stages.launch import start
from stages.progress import bar

FRAMES, PATCHES = Path("data/frames.h5"), Path("data/patches.h5")
DATASET, SUMS = Path("data/metrics/dataset.json"), Path("data/metrics/patch.sha256")


def main(params: Patch) -> None:
    """Build the patches, and say what was read and made."""
    with hdf5.open_complete(FRAMES) as source, hdf5.create(PATCHES) as target:
        total = len(frames.sequences(source))
        with bar("patch", total, "sequences") as progress:
            for dataset in building.build(source, target, params):
                progress.set_postfix(dataset.windows, refresh=False)
                progress.update()
    console.say(*(f"patch: {line}" for line in dataset.lines()))
    files.write_json(DATASET, dataset.content())
    files.write_sums(SUMS, [DATASET])


if __name__ == "__main__":
    start(main, Patch)
