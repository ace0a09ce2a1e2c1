"""Where and in which precision the network runs, and a full memory in words that help."""

import os
import re
import subprocess
import sys
from typing import Literal

import pytest
import torch

from convlstm.model.device import (
    default_device,
    explain_out_of_memory,
    forecast_dtype,
    training_dtype,
    use_deterministic_algorithms,
)
from convlstm.runtime.errors import NoRoom

CPU, GPU = torch.device("cpu"), torch.device("cuda")
FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("not enough memory: you tried to allocate 8 bytes"),
    MemoryError(),
]


@pytest.mark.parametrize("has_gpu", [True, False])
def test_the_gpu_is_taken_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, has_gpu: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert default_device() == (GPU if has_gpu else CPU)


def never(_: torch.dtype) -> None:
    raise AssertionError("tried where nothing is to be found out")


class Work:
    """Work whose time on the clock of the tests is what is said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: dict[torch.dtype, float]) -> None:
        self.now, self.seconds = 0.0, seconds
        monkeypatch.setattr("convlstm.model.device.time.perf_counter", lambda: self.now)

    def __call__(self, dtype: torch.dtype) -> None:
        """Let the time of the work pass."""
        self.now += self.seconds[dtype]


@pytest.mark.parametrize(
    ("asked", "units", "taken"),
    [
        ("auto", "amx", torch.bfloat16),
        ("auto", "none", torch.float32),
        ("float32", "amx", torch.float32),
        ("bfloat16", "avx512", torch.bfloat16),
        ("bfloat16", "none", torch.float32),
    ],
)
def test_a_cpu_takes_bfloat16_if_asked_or_fast_and_if_it_has_the_units(
    monkeypatch: pytest.MonkeyPatch,
    asked: Literal["auto", "float32", "bfloat16"],
    units: Literal["amx", "avx512", "none"],
    taken: torch.dtype,
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: units != "none")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: units == "amx")
    assert training_dtype(asked, CPU, never) == taken


@pytest.mark.parametrize(
    ("seconds", "taken"), [(0.02, torch.float32), (0.008, torch.float32), (0.007, torch.bfloat16)]
)
def test_without_tiles_a_trial_decides(
    monkeypatch: pytest.MonkeyPatch, seconds: float, taken: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    work = Work(monkeypatch, {torch.float32: 0.01, torch.bfloat16: seconds})
    assert training_dtype("auto", CPU, work) == taken
    assert work.now < 0.5


@pytest.mark.parametrize(
    ("asked", "has_units", "taken"),
    [
        ("auto", True, torch.bfloat16),
        ("float32", True, torch.float32),
        ("bfloat16", True, torch.bfloat16),
        ("auto", False, torch.float32),
        ("bfloat16", False, torch.float32),
    ],
)
def test_a_gpu_takes_bfloat16_unless_float32_is_asked_for_or_it_has_no_units(
    monkeypatch: pytest.MonkeyPatch,
    asked: Literal["auto", "float32", "bfloat16"],
    has_units: bool,
    taken: torch.dtype,
) -> None:
    def supported(*, including_emulation: bool) -> bool:
        return has_units or including_emulation  # emulated, it would be slower than float32

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert training_dtype(asked, GPU, never) == taken


@pytest.mark.parametrize("device", [CPU, GPU], ids=str)
@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        ("auto", torch.float32),
        (None, torch.float32),
        ("float32", torch.float32),
        ("bfloat16", torch.bfloat16),
    ],
)
def test_a_forecast_is_in_float32_on_any_device_unless_bfloat16_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, device: torch.device, asked: str | None, taken: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert forecast_dtype(asked, device) == taken


@pytest.mark.parametrize("wanted", [True, False])
def test_deterministic_algorithms_are_taken_as_wanted_and_new_memory_is_not_filled(
    monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    use_deterministic_algorithms(wanted)
    assert torch.are_deterministic_algorithms_enabled() == wanted
    assert not torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"  # as cuBLAS's manual asks for


@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
def test_a_full_memory_is_reported_with_its_peak_and_with_what_to_lower(error: Exception) -> None:
    with (
        pytest.raises(NoRoom) as raised,
        explain_out_of_memory(CPU, "8 windows", lower="batch_size"),
    ):
        raise error
    line = str(raised.value)
    assert line.startswith("8 windows do not fit into the memory of the cpu")
    assert line.endswith("; lower batch_size")
    found = re.search(r"\(([\d,]+) bytes were in use at most\)", line)
    assert found is not None
    # a process that has loaded torch has used 100 MB, and this machine has not 100 TB
    assert 10**8 < int(found[1].replace(",", "")) < 10**14


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory")])
def test_another_error_is_left_as_it_is(error: Exception) -> None:
    with (
        pytest.raises(type(error)) as raised,
        explain_out_of_memory(CPU, "8 windows", lower="batch_size"),
    ):
        raise error
    assert raised.value is error


FAULTS = """
import resource, torch
from convlstm.model.device import keep_freed_memory

keep_freed_memory()

def use():
    large = [torch.ones(3_000_000) for _ in range(4)]

for _ in range(5):
    use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_memory_that_is_kept_is_not_asked_for_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 1000  # of 117,000 pages that are taken and freed again
