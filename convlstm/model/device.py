"""What the hardware is asked for: the GPU if there is one, a precision, the same bits each time."""

import os
from typing import Literal

import torch


def default_device() -> torch.device:
    """The GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def working_precision(
    asked: Literal["auto", "float32", "bfloat16"], device: torch.device
) -> torch.dtype:
    """Of the convolutions in training, on this hardware.

    auto leaves a CPU at float32: units for bfloat16 do not say how fast they are (AVX512-BF16 has
    been measured at twice the rate of float32, and at half of it), and so a CPU's results do not
    depend on its make.
    """
    if device.type == "cuda":
        has_units = torch.cuda.is_bf16_supported(including_emulation=False)
        takes = asked != "float32" and has_units
    else:
        has_units = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        takes = asked == "bfloat16" and has_units
    return torch.bfloat16 if takes else torch.float32


def rollout_precision(asked: str | None, device: torch.device) -> torch.dtype:
    """The same of forecasts: float32 under auto, so that scores do not depend on the hardware."""
    return working_precision("bfloat16" if asked == "bfloat16" else "float32", device)


def use_deterministic_algorithms(wanted: bool) -> None:
    """Whether an operation may give other bits from call to call; for the whole process."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS cannot
    torch.use_deterministic_algorithms(wanted)
    # it would fill all new memory with NaN; nothing here reads what it has not written
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
