"""data/frames.h5 -> data/patches.h5: checked, cut, folded, and split into windows."""

from pathlib import Path

from tqdm import tqdm

from convlstm.params.groups import Patch
from convlstm.patch import building
from convlstm.storage import hdf5, store
from stages import start

FRAMES, PATCHES = Path("data/frames.h5"), Path("data/patches.h5")


def main(params: Patch) -> None:
    """Build the dataset, and say how many windows each split has."""
    with hdf5.reading(FRAMES) as source, hdf5.create(PATCHES) as target:
        total = len(store.sequences(source))
        with tqdm(building.build(source, target, params), "patch", total, unit=" sequences") as bar:
            for windows in bar:
                bar.set_postfix(windows, refresh=False)


if __name__ == "__main__":
    start(main, Patch)
