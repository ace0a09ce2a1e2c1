"""One process of a training: alone, or one of the ranks, of which the first writes what is kept."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from convlstm.runtime import console, files, locks, signals
from convlstm.storage.patches import Patches
from convlstm.train.params import Train
from stages import devices
from stages.launch import alone, environment_number
from stages.ranks import Place
from stages.spread import CHECKPOINTS, is_copy

if TYPE_CHECKING:
    from convlstm.train.checkpoint import Checkpoints
    from convlstm.train.loop import Training

MODEL = Path("data/model.safetensors")
TRAINING, SUMS = Path("data/metrics/training.csv"), Path("data/metrics/train.sha256")


def run(stored: Patches, params: Train, place: Place) -> None:
    """Train as one of the ranks; the first goes on from a checkpoint, and writes all that is kept.

    The lock of the stage guards its outputs; that of the checkpoints guards the run, which the
    workspace shares with `--temp` and the queue: who comes second takes the first one's end.
    """
    every_minutes = environment_number("CONVLSTM_CHECKPOINT_MINUTES", 5.0)
    from convlstm.model.batches import Batches
    from convlstm.model.device import default_device
    from convlstm.model.ranks import joined
    from convlstm.train.checkpoint import Checkpoints
    from convlstm.train.loop import Training

    with (
        nullcontext() if place.number else alone(Train),
        joined(place.number, place.count) as own,
    ):
        batches = Batches(stored, repeated=True)
        training = Training(batches, params, default_device(place.local), own)
        training.on_note = say
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

    if not training.iteration and is_copy():
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
    model_file.save(MODEL, training.model)
    files.write_sums(SUMS, [TRAINING])
    stop.check()  # before the checkpoints go, or all would be trained again
    checkpoints.end(training)


def say(line: str) -> None:
    """Print a line of this stage."""
    console.say(f"train: {line}")
