"""The GPUs of this host that a training takes: those that no other one of this repository has.

Each has a lock file beside the checkpoints, which the workspace, `--temp` and the queue share.
"""

import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from convlstm.runtime import locks

VISIBLE = "CUDA_VISIBLE_DEVICES"


def names(count: int) -> list[str]:
    """Return the names of the GPUs that this process sees, by which CUDA may be told to see fewer.

    Args:
        count: of GPUs.
    """
    given = os.environ.get(VISIBLE, "").split(",")
    return given[:count] if len(given) >= count else [str(number) for number in range(count)]


@contextmanager
def taken(
    devices: Sequence[str], folder: Path, most: int, say: Callable[[str], None]
) -> Iterator[list[str]]:
    """Hold the locks of up to `most` free devices during the block; wait until there is one.

    Within a job of a scheduler that numbers its own GPUs from 0, the locks are the job's own.

    Args:
        devices: the names of those that are visible; without any, none is yielded.
        folder: of the locks.
        most: devices that are taken, at least 1.
        say: called with a line, once, if there is something to wait for.
    """
    host = f"{socket.gethostname()}-{os.environ.get('SLURM_JOB_ID', '')}".rstrip("-")
    paths = {
        name: folder / f"gpu-{host}-{re.sub('[^a-zA-Z0-9]', '-', name)}.lock" for name in devices
    }
    with ExitStack() as stack:
        held: list[str] = []
        told = False
        while devices and not held:
            for name, path in paths.items():
                try:
                    if len(held) < most:
                        stack.enter_context(locks.locked(path))
                        held.append(name)
                except locks.Held:
                    continue
            if not held:
                if not told:
                    say(f"waits for a GPU, of which other trainings have all {len(devices)}")
                told = True
                time.sleep(locks.WAIT_SECONDS)
        yield held
