"""A run that is stopped anywhere continues as if it had not been; no other run is continued."""

import errno
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch

from convlstm.model.batches import Batches
from convlstm.runtime.locks import locked
from convlstm.train.checkpoint import KEPT, Checkpoints, key_of
from convlstm.train.loop import Training
from convlstm.train.params import Train
from tests.builders import REPORT, params_of

CPU = torch.device("cpu")
CHANGES: dict[str, Any] = REPORT | {"hidden_channels": (3,), "epochs": 3, "batch_size": 5}
STEPS: dict[str, Any] = {"epochs": None, "steps": 8}
MINUTES: dict[str, Any] = {"epochs": None, "minutes": 10.5 / 60}
RANDOM: dict[str, Any] = {"random_windows": True, "augment": "turns"}


class Halt(Exception):
    """The process ends here."""


class Ticking:
    """A clock that is a second later each time that it is read, so that a run can be repeated."""

    def __init__(self) -> None:
        self.now = 0

    def monotonic(self) -> float:
        """Return the time in seconds."""
        self.now += 1
        return float(self.now)


def new(batches: Batches, **changes: object) -> Training:
    return Training(batches, params_of(Train, **CHANGES | changes), CPU)


def finish(learner: Training, *, halt_at: int | None = None) -> Training:
    """Train to the end, or until an iteration."""

    def on_step(_: float) -> None:
        if learner.iteration == halt_at:
            raise Halt

    for _ in learner.epochs(on_step):
        pass
    return learner


def weights(learner: Training) -> dict[str, list[float]]:
    return {
        name: weight.flatten().tolist()
        for name, weight in learner.model.network.state_dict().items()
    }


def never(state: dict[str, Any]) -> None:
    """Restore nothing, because nothing is to be restored."""
    pytest.fail(f"restored {state}")


def checkpoints(folder: Path, learner: Training) -> Checkpoints:
    return Checkpoints(folder, learner.identity(), every_minutes=0.0)


def halted(folder: Path, batches: Batches, at: int, **changes: object) -> Checkpoints:
    """The checkpoints of a run that saved after each of its last steps and was killed."""
    learner = new(batches, **changes)
    saved = checkpoints(folder, learner)
    with pytest.raises(Halt):
        finish(learner, halt_at=at - 1)
    saved.save(learner.iteration, learner.state())
    with pytest.raises(Halt):
        finish(learner, halt_at=at)
    saved.save(learner.iteration, learner.state())
    return saved


@pytest.mark.parametrize(
    ("at", "changes"),  # a step before, at and after an epoch's end, and the last of all
    [
        (2, {"sampling": "inverse_sigmoid", "lr_schedule": "onecycle"}),
        (3, {"sampling": "reverse", "lr_schedule": "step", "cell": "peephole"}),
        (4, {"sampling": "exponential", "lr_schedule": "cosine", "cell": "lstm"}),
        (9, {"sampling": "linear", "lr_schedule": "exponential", "cell": "peephole"}),
        (4, {"readout": "motion", "loss": "mae", "average_decay": 0.9}),
        (5, {"readout": "cascade", "loss": "crps", "members": 2, "average_decay": 0.9}),
        (4, {"patience": 1, "lr": 0.3, "lr_schedule": "constant"}),
        (4, RANDOM | {"cell": "peephole"}),
        (5, STEPS | {"sampling": "linear"}),
        (8, STEPS | RANDOM),  # after the last step, before the validation
        (2, MINUTES | RANDOM | {"sampling": "linear"}),
        (7, MINUTES | {"lr_schedule": "step"}),
        (9, MINUTES),
    ],
)
def test_a_halted_run_ends_with_the_weights_and_rows_of_one_that_was_not(
    batches: Batches,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    changes: dict[str, object],
) -> None:
    monkeypatch.setattr("convlstm.train.budget.time", Ticking())
    straight = finish(new(batches, **changes))
    assert straight.steps_per_epoch == 3
    saved = halted(tmp_path, batches, at, **changes)
    resumed = new(batches, **changes)
    notes = saved.resume(resumed.restore)
    assert notes == [f"continues after batch {at}, from {saved.folder / f'{at:09d}.pt'}"]
    finish(resumed)
    assert resumed.iteration == straight.iteration
    assert resumed.budget.seconds == straight.budget.seconds
    assert weights(resumed) == weights(straight)
    assert [epoch.row() for epoch in resumed.finished] == [e.row() for e in straight.finished]


