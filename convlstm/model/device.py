"""The device: the GPU if there is one, its precision, determinism, and running out of memory."""

import ctypes
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from convlstm.runtime import system
from convlstm.runtime.errors import NoRoom

OUT_OF_MEMORY = re.compile(
    "out of memory|can't allocate memory|not enough memory"
    "|[Ss]torage size calculation overflowed|integer multiplication overflow"
)
"""Of the last two, the size itself is a number that is too large."""
LEAST_GAIN = 1.3  # of bfloat16 on a CPU, far from 1, so that two runs on one machine decide alike
TRIAL_SECONDS = 0.1
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # as malloc.h has them
LARGEST_KEPT_BYTES = 2**25  # at once, than which glibc takes no more
MOST_KEPT_BYTES = 2**31 - 1  # in all, likewise


def default_device(number: int = 0) -> torch.device:
    """Return a GPU when there is one, else the CPU.

    Args:
        number: of our rank on this host, which takes the GPU of that number; where each rank is
            shown its own only, as under some schedulers, all take the first.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if number:
        torch.cuda.set_device(number % torch.cuda.device_count())
    return torch.device("cuda")


def gpus() -> int:
    """Return the number of GPUs that this process sees, without a start of CUDA in it."""
    return torch.cuda.device_count()


def use_threads(count: int) -> None:
    """Compute in so many threads of the CPU from now on."""
    torch.set_num_threads(count)


def training_dtype(
    precision: Literal["auto", "float32", "bfloat16"],
    device: torch.device,
    work: Callable[[torch.dtype], object],
) -> torch.dtype:
    """Return the dtype of the convolutions in training on this device.

    auto takes bfloat16 on a GPU that has it and on a CPU with AMX tiles, which do it several times
    as fast as float32. The units of other CPUs have been measured at twice the rate of float32, and
    at half of it, so there the work decides.

    Args:
        precision: as params ask for it.
        device: of the training.
        work: a part of a step in a precision, which takes milliseconds.
    """
    if precision == "float32" or not _has_bfloat16(device):
        return torch.float32
    tried = precision == "auto" and device.type == "cpu" and not torch.cpu._is_amx_tile_supported()
    if tried and _seconds(work, torch.float32) < LEAST_GAIN * _seconds(work, torch.bfloat16):
        return torch.float32
    return torch.bfloat16


def forecast_dtype(precision: str | None, device: torch.device) -> torch.dtype:
    """Return the dtype of the convolutions in a forecast on this device.

    It is float32 under auto, so that scores depend on the weights alone.
    """
    takes = precision == "bfloat16" and _has_bfloat16(device)
    return torch.bfloat16 if takes else torch.float32


def _has_bfloat16(device: torch.device) -> bool:
    """Whether the device has units for bfloat16, of whatever speed."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _seconds(work: Callable[[torch.dtype], object], dtype: torch.dtype) -> float:
    """Return the shortest time of the work, of as many tries as fit into a tenth of a second."""
    work(dtype)  # the first call chooses a kernel
    end, best = time.perf_counter() + TRIAL_SECONDS, float("inf")
    while (start := time.perf_counter()) < end:
        work(dtype)
        best = min(best, time.perf_counter() - start)
    return best


def keep_freed_memory() -> None:
    """Let glibc keep what is freed, for the whole process, where there is glibc.

    It would give large tensors back to the system at once, and the next step would get the same
    memory again, page by page and zeroed: a tenth of a step.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)
        libc.mallopt(M_TRIM_THRESHOLD, MOST_KEPT_BYTES)


def use_deterministic_algorithms(wanted: bool) -> None:
    """Choose for the whole process whether operations must give the same bits at every call."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS cannot
    torch.use_deterministic_algorithms(wanted)
    # It would fill all new memory with NaN; nothing here reads memory that it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


@contextmanager
def explain_out_of_memory(device: torch.device, size: str, *, lower: str) -> Iterator[None]:
    """Turn an out-of-memory error of the block into one line that names the params to lower.

    Args:
        device: whose memory the block fills.
        size: what the block works on, by the names of the params that decide its size.
        lower: the params that would help if they were lower.

    Raises:
        NoRoom: the memory was too small.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's own are RuntimeErrors
        if isinstance(error, RuntimeError) and not OUT_OF_MEMORY.search(str(error)):
            raise
        raise NoRoom(
            f"{size} do not fit into the memory of the {device.type} "
            f"({_peak_bytes(device):,} bytes were in use at most); lower {lower}"
        ) from None


def _peak_bytes(device: torch.device) -> int:
    """Return the most bytes that have been in use since the process began."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return system.peak_bytes()
