"""data/model.safetensors, data/patches/, data/frames/ -> data/metrics/, data/forecasts.h5.

It takes a second of CPU time per test window of 140 x 140 pixels, in constant memory, or a GPU; it
runs as `python -m stages.evaluate`, in a process for each GPU.
"""

from functools import partial
from pathlib import Path

from convlstm.evaluate.params import TEST_BATCH, Evaluate
from convlstm.storage import patches
from stages import evaluation, ranks
from stages.launch import start
from stages.spread import spread

PATCHES, FRAMES = Path("data/patches"), Path("data/frames")


def main(params: Evaluate) -> None:
    """Score the model and the baselines, in this process or in one for each GPU that is free."""
    with patches.opened(PATCHES, FRAMES) as stored:
        parts = -(-len(stored.windows["test"]) // TEST_BATCH)
        wanted = partial(ranks.wanted_of, parts)
        spread("evaluate", wanted, partial(evaluation.run, stored, params))


if __name__ == "__main__":
    start(main, Evaluate, shared=ranks.one_voice())
