"""A memory that is full, told in one line that names what decides how much is needed."""

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from convlstm.runtime.errors import NoRoom

FULL = re.compile("out of memory|can't allocate memory|not enough memory")


@contextmanager
def told(device: torch.device, size: str, *, lower: str) -> Iterator[None]:
    """Watch the block.

    Args:
        device: whose memory it fills.
        size: what the block works on, by the names of the params that decide it.
        lower: those that would help if they were lower.

    Raises:
        NoRoom: the memory was too small for it.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's own are RuntimeErrors
        if isinstance(error, RuntimeError) and not FULL.search(str(error)):
            raise
        raise NoRoom(
            f"{size} do not fit into the memory of the {device.type} "
            f"({_peak_bytes(device):,} bytes were in use at most); lower {lower}"
        ) from None


def _peak_bytes(device: torch.device) -> int:
    """The most that has been in use since the process began."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
