"""Measures a step of training, beside its bare convolutions and beside OpenSTL's.

`python -m tests.benchmarks.train_step [--openstl CHECKOUT] [--sizes small,report] [--repeats 7]`
prints a row for each network and precision. Everything that a row compares runs interleaved in one
process, which keeps freed memory, as a training does; times are medians, ratios are medians of the
ratios of one round. Operation is free after the context. The efficiency is the time of the bare
convolutions over that of the step. A step that computes its gates again takes `recomputed` times as
long as one that keeps them, and one whose gates are computed by torch `by_torch` times.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from convlstm.model.device import default_device, keep_freed_memory
from convlstm.train.losses import masked_mse

from .measuring import forget_peak, high_water_bytes
from .openstl import OpenSTL
from .sizes import CONTEXT, FRAMES, SIZES, STEPS, USUAL, Size

DEVICE = default_device()
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
COLUMNS = (
    "size",
    "precision",
    "step_ms",
    "gflop_s",
    "matmul_gflop_s",
    "efficiency",
    "forward_share",
    "forecast_ms",
    "peak_mb",
    "by_torch",
    "recomputed",
    "recomputed_peak_mb",
    "x_openstl",
    "x_openstl_forecast",
    "peak_of_openstl",
)
Work = dict[str, Callable[[], None]]


def ours(size: Size, dtype: torch.dtype) -> Work:
    """Return a step of our training, its forward half, and a forecast of one window."""
    frames = as_batches_are(windows(size))
    fed = (torch.arange(STEPS) < CONTEXT).repeat(size.batch, 1)
    mask = torch.ones_like(frames[:, 1:], dtype=torch.bool)
    net = size.network().to(DEVICE)
    net.memory.fused = True
    adam = torch.optim.Adam(net.parameters())

    def step() -> None:
        adam.zero_grad()
        masked_mse(net(frames, fed, dtype), frames[:, 1:], mask).backward()  # type: ignore[no-untyped-call] # torch ships no type for it
        adam.step()

    def recomputed() -> None:
        net.memory.recompute = True
        step()
        net.memory.recompute = False

    def by_torch() -> None:
        net.memory.fused = False
        step()
        net.memory.fused = True

    def forward() -> None:
        net(frames, fed, dtype)

    def forecast() -> None:
        with torch.no_grad():
            net.rollout(frames[:1, :CONTEXT], FRAMES - CONTEXT, dtype)

    halves = {"forward": forward, "forecast": forecast}
    return {"step": step, "recomputed": recomputed, "by_torch": by_torch, **halves}


def limits(size: Size, dtype: torch.dtype) -> Work:
    """Return the convolutions, than which no step can be faster, and a product of matrices."""
    matrix = torch.randn(2048, 2048, device=DEVICE).to(dtype)

    def matmul() -> None:
        torch.mm(matrix, matrix)

    return {"bare": size.bare(dtype, DEVICE), "matmul": matmul}


def theirs(size: Size, checkout: Path) -> Work:
    """Return a step and a forecast of OpenSTL's."""
    frames = windows(size)
    other = OpenSTL(checkout, size, DEVICE)
    adam = torch.optim.Adam(other.network.parameters())

    def step() -> None:
        adam.zero_grad()
        other.loss(frames).backward()  # type: ignore[no-untyped-call] # torch ships no type for it
        adam.step()

    def forecast() -> None:
        other.forecast(frames[:1])

    return {"openstl": step, "openstl_forecast": forecast}


def windows(size: Size) -> torch.Tensor:
    """Return a batch of windows, on the device."""
    shape = size.batch, FRAMES, size.channels, size.grid, size.grid
    return torch.rand(shape, device=DEVICE)


def as_batches_are(frames: torch.Tensor) -> torch.Tensor:
    """Return the frames in the order in memory that our `Batches` have."""
    return frames.permute(1, 0, 3, 4, 2).contiguous().permute(1, 0, 4, 2, 3)


def seconds(work: Callable[[], object]) -> float:
    """Return the seconds that one run takes, to its end on the device."""
    start = time.perf_counter()
    work()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_megabytes(name: str, precision: str, work: str, checkout: Path | None) -> float:
    """Return the memory that three steps take beyond what is taken, in a process of their own."""
    command = [sys.executable, "-m", "tests.benchmarks.train_step", "--sizes", name]
    command += ["--peak", f"{precision},{work}"]
    command += ["--openstl", str(checkout)] if checkout else []
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_peak(name: str, precision: str, work: str, checkout: Path | None) -> None:
    """Print what `peak_megabytes` asks for, measured in this process."""
    size = SIZES[name]
    keep_freed_memory()
    made = theirs(size, checkout) if checkout else ours(size, PRECISIONS[precision])
    run = made[work]
    forget_peak()
    before = high_water_bytes()
    for _ in range(3):
        run()
    taken = torch.cuda.max_memory_allocated() if DEVICE.type == "cuda" else high_water_bytes()
    print((taken - (0 if DEVICE.type == "cuda" else before)) / 1e6)


def row(name: str, precision: str, checkout: Path | None, repeats: int) -> dict[str, str]:
    """Measure one network in one precision."""
    size, dtype = SIZES[name], PRECISIONS[precision]
    keep_freed_memory()
    work = ours(size, dtype) | limits(size, dtype) | (theirs(size, checkout) if checkout else {})
    rounds = [{key: seconds(run) for key, run in work.items()} for _ in range(repeats + 1)][1:]

    def median(key: str, of: str | None = None) -> float:
        return statistics.median(times[key] / (times[of] if of else 1) for times in rounds)

    peak = peak_megabytes(name, precision, "step", None)
    cells = {
        "size": name,
        "precision": precision,
        "step_ms": f"{1e3 * median('step'):.0f}",
        "gflop_s": f"{SIZES[name].floating_point_operations() / 1e9 / median('step'):.0f}",
        "matmul_gflop_s": f"{2 * 2048**3 / 1e9 / median('matmul'):.0f}",
        "efficiency": f"{median('bare', 'step'):.2f}",
        "forward_share": f"{median('forward', 'step'):.2f}",
        "forecast_ms": f"{1e3 * median('forecast'):.0f}",
        "peak_mb": f"{peak:.0f}",
        "by_torch": f"{median('by_torch', 'step'):.2f}",
        "recomputed": f"{median('recomputed', 'step'):.2f}",
        "recomputed_peak_mb": f"{peak_megabytes(name, precision, 'recomputed', None):.0f}",
    }
    if checkout is not None:
        others_peak = peak_megabytes(name, precision, "openstl", checkout)
        cells["x_openstl"] = f"{median('openstl', 'step'):.2f}"
        cells["x_openstl_forecast"] = f"{median('openstl_forecast', 'forecast'):.2f}"
        cells["peak_of_openstl"] = f"{peak / others_peak:.2f}"
    return cells


def main() -> None:
    """Print the table, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--openstl", type=Path, help="a checkout of OpenSTL to compare with")
    parser.add_argument("--sizes", default=",".join(USUAL), help=f"of {', '.join(SIZES)}")
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.peak:
        precision, work = asked.peak.split(",")
        print_peak(asked.sizes, precision, work, asked.openstl)
        return
    print(f"{DEVICE}, {torch.get_num_threads()} threads", " ".join(COLUMNS), sep="\n")
    for name in asked.sizes.split(","):
        for precision in asked.precisions.split(","):
            cells = row(name, precision, asked.openstl, asked.repeats)
            print(
                " ".join(cells.get(column, "-").rjust(len(column)) for column in COLUMNS),
                flush=True,
            )


if __name__ == "__main__":
    main()
