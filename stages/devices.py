"""A training takes free GPUs, or a share of the cores, beside others of this repository.

Each GPU and each training has a lock file beside the checkpoints, in a folder that the workspace,
`--temp` and the queue share.
"""

import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from convlstm.runtime import locks, system

VISIBLE = "CUDA_VISIBLE_DEVICES"
GPU = "gpu-"  # with which the lock of a GPU begins


def names(count: int) -> list[str]:
    """Return the names of the GPUs that this process sees, by which CUDA may be told to see fewer.

    Args:
        count: of GPUs.
    """
    given = [name for name in os.environ.get(VISIBLE, "").split(",") if name]
    return given[:count] if len(given) >= count else [str(number) for number in range(count)]


@contextmanager
def taken(
    devices: Sequence[str], folder: Path, fewest: int, most: int, say: Callable[[str], None]
) -> Iterator[list[str]]:
    """Hold the locks of up to `most` free devices during the block; wait until `fewest` are free.

    Who waits holds none, or two runs could wait for each other. Within a job of a scheduler that
    numbers its own GPUs from 0, the locks are the job's own.

    Args:
        devices: the names of those that are visible; without any, none is yielded.
        folder: of the locks.
        fewest: devices that are taken, at least 1 and at most all that are visible.
        most: devices that are taken, at least `fewest`.
        say: called with a line, once, if there is something to wait for.
    """
    host = f"{socket.gethostname()}-{os.environ.get('SLURM_JOB_ID', '')}".rstrip("-")
    paths = {
        name: folder / f"{GPU}{host}-{re.sub('[^a-zA-Z0-9]', '-', name)}.lock" for name in devices
    }
    told = False
    while True:
        with ExitStack() as stack:
            held, doubts = _lock(paths, most, stack)
            if not devices or len(held) >= fewest:
                yield held
                return
        if not told:
            say(
                f"waits for {fewest} free GPU{'s' if fewest > 1 else ''}; of the {len(devices)} "
                f"here other trainings have {len(devices) - len(held)}{doubts}"
            )
        told = True
        time.sleep(locks.WAIT_SECONDS)


def _lock(paths: Mapping[str, Path], most: int, stack: ExitStack) -> tuple[list[str], str]:
    """Lock up to `most` free devices until the stack ends; returns them, and doubts of the others.

    Args:
        paths: the lock of each device by its name.
        most: devices that are locked.
        stack: where the locks end.
    """
    held: list[str] = []
    doubts = ""
    for name, path in paths.items():
        try:
            if len(held) < most:
                stack.enter_context(locks.locked(path))
                held.append(name)
        except locks.Held as refused:
            doubts += refused.doubt
    return held, doubts


def others(folder: Path, own: Path) -> int:
    """Return how many other trainings run on this host, as far as their locks tell.

    Args:
        folder: of the locks.
        own: the lock of this training.
    """
    return sum(
        _holds(path)
        for path in folder.glob("*.lock")
        if path != own and not path.name.startswith(GPU)
    )


def share_of_cores(others: int) -> int | None:
    """Return the threads of a training beside others; None if all cores are its own.

    So it is, too, where OMP_NUM_THREADS says how many threads there are.
    """
    if not others or "OMP_NUM_THREADS" in os.environ:
        return None
    return max(1, system.cores() // (1 + others))


def _holds(path: Path) -> bool:
    """Whether the process that a lock file names runs on this host; it may just have ended.

    A file that another user alone may read counts: threads too many on the cores cost two trainings
    more time than threads too few.
    """
    try:
        found = re.fullmatch(r"process (\d+) on (.*)", path.read_text(errors="replace"))
    except FileNotFoundError:
        return False
    except PermissionError:
        return True
    if not found or found[2] != socket.gethostname():
        return False
    return Path("/proc", found[1]).exists()
