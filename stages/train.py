"""data/patches/, data/frames/ -> data/model.safetensors, data/metrics/training.csv.

The shipped network takes four minutes on two CPU cores, less on a GPU, and 1 GB of memory; it runs
as `python -m stages.train`, in a process for each GPU.
"""

import os
from pathlib import Path

from convlstm.runtime.errors import BadInput
from convlstm.storage import patches
from convlstm.train.params import Train
from stages import devices, ranks, training
from stages.launch import start

PATCHES, FRAMES = Path("data/patches"), Path("data/frames")


def main(params: Train) -> None:
    """Train in this process, or in one for each GPU that is free."""
    place = ranks.place()
    with patches.opened(PATCHES, FRAMES) as stored:
        if place:
            ranks.check(params.batch_size, place.count)
        # Imported here, because torch takes seconds and no mistake should wait for it. All ranks
        # do so, because the modules that are loaded decide on the key of a run.
        from convlstm.model.device import gpus
        from convlstm.train.launching import launch

        if place:
            training.run(stored, params, place)
            return
        visible = devices.names(gpus())
        most = ranks.wanted(params.batch_size, 1 if training.is_copy() else len(visible))
        with devices.taken(visible, training.CHECKPOINTS, most, training.say) as own:
            count = ranks.wanted(params.batch_size, len(own))
            if own and count > len(own):
                raise BadInput(f"CONVLSTM_RANKS = {count}: of the GPUs {len(own)} are free")
            if own:
                os.environ[devices.VISIBLE] = ",".join(own[:count])
            if count == 1:
                training.run(stored, params, ranks.ALONE)
            else:
                training.say(f"starts {count} ranks")
                launch(count, "stages.train")


if __name__ == "__main__":
    start(main, Train, shared=ranks.one_voice())
