"""A run ends when its steps, its epochs or its minutes are spent, or its patience."""

from collections.abc import Sequence

import pytest

from convlstm.train.budget import Budget, has_patience
from convlstm.train.params import Limits
from tests.builders import params_of


class Clock:
    """A clock that is put on by hand, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now


def budget(**limit: object) -> Budget:
    limits = {"epochs": None, "steps": None, "minutes": None} | limit
    return Budget(params_of(Limits, **limits), steps_per_epoch=7)


@pytest.mark.parametrize(("limit", "steps"), [({"epochs": 3}, 21), ({"steps": 20}, 20)])
def test_epochs_and_steps_are_spent_step_by_step(limit: dict[str, int], steps: int) -> None:
    counted = budget(**limit)
    assert counted.total == counted.steps == steps
    assert [counted.spent(step) for step in (0, 1, steps)] == [0, 1, steps]
    assert counted.is_left(steps - 1)
    assert not counted.is_left(steps)


def test_minutes_are_spent_by_the_clock_in_all_parts_of_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr("convlstm.train.budget.time", clock)
    first = budget(minutes=2)
    assert first.steps is None
    clock.now += 50  # before the start: not counted
    first.start()
    clock.now += 30
    first.count_time()
    assert first.spent(5) == first.total / 4
    clock.now += 1000  # the run is stopped and goes on later
    second = budget(minutes=2)
    second.seconds = first.seconds
    second.start()
    clock.now += 89
    second.count_time()
    assert second.seconds == 119
    assert second.is_left(9)
    clock.now += 5
    second.count_time()
    assert second.spent(9) == second.total
    assert not second.is_left(9)


@pytest.mark.parametrize(
    ("scores", "patience", "expected"),
    [
        ([], 1, True),
        ([3.0], 1, True),
        ([3.0, 2.0, 1.0], 1, True),
        ([3.0, 3.0], 1, False),  # as good is not better
        ([3.0, 4.0], 2, True),
        ([3.0, 4.0, 5.0], 2, False),
        ([3.0, 4.0, 2.0, 5.0], 2, True),
        ([3.0, 4.0, 2.0, 5.0, 2.0], 2, False),
        ([3.0] * 99, None, True),
    ],
)
def test_patience_is_the_number_of_epochs_since_the_best(
    scores: Sequence[float], patience: int | None, expected: bool
) -> None:
    assert has_patience(scores, patience) == expected
