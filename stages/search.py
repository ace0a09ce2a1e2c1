"""A search for good params: `python -m stages.search KEY=LOW:HIGH KEY=A|B ... [--trials 20]`.

Each trial is a DVC experiment, whose params Optuna draws from a range, or from values between bars,
and whose score is the best validation CRPS of its run, never a test score. Its name has a hash of
the words, so that searches do not meet: search-1a2b-0. The same command goes on where an earlier
one stopped. At the end the best experiment stays, and the others of this search go. It needs
Optuna, the extra `search`, and is no stage of the pipeline.
"""

import argparse
import subprocess
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from convlstm.runtime import console, exits
from convlstm.runtime.errors import BadInput

TRAINING, JOURNAL = "data/metrics/training.csv", Path(".checkpoints/search.log")
DIGITS = 4  # of the hash by which searches differ
WIDE = 10  # a range whose ends have a larger ratio is drawn from evenly in the logarithm


def main(asked: argparse.Namespace) -> None:
    """Run trials until as many as asked for have ended, and keep the best one.

    Raises:
        BadInput: none of them has a score.
    """
    spaces = dict(map(space, asked.spaces))
    about = " ".join(sorted(asked.spaces))
    study, name = study_of(about), name_of(about)
    while sum(trial.state.is_finished() for trial in study.trials) < asked.trials:
        trial = study.ask()
        words = [f"{key}={drawn(trial, key, own)}" for key, own in spaces.items()]
        score = validation_crps(f"{name}-{trial.number}", words)
        study.tell(trial, score, skip_if_finished=True)
        console.say(f"search: {name}-{trial.number}, {' '.join(words)}: {score}")
    if not any(trial.value is not None for trial in study.trials):
        raise BadInput("search: no trial has a score; what stopped them stands above")
    best = f"{name}-{study.best_trial.number}"
    others = {f"{name}-{trial.number}" for trial in study.trials} - {best}
    for other in others:  # one at a time, because those that failed are no experiments
        subprocess.run(["dvc", "exp", "remove", "--quiet", other], check=False, capture_output=True)
    console.say(f"search: the best is {best}; `dvc exp apply {best}` brings it here")


def name_of(spaces: str) -> str:
    """Return the beginning of the names of the experiments of a search, which no other one has."""
    return f"search-{sha256(spaces.encode()).hexdigest()[:DIGITS]}"


def study_of(name: str) -> Any:
    """Return the study of this name, with the trials of earlier runs.

    Raises:
        BadInput: Optuna is not installed.
    """
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        raise BadInput("no optuna here; `python -m pip install optuna`, the extra search") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    JOURNAL.parent.mkdir(exist_ok=True)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(JOURNAL)))
    return optuna.create_study(storage=storage, study_name=name, load_if_exists=True)


def space(text: str) -> tuple[str, tuple[float, float] | list[str]]:
    """Return the key, and the range or the values, that a word of the command line names.

    Raises:
        BadInput: it names none.
    """
    key, _, values = text.partition("=")
    if "|" in values:
        return key, values.split("|")
    try:
        low, high = map(float, values.split(":"))
    except ValueError:
        raise BadInput(f"{text}: give KEY=LOW:HIGH, or KEY=A|B|C") from None
    if not low < high:
        raise BadInput(f"{text}: the first number must be the smaller one")
    return key, (low, high)


def drawn(trial: Any, key: str, own: tuple[float, float] | list[str]) -> object:
    """Return what the trial takes of a space."""
    if isinstance(own, list):
        return trial.suggest_categorical(key, own)
    return trial.suggest_float(key, *own, log=own[0] > 0 and own[1] > WIDE * own[0])


def validation_crps(name: str, words: list[str]) -> float | None:
    """Run an experiment, and return the best validation CRPS of its training; None if it failed."""
    import pandas as pd
    from dvc.api import DVCFileSystem

    sets = [part for word in words for part in ("-S", word)]
    done = subprocess.run(["dvc", "exp", "run", "--temp", "--name", name, *sets], check=False)
    if done.returncode:
        return None
    return float(pd.read_csv(DVCFileSystem(rev=name).open(TRAINING))["valid_crps"].min())


if __name__ == "__main__":
    about, *_ = (__doc__ or "").split("\n\n")
    parser = argparse.ArgumentParser("python -m stages.search", description=about)
    parser.add_argument("spaces", nargs="+", metavar="KEY=LOW:HIGH|KEY=A|B")
    parser.add_argument("--trials", type=int, default=20)
    exits.run(partial(main, parser.parse_args()))
