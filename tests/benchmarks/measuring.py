"""Measures what work takes: seconds, CPU time, and the memory of a stage in a process of its own.

`python -m tests.benchmarks.measuring STAGE`, in a folder that has params.yaml and data/, runs the
stage there and prints at the end the most bytes that its process has held.
"""

import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
MORE = 10
"""Times the data, of which no stage may take much more memory."""


class Cost(NamedTuple):
    """Seconds on the clock, and seconds of CPU time of all threads of this process."""

    seconds: float
    cpu: float


def cost(work: Callable[[], object]) -> Cost:
    """Return what one run costs."""
    seconds, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - seconds, time.process_time() - cpu)


def seconds(work: Callable[[], object]) -> float:
    """Return the seconds that one run takes."""
    return cost(work).seconds


def exhaust(items: Iterable[object]) -> None:
    """Take all items, and keep none."""
    for _ in items:
        pass


def forget_peak() -> None:
    """Let the peak of memory count from now on; on Linux."""
    Path("/proc/self/clear_refs").write_text("5")


def high_water_bytes() -> int:
    """Return the most memory that this process has held; on Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def peak_megabytes(folder: Path, stage: str) -> float:
    """Return the memory that a stage takes, which runs in the folder in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.measuring", stage],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{stage}: {done.stderr}")
    return float(done.stdout.splitlines()[-1]) / 1e6


def main() -> None:
    """Run the stage, and print its memory."""
    runpy.run_module(f"stages.{sys.argv[1]}", run_name="__main__")
    print(high_water_bytes())


if __name__ == "__main__":
    main()
