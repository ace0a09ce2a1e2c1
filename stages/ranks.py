"""One run in several processes, its ranks: how many, which are we, and who speaks.

A launcher tells each process its place: torchrun, and any that sets the same variables, or srun.
Without one, `train` and `evaluate` start a rank for each GPU that they take, or are it themselves.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from convlstm.runtime import signals
from convlstm.runtime.errors import BadInput, NoRoom, UserError

FIRST_PORT, PORTS = 20_000, 12_000  # below those that systems give to connections
SECONDS_TO_SPEAK = 3.0  # for the first rank: a launcher ends all ranks when one has ended


@dataclass(frozen=True)
class Place:
    """The place of this process: its number among all ranks, their count, and its on this host."""

    number: int
    count: int
    local: int


ALONE = Place(0, 1, 0)


def place() -> Place | None:
    """Return our place among the ranks that a launcher has started; None if there is none.

    Raises:
        BadInput: a variable of the launcher is missing, or not the number that it should be.
    """
    if _is_step_of_slurm():
        _tell_torch_of_slurm()
    if not {"RANK", "WORLD_SIZE"} <= set(os.environ):
        return None
    own = Place(_number("RANK"), _number("WORLD_SIZE"), _number("LOCAL_RANK", "0"))
    if own.number >= own.count:
        raise BadInput(f"RANK = {own.number}: must be less than WORLD_SIZE = {own.count}")
    if own.count > 1 and not os.environ.get("MASTER_ADDR"):
        raise BadInput("MASTER_ADDR: is not set; it is the host of rank 0, where all ranks meet")
    if own.count > 1:
        _number("MASTER_PORT")
    return own


def wanted(batch_size: int, devices: int) -> int:
    """Return how many ranks to start: CONVLSTM_RANKS, else as many devices as share a batch evenly.

    Raises:
        BadInput: CONVLSTM_RANKS is not a number, or does not divide the batch.
    """
    if (count := _asked()) is not None:
        check(batch_size, count)
        return count
    return max(count for count in range(1, max(1, devices) + 1) if batch_size % count == 0)


def wanted_of(parts: int, devices: int) -> int:
    """Return how many ranks to start for work of some parts: CONVLSTM_RANKS, else one a device.

    Raises:
        BadInput: CONVLSTM_RANKS is not a number of at least 1.
    """
    if (count := _asked()) == 0:
        raise BadInput("CONVLSTM_RANKS = '0': must be at least 1")
    return count or max(1, min(parts, devices))


def _asked() -> int | None:
    """Return the number of ranks that the user asks for, if any."""
    return _number("CONVLSTM_RANKS") if "CONVLSTM_RANKS" in os.environ else None


def check(batch_size: int, count: int) -> None:
    """Check that each rank has as many windows as any other.

    Raises:
        BadInput: it has not.
    """
    if not count or batch_size % count:
        raise BadInput(
            f"batch_size = {batch_size}: cannot be shared by {count} ranks evenly; take a number "
            f"of ranks that divides it, or a multiple of theirs"
        )


@contextmanager
def one_voice() -> Iterator[None]:
    """Let the first rank of each host alone tell of an error or a stop, which all of them meet.

    A device that is too small tells of itself, and a stop goes before what it has led to. A rank
    that is about to end hears no signal any more: the launcher sends one to all when one has ended.
    """
    own = place()
    local = own.local if own else 0
    try:
        yield
    except UserError as error:
        stop = signals.requested()
        if own:
            signals.hear_nothing()
        if local and not isinstance(error, NoRoom):
            raise _silent(stop.status if stop else error.status) from None
        raise stop or error from None
    except signals.Stopped as stopped:
        if own:
            signals.hear_nothing()
        if local:
            raise _silent(stopped.status) from None
        raise


def _silent(status: int) -> UserError:
    """Return an error that ends the process with this status and no line, after a while."""
    time.sleep(SECONDS_TO_SPEAK)
    error = UserError()
    error.status = status
    return error


def _is_step_of_slurm() -> bool:
    """Whether srun has started us beside others; in a batch script there is no step."""
    return "RANK" not in os.environ and _number("SLURM_STEP_NUM_TASKS", "1") > 1


def _tell_torch_of_slurm() -> None:
    """Set the variables of torchrun from those of srun."""
    port = FIRST_PORT + (_number("SLURM_JOB_ID") + _number("SLURM_STEP_ID", "0")) % PORTS
    told = {
        "RANK": os.environ["SLURM_PROCID"],
        "WORLD_SIZE": os.environ["SLURM_STEP_NUM_TASKS"],
        "LOCAL_RANK": os.environ.get("SLURM_LOCALID", "0"),
        "MASTER_ADDR": first_host(os.environ.get("SLURM_STEP_NODELIST", "localhost")),
        "MASTER_PORT": str(port),
    }
    for name, value in told.items():
        os.environ.setdefault(name, value)


def first_host(nodes: str) -> str:
    """Return the first of hosts in SLURM's short form: `gpu[03-04,7],big1` begins with gpu03."""
    found = re.match(r"([^\[,]*)(?:\[(\w+)[^\]]*\]([^\[,]*))?", nodes)
    return "".join(part or "" for part in found.groups()) if found else nodes


def _number(name: str, default: str = "") -> int:
    text = os.environ.get(name, default)
    if not text.isdecimal():
        raise BadInput(f"{name} = {text!r}: must be a whole number")
    return int(text)
