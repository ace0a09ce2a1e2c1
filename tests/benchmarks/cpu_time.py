"""A budget of training in CPU time, which other work on the machine does not shorten."""

import time

from convlstm.train.budget import Budget


class CPUTime(Budget):
    """Counts `minutes` as CPU time of this process, so as minutes of one core on one thread."""

    def start(self) -> None:
        """Count the time from now on."""
        self._since = time.process_time()

    def count_time(self) -> None:
        """Add the CPU time since it was last counted."""
        now = time.process_time()
        self.seconds += now - self._since
        self._since = now
