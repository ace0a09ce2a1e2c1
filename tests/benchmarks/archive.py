"""Measure an archive that grows: `dvc repro` of the data stages at first, and after a growth.

`python -m tests.benchmarks.archive FOLDER [--gigabytes 20] [--growth 0.01]`

It writes days of rain into FOLDER, a file for each, and runs the stages in a clone of the
repository beside them. It prints seconds, bytes that DVC has stored anew, and files; then what
`tests.benchmarks.streaming` says of a step of training that reads its windows from the shards. Days
that are there already are used again.
"""

import argparse
import resource
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.streaming import RANDOM, print_rows
from tests.system.repository import call, clone

FRAMES_OF_A_DAY, SIDE_PIXELS = 288, 256
STEPS, ROUNDS = 10, 5
WINDOWS: dict[str, Any] = {
    "context_frames": 10,
    "forecast_frames": 10,
    "stride": 10,
    "tile_size": 128,
}


def write_day(path: Path, day: int) -> None:
    """Write a day of rain, of which 5 % of the pixels are wet, unless it is there."""
    if path.exists():
        return
    chance = np.random.default_rng(day)
    coarse = chance.random((FRAMES_OF_A_DAY // 8, SIDE_PIXELS // 8, SIDE_PIXELS // 8)) < 0.05
    wet = np.kron(coarse, np.ones((8, 8, 8), bool))
    values = chance.integers(40, 200, wet.shape, np.uint8)
    np.save(path, wet * values)


def stored(folder: Path) -> tuple[int, int]:
    """Return the number of files below a folder, and their bytes."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def repro(repository: Path) -> tuple[float, float, int]:
    """Run the data stages; returns seconds, those of CPU time, and the bytes that DVC has got."""
    cache = repository / ".dvc/cache/files"
    before, cpu, began = stored(cache)[1], cpu_of_children(), time.perf_counter()
    call(repository, "dvc", "repro", "patch")
    took = time.perf_counter() - began
    return took, cpu_of_children() - cpu, stored(cache)[1] - before


def cpu_of_children() -> float:
    """Return the CPU time of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=20.0)
    parser.add_argument("--growth", type=float, default=0.01)
    asked = parser.parse_args()
    raw, repository = asked.folder / "raw", asked.folder / "repository"
    raw.mkdir(parents=True, exist_ok=True)
    days = round(asked.gigabytes * 1e9 / (FRAMES_OF_A_DAY * SIDE_PIXELS**2))
    more = max(1, round(asked.growth * days))
    for day in range(days):
        write_day(raw / f"{day:05d}.npy", day)
    for day in range(days, days + more):
        (raw / f"{day:05d}.npy").unlink(missing_ok=True)
    shutil.rmtree(repository, ignore_errors=True)
    clone(repository, raw=str(raw), value_range=[0, 255], **WINDOWS)
    first = repro(repository)
    for day in range(days, days + more):
        write_day(raw / f"{day:05d}.npy", day)
    grown = repro(repository)
    print(f"raw       {days} days, {stored(raw)[1] / 1e9:.1f} GB; {more} more days")
    for name, (seconds, cpu, new) in (("first", first), ("growth", grown)):
        print(f"{name:9} {seconds:.1f} s, {cpu:.1f} s of CPU time, {new / 1e6:.1f} MB stored")
    shares = ", ".join(f"{own / before:.1%}" for own, before in zip(grown, first, strict=True))
    print(f"share     {shares}")
    for name in ("frames", "patches"):
        files, size = stored(repository / "data" / name)
        print(f"{name:9} {files} files, {size / 1e6:.1f} MB")
    for changes in ({}, RANDOM):
        print_rows(repository, STEPS, ROUNDS, **changes)


if __name__ == "__main__":
    main()
