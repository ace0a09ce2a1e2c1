"""data/patches/, data/frames/ -> data/model.safetensors, data/metrics/training.csv.

The shipped network takes four minutes on two CPU cores, less on a GPU, and 1 GB of memory; it runs
as `python -m stages.train`, in a process for each GPU.
"""

from functools import partial
from pathlib import Path

from convlstm.storage import patches
from convlstm.train.params import Train
from stages import ranks, training
from stages.launch import start
from stages.spread import spread

PATCHES, FRAMES = Path("data/patches"), Path("data/frames")


def main(params: Train) -> None:
    """Train in this process, or in one for each GPU that is free."""
    own = ranks.place()
    with patches.opened(PATCHES, FRAMES) as stored:
        if own:
            ranks.check(params.batch_size, own.count)
        wanted = partial(ranks.wanted, params.batch_size)
        spread("train", wanted, partial(training.run, stored, params))


if __name__ == "__main__":
    start(main, Train, shared=ranks.one_voice())
