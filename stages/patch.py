"""data/frames.h5 -> data/patches.h5: frames checked, counted, and split into windows.

It reads and writes at the speed of the disk with 32 MB in memory, and needs as much disk as
frames.h5 and two counts per patch; it runs as `python -m stages.patch`.
"""

import sys
from pathlib import Path

from tqdm import tqdm

from convlstm.patch import building, overlaps
from convlstm.patch.params import Patch
from convlstm.storage import frames, hdf5
from stages.launch import start

FRAMES, PATCHES = Path("data/frames.h5"), Path("data/patches.h5")


def main(params: Patch) -> None:
    """Build the patches, and say how many windows each split has, and what it has lost."""
    with hdf5.open_complete(FRAMES) as source, hdf5.create(PATCHES) as target:
        total = len(frames.sequences(source))
        with tqdm(building.build(source, target, params), "patch", total, unit=" sequences") as bar:
            for windows in bar:
                bar.set_postfix(windows, refresh=False)
        lost = overlaps.line(hdf5.description(target)["left_out"])
    if lost:
        print(f"patch: {lost}", file=sys.stderr)


if __name__ == "__main__":
    start(main, Patch)
