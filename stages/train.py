"""data/patches.h5 -> data/model.safetensors, data/metrics/training.csv."""

import os
from pathlib import Path

from tqdm import tqdm

from convlstm.params.groups import Train
from convlstm.runtime import files, locks, signals
from convlstm.storage import hdf5
from stages import setting, start

PATCHES = Path("data/patches.h5")
MODEL, TRAINING = Path("data/model.safetensors"), Path("data/metrics/training.csv")
CHECKPOINTS = Path(os.environ.get("DVC_ROOT", ""), ".checkpoints")
"""Outside the outs, which DVC deletes; the same for the workspace, `--temp` and the queue."""


def main(params: Train) -> None:
    """Train, from the last checkpoint if this very run was stopped; a row of the CSV an epoch."""
    every_minutes = setting("CONVLSTM_CHECKPOINT_MINUTES", 5.0)
    with hdf5.reading(PATCHES) as file:
        # here and not above: torch takes seconds to import, and no mistake should wait for it
        from convlstm.model import model_file
        from convlstm.model.batches import Batches
        from convlstm.model.device import default_device
        from convlstm.train import checkpoint, loop

        learner = loop.Training(Batches(file, repeated=True), params, default_device())
        saved = checkpoint.Checkpoints(CHECKPOINTS, learner.facts(), every_minutes)
        with signals.held() as stop, locks.locked(saved.lock):
            state, notes = saved.newest()
            if state is not None:
                learner.restore(state)
            for note in notes:
                print(f"train: {note}", flush=True)
            with tqdm(
                desc=f"train on {learner.device} in {learner.precision}",
                initial=learner.iteration,
                total=learner.iterations,
                unit=" batches",
            ) as bar:

                def after_step(mse: float) -> None:
                    number = len(learner.finished) + 1
                    bar.set_postfix(epoch=number, mse=f"{mse:.4g}", refresh=False)
                    bar.update()
                    if saved.due() or stop.asked:
                        saved.save(learner.iteration, learner.state())
                    stop.check()

                for _ in learner.epochs(after_step):
                    files.write_csv(TRAINING, [epoch.row() for epoch in learner.finished])
            model_file.save(MODEL, learner.model)
            stop.check()  # with the checkpoint, or all would be trained again
            saved.clear()


if __name__ == "__main__":
    start(main, Train)
