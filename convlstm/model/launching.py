"""Starts one process for each rank of a run on this host, by torch's elastic launcher."""

import logging
import os
import sys
from collections.abc import Mapping
from signal import SIG_IGN, SIGTERM, Signals, getsignal
from uuid import uuid4

from convlstm.runtime.errors import RankLost
from convlstm.runtime.signals import SIGNALS
from convlstm.runtime.system import cores

PATIENCE_SECONDS = "15"  # for ranks that are to end; each ends itself after eight
ELASTIC = "torch.distributed.elastic"


class RanksEnded(RankLost):
    """A rank has ended before its work was done; what it said itself stands above.

    The launcher then ends the others by SIGTERM, which tells nothing.

    Args:
        statuses: of the ranks that have failed, by their number; negative for a signal.
    """

    def __init__(self, statuses: Mapping[int, int]) -> None:
        killed = {number: -status for number, status in statuses.items() if status < 0}
        killed = {number: by for number, by in killed.items() if by != SIGTERM}
        super().__init__(
            *(
                f"rank {number} was ended by {Signals(by).name}; the same command begins "
                f"again, or goes on from the last checkpoint"
                for number, by in killed.items()
            )
        )
        own = [status for status in statuses.values() if status > 0]
        # One that says why goes before one that has missed another, and that before a stop.
        why = min(own, key=lambda status: (status >= 128, status == 1), default=128 + SIGTERM)
        self.status = 128 + max(killed.values()) if killed else why


def launch(count: int, module: str) -> None:
    """Run a module, as `python -m` does, in one process for each of `count` ranks.

    They meet at a port that the system chooses, so runs on one host do not meet each other. On a
    CPU each takes an equal part of the cores.

    Raises:
        RanksEnded: a rank has failed, or we were asked to stop and have handed that on.
    """
    # Imported here, because they take a second, and most runs launch nothing.
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in logging.root.manager.loggerDict:  # each of which torch has given a level
        if name.startswith(ELASTIC):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # the ranks say what there is to say
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // count)))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", PATIENCE_SECONDS)
    heard = [number.name for number in SIGNALS if getsignal(number) is not SIG_IGN]
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        signals_to_handle=",".join(heard),
    )
    try:
        elastic_launch(config, sys.executable)("-m", module)
    except SignalException as asked:
        raise RanksEnded({0: 128 + asked.sigval}) from None
    except ChildFailedError as failed:
        statuses = {number: failure.exitcode for number, failure in failed.failures.items()}
        raise RanksEnded(statuses) from None
