"""data/patches/, data/frames/ -> data/model.safetensors, data/metrics/training.csv.

The shipped network takes four minutes on two CPU cores, less on a GPU, and 1 GB of memory; it runs
as `python -m stages.train`. Checkpoints lie outside the outputs, which DVC deletes before a stage
runs; DVC_ROOT is the same for the workspace, `--temp` and the queue.
"""

import os
from pathlib import Path

from convlstm.runtime import console, files, locks, signals
from convlstm.storage import patches
from convlstm.train.params import Train
from stages.launch import environment_number, start

PATCHES, FRAMES = Path("data/patches"), Path("data/frames")
MODEL = Path("data/model.safetensors")
TRAINING, SUMS = Path("data/metrics/training.csv"), Path("data/metrics/train.sha256")
CHECKPOINTS = Path(os.environ.get("DVC_ROOT", ""), ".checkpoints")


def main(params: Train) -> None:
    """Train, from the last checkpoint if this very run was stopped, and save the best model."""
    every_minutes = environment_number("CONVLSTM_CHECKPOINT_MINUTES", 5.0)
    with patches.opened(PATCHES, FRAMES) as stored:
        # Imported here, because torch takes seconds and no mistake should wait for it.
        from convlstm.model import model_file
        from convlstm.model.batches import Batches
        from convlstm.model.device import default_device
        from convlstm.train.checkpoint import Checkpoints
        from convlstm.train.loop import Training
        from stages import following

        training = Training(Batches(stored, repeated=True), params, default_device())
        checkpoints = Checkpoints(CHECKPOINTS, training.identity(), every_minutes)
        # The lock of the stage guards its outputs; this one guards the run, whose checkpoints the
        # workspace shares with `--temp` and the queue: who comes second takes the first one's end.
        with locks.awaited(checkpoints.lock, say), signals.deferred() as stop:
            for note in checkpoints.resume(training.restore):
                say(note)
            page = following.Page(training, checkpoints.folder, say)
            say(f"{page.path} shows the curves and a forecast after each epoch")
            with following.progress(training) as show:
                for _ in checkpoints.epochs(training, stop, show):
                    files.write_csv(TRAINING, following.table(training))
                    page.update()
            files.write_csv(TRAINING, following.table(training))  # also of a run that had ended
            files.write_sums(SUMS, [TRAINING])
            model_file.save(MODEL, training.model)
            stop.check()  # before the checkpoints go, or all would be trained again
            checkpoints.end(training)


def say(line: str) -> None:
    """Print a line of this stage."""
    console.say(f"train: {line}")


if __name__ == "__main__":
    start(main, Train)
