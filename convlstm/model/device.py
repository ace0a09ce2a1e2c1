"""The device: the GPU if there is one, its precision, determinism, and running out of memory."""

import os
import re
from collections.abc import Iterator
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


def default_device() -> torch.device:
    """Return the GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def training_dtype(
    precision: Literal["auto", "float32", "bfloat16"], device: torch.device
) -> torch.dtype:
    """Return the dtype of the convolutions in training on this device.

    auto leaves a CPU at float32: that a CPU has units for bfloat16 does not say how fast they are
    (AVX512-BF16 has been measured at twice the rate of float32, and at half of it). So a CPU's
    results do not depend on its make.
    """
    if device.type == "cuda":
        has_units = torch.cuda.is_bf16_supported(including_emulation=False)
        takes = precision != "float32" and has_units
    else:
        has_units = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        takes = precision == "bfloat16" and has_units
    return torch.bfloat16 if takes else torch.float32


def forecast_dtype(precision: str | None, device: torch.device) -> torch.dtype:
    """Return the dtype of the convolutions in a forecast on this device.

    It is float32 under auto, so that scores do not depend on the hardware.
    """
    return training_dtype("bfloat16" if precision == "bfloat16" else "float32", device)


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
