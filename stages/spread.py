"""The work of a stage in one process, or in one for each GPU that is free."""

import os
from collections.abc import Callable
from pathlib import Path

from convlstm.runtime import console
from convlstm.runtime.errors import BadInput
from stages import devices
from stages.ranks import ALONE, Place, place

CHECKPOINTS = Path(os.environ.get("DVC_ROOT", ""), ".checkpoints")
"""Outside the outputs, which DVC deletes before a stage runs; the same for the workspace, `--temp`
and the queue."""


def spread(stage: str, wanted: Callable[[int], int], work: Callable[[Place], None]) -> None:
    """Do the work as a rank of a launcher or alone, or start a rank for each GPU that is free.

    A run of the queue or `--temp` takes one GPU. One that CONVLSTM_RANKS gives a number of ranks
    waits until as many GPUs are free.

    Args:
        stage: its name; each rank that is started runs `stages.NAME`.
        wanted: returns how many ranks there shall be for so many GPUs.
        work: of this process.

    Raises:
        BadInput: there are fewer GPUs than the ranks that CONVLSTM_RANKS asks for.
    """
    # Imported here, because torch takes seconds and no mistake should wait for it. All ranks do
    # so, because the modules that are loaded decide on the key of a run.
    from convlstm.model.device import gpus
    from convlstm.model.launching import launch

    if own := place():
        work(own)
        return
    visible = devices.names(gpus())
    fewest, most = _bounds(wanted, len(visible))

    def say(line: str) -> None:
        console.say(f"{stage}: {line}")

    with devices.taken(visible, CHECKPOINTS, fewest, most, say) as free:
        count = wanted(len(free))
        if free:
            os.environ[devices.VISIBLE] = ",".join(free[:count])
        if count == 1:
            work(ALONE)
        else:
            say(f"starts {count} ranks")
            launch(count, f"stages.{stage}")


def _bounds(wanted: Callable[[int], int], gpus: int) -> tuple[int, int]:
    """Return how many GPUs are needed, and how many of these are taken if they are free.

    Raises:
        BadInput: there are fewer than the ranks that CONVLSTM_RANKS asks for.
    """
    fewest = wanted(1)  # which is the number that CONVLSTM_RANKS gives, if it does
    if 0 < gpus < fewest:
        raise BadInput(
            f"CONVLSTM_RANKS = {fewest}: a rank takes a GPU, of which there are {gpus}; give at "
            f"most as many ranks"
        )
    return fewest, fewest if is_copy() else wanted(gpus)


def is_copy() -> bool:
    """Whether this is a run of the queue or `--temp`, beside which others may run."""
    return Path(os.environ.get("DVC_ROOT", "")).resolve() != Path.cwd().resolve()