def test_only_the_last_two_are_kept_and_none_of_a_finished_run(
    batches: Batches, tmp_path: Path
) -> None:
    saved = halted(tmp_path, batches, 4)
    for iteration in (5, 6):
        saved.save(iteration, {})
    assert len(list(saved.folder.iterdir())) == KEPT == 2
    saved.end(new(batches))
    assert saved.resume(never) == []
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_awaited_leaves_its_end_to_the_one_that_waits(
    batches: Batches, tmp_path: Path
) -> None:
    first = finish(new(batches))
    saved = checkpoints(tmp_path, first)
    waits = saved.lock.with_suffix(".here-1.waits")
    with locked(waits):
        saved.end(first)
    second = new(batches)
    at = second.steps_per_epoch * 3
    notes = saved.resume(second.restore)
    assert notes == [f"continues after batch {at}, from {saved.folder / f'{at:09d}.pt'}"]
    steps: list[float] = []
    assert list(second.epochs(steps.append)) == []
    assert steps == []
    assert weights(second) == weights(first)
    assert [epoch.row() for epoch in second.finished] == [epoch.row() for epoch in first.finished]
    saved.end(second)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_awaited_ends_well_on_a_full_disk(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = halted(tmp_path, batches, 4)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Path, "write_bytes", full)
    with locked(saved.lock.with_suffix(".here-1.waits")):
        saved.end(finish(new(batches)))
    assert [int(path.stem) for path in sorted(saved.folder.iterdir())] == [3, 4]


@pytest.mark.parametrize(
    "changes", [{"lr": 0.1}, {"epochs": 4}, {"seed": 1}, {"hidden_channels": (4,)}, STEPS]
)
def test_a_run_with_other_params_starts_afresh_and_says_so(
    batches: Batches, tmp_path: Path, changes: dict[str, object]
) -> None:
    halted(tmp_path, batches, 5)
    notes = checkpoints(tmp_path, new(batches, **changes)).resume(never)
    assert len(notes) == 1
    assert "unfinished runs with other params, data or code (1)" in notes[0]


def test_a_checkpoint_that_was_copied_from_another_run_is_refused(
    batches: Batches, tmp_path: Path
) -> None:
    other = halted(tmp_path, batches, 5)
    mine = checkpoints(tmp_path / "mine", new(batches, lr=0.1))
    mine.folder.parent.mkdir()
    other.folder.rename(mine.folder)
    notes = mine.resume(never)
    assert [note.split(": ")[1] for note in notes] == ["of another run; it is not continued"] * 2


STATE = ["network", "averaged", "optimizer", "scheduler", "finished", "best"]


@pytest.mark.parametrize("key", [*STATE, "seconds", "iteration", "_losses", "_best_score", None])
@pytest.mark.parametrize("damage", ["missing", "of another kind"])
def test_a_state_that_cannot_be_restored_is_passed_over_and_changes_nothing(
    batches: Batches, tmp_path: Path, key: str | None, damage: str
) -> None:
    """Its checksum may be right and its content not: another torch, or a hand, has written it."""
    saved = halted(tmp_path, batches, 4)
    state: Any = finish_state(batches, at=5)
    if key is None:
        state = [] if damage == "missing" else {"network": {}}
    elif damage == "missing":
        del state[key]
    elif key in ("seconds", "iteration", "_losses", "_best_score"):
        return  # a plain value of another kind is not looked at
    else:
        state[key] = {"nothing": 7}
    buffer = BytesIO()
    torch.save({"key": saved.key, "state": state}, buffer)
    path = saved.folder / "000000005.pt"
    path.write_bytes(sha256(buffer.getvalue()).digest() + buffer.getvalue())
    resumed = new(batches)
    notes = saved.resume(resumed.restore)
    assert [note.rpartition("; ")[2] for note in notes[:1]] == ["it is not continued"]
    assert notes[1:] == [f"continues after batch 4, from {saved.folder / '000000004.pt'}"]
    assert weights(finish(resumed)) == weights(finish(new(batches)))


def finish_state(batches: Batches, *, at: int) -> dict[str, Any]:
    """The state of a run that was halted after some steps."""
    learner = new(batches)
    with pytest.raises(Halt):
        finish(learner, halt_at=at)
    return learner.state()


def test_the_key_is_that_of_params_data_and_code(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {key_of({"params": {"lr": lr}, "data": data}) for lr in (0.1, 0.2) for data in "ab"}
    assert len(keys) == 4
    before = key_of({})
    assert key_of({}) == before
    monkeypatch.setattr("convlstm.model.cells.__file__", __file__)
    assert key_of({}) != before
