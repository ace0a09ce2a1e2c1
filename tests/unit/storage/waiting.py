"""A command for tests of signals, whose two tasks write their process into a folder and wait.

Usage: python -m tests.unit.storage.waiting FOLDER
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from convlstm.runtime import exits, system
from convlstm.storage import tasks
from convlstm.storage.tasks import Made


@dataclass(frozen=True)
class Job:
    """A folder to write to."""

    source: str


def wait(job: Job, /, *, threads: int, tick: Callable[[int], object]) -> Made:  # noqa: ARG001 - as all tasks have
    """Note this process, and wait for its end."""
    (Path(job.source) / str(os.getpid())).touch()
    time.sleep(60)
    raise AssertionError("it was not ended")


def main() -> None:
    """Run two tasks at once."""
    system.cores = lambda: 2
    list(tasks.run(wait, [Job(sys.argv[1])] * 2, lambda _: None))


if __name__ == "__main__":
    exits.run(main)
