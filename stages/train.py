"""data/patches/, data/frames/ -> data/model.safetensors, data/metrics/training.csv.

The shipped network takes four minutes on two CPU cores, less on a GPU, and 1 GB of memory; it runs
as `python -m stages.train`, in a process for each GPU. Checkpoints lie outside the outputs, which
DVC deletes before a stage runs; DVC_ROOT is the same for the workspace, `--temp` and the queue.
"""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from convlstm.runtime import console, files, locks, signals
from convlstm.runtime.errors import BadInput
from convlstm.storage import patches
from convlstm.train.params import Train
from stages import devices, ranks
from stages.launch import alone, environment_number, start

if TYPE_CHECKING:
    from convlstm.train.checkpoint import Checkpoints
    from convlstm.train.loop import Training

PATCHES, FRAMES = Path("data/patches"), Path("data/frames")
MODEL = Path("data/model.safetensors")
TRAINING, SUMS = Path("data/metrics/training.csv"), Path("data/metrics/train.sha256")
CHECKPOINTS = Path(os.environ.get("DVC_ROOT", ""), ".checkpoints")


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
            train(stored, params, place)
            return
        visible = devices.names(gpus())
        most = ranks.wanted(params.batch_size, 1 if _is_copy() else len(visible))
        with devices.taken(visible, CHECKPOINTS, most, say) as own:
            count = ranks.wanted(params.batch_size, len(own))
            if own and count > len(own):
                raise BadInput(f"CONVLSTM_RANKS = {count}: of the GPUs {len(own)} are free")
            if own:
                os.environ[devices.VISIBLE] = ",".join(own[:count])
            if count == 1:
                train(stored, params, ranks.ALONE)
            else:
                say(f"starts {count} ranks")
                launch(count, "stages.train")


def train(stored: patches.Patches, params: Train, place: ranks.Place) -> None:
    """Train as one of the ranks; the first goes on from a checkpoint, and writes all that is kept.

    The lock of the stage guards its outputs; that of the checkpoints guards the run, which the
    workspace shares with `--temp` and the queue: who comes second takes the first one's end.
    """
    every_minutes = environment_number("CONVLSTM_CHECKPOINT_MINUTES", 5.0)
    from convlstm.model.batches import Batches
    from convlstm.model.device import default_device
    from convlstm.train.checkpoint import Checkpoints
    from convlstm.train.loop import Training
    from convlstm.train.ranks import joined

    with (
        nullcontext() if place.number else alone(Train),
        joined(place.number, place.count) as own,
    ):
        batches = Batches(stored, repeated=True)
        training = Training(batches, params, default_device(place.local), own)
        checkpoints = Checkpoints(CHECKPOINTS, training.identity(), every_minutes)
        guard = locks.awaited(checkpoints.lock, say)
        with own.after_first(guard), signals.deferred() as stop:
            for note in checkpoints.resume(training.restore) if own.first else ():
                say(note)
            if own.first:
                _share_cores(training, checkpoints.lock)
            training.follow_first()
            if own.first:
                _write(training, checkpoints, stop)
            else:
                for _ in checkpoints.epochs(training, stop, lambda _: None):
                    pass


def _share_cores(training: "Training", lock: Path) -> None:
    """Take a part of the cores in a run of the queue or `--temp` beside others.

    It is decided when a run begins, and kept in its checkpoints, because another number of threads
    changes last digits.
    """
    from convlstm.model.device import use_threads

    if not training.iteration and _is_copy():
        training.others = devices.others(CHECKPOINTS, lock)
    if (share := devices.share_of_cores(training.others)) and training.device.type == "cpu":
        use_threads(share)
        say(f"takes threads for {share} cores, because it began beside other trainings")


def _write(training: "Training", checkpoints: "Checkpoints", stop: signals.StopRequest) -> None:
    """Train, show how it goes, and write the outputs."""
    from convlstm.model import model_file
    from stages import following

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


def _is_copy() -> bool:
    """Whether this is a run of the queue or `--temp`, beside which others may run."""
    return Path(os.environ.get("DVC_ROOT", "")).resolve() != Path.cwd().resolve()


def say(line: str) -> None:
    """Print a line of this stage."""
    console.say(f"train: {line}")


if __name__ == "__main__":
    start(main, Train, shared=ranks.one_voice())
