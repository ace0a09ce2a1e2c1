"""Measures the parts of a step of training: convolutions, gates, copies and the rest.

`python -m tests.benchmarks.parts [--sizes small,report]`; times are those of torch's profiler.
"""

import argparse

import torch
from torch.profiler import ProfilerActivity, profile

from .sizes import SIZES, USUAL
from .train_step import DEVICE, PRECISIONS, ours

PARTS = {
    "convolutions": ("conv",),
    "copies": ("copy", "cat", "fill", "zero", "contiguous", "clone"),
    "gates": ("sigmoid", "tanh", "mul", "add", "sub", "div"),
    "sums": ("sum", "mm", "norm"),
}
STEPS = 3


def part_of(operation: str) -> str:
    """Return the first part that has a mark which is in the name of an operation."""
    return next(
        (part for part, marks in PARTS.items() if any(mark in operation for mark in marks)), "rest"
    )


def shares(size: str, precision: str) -> dict[str, float]:
    """Return the share of each part in the time of a step."""
    step = ours(SIZES[size], PRECISIONS[precision])["step"]
    step()
    on_gpu = DEVICE.type == "cuda"
    activities = [ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]
    with profile(activities=activities) as profiler:
        for _ in range(STEPS):
            step()
        if on_gpu:
            torch.cuda.synchronize()
    times = dict.fromkeys([*PARTS, "rest"], 0.0)
    for event in profiler.key_averages():
        spent = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        times[part_of(event.key)] += spent
    return {part: spent / sum(times.values()) for part, spent in times.items()}


def main() -> None:
    """Print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default=",".join(USUAL))
    parser.add_argument("--precision", default="float32", choices=PRECISIONS)
    asked = parser.parse_args()
    for size in asked.sizes.split(","):
        found = shares(size, asked.precision)
        print(size, *(f"{part} {share:.0%}" for part, share in found.items()), sep="  ", flush=True)


if __name__ == "__main__":
    main()
