"""The budget of a run, in epochs, steps or minutes, and the early stop.

The schedules of a run are scaled to its budget: they ask here how much of it is spent.
"""

import time
from collections.abc import Sequence

from convlstm.train.params import Limits

PARTS_OF_THE_TIME = 10_000
"""Units of a budget in minutes: more than the steps that a schedule has to tell apart."""


class Budget:
    """Counts the units of a budget that are spent: steps, or parts of the time.

    `seconds` is the time used so far by training and validation, in all parts of a run that was
    stopped; `steps` is None where the time is the limit.

    Args:
        params: of which exactly one limit is set.
        steps_per_epoch: in which unit `epochs` counts.
    """

    def __init__(self, params: Limits, steps_per_epoch: int) -> None:
        steps = params.steps or (params.epochs or 0) * steps_per_epoch
        self._limit_seconds = 60 * (params.minutes or 0.0)
        self.steps = None if params.minutes else steps
        self.total = PARTS_OF_THE_TIME if params.minutes else steps
        self.seconds = 0.0
        self._since = time.monotonic()

    def start(self) -> None:
        """Count the time from now on."""
        self._since = time.monotonic()

    def count_time(self) -> None:
        """Add the time since it was last counted."""
        now = time.monotonic()
        self.seconds += now - self._since
        self._since = now

    def spent(self, iteration: int) -> int:
        """Return the units that are spent, of `total`, after so many steps."""
        if self.steps is not None:
            return iteration
        return min(self.total, int(self.total * self.seconds / self._limit_seconds))

    def is_left(self, iteration: int) -> bool:
        """Whether another step may be taken after so many."""
        return self.spent(iteration) < self.total


def has_patience(scores: Sequence[float], patience: int | None) -> bool:
    """Whether training may go on after epochs with these validation scores, of which low is good.

    Args:
        scores: of all epochs so far.
        patience: the number of last epochs without a better score that ends it; None for never.
    """
    if patience is None or not scores:
        return True
    return len(scores) - 1 - scores.index(min(scores)) < patience
