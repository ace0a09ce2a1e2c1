"""Measures an ingest on all cores beside bare decoders in as many processes.

`python -m tests.benchmarks.cores [--rows png,gif] [--days 8] [--frames 576] [--rounds 3]` prints a
row for each kind of file: frames/s of the bare library, which decodes and does nothing else, those
of the ingest without its start, and the ratio; then the CPU time of both in ms per frame, and its
ratio. Each day is a folder or a file, and a shard. The two run in turn; figures are medians, and
ratios medians of those of one round. The start is the time of an ingest of as many days of few
frames, and processes that decode are started before the clock is.
"""

import argparse
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

from convlstm.ingest import cutting
from convlstm.ingest.sources import find
from convlstm.runtime import system
from convlstm.runtime.errors import Faults
from tests.builders import reading_of

from .measuring import Cost, exhaust
from .pipeline import ingest
from .readers import KINDS, Film, film

FEW_FRAMES = 4
DRY = 0.9  # of the pixels of radar
ROWS = {
    "png": ("png", "rain", 1),
    "png large": ("png", "rain", 6),
    "png noise": ("png", "noise", 1),
    "gif": ("gif", "rain", 1),
    "hdf5": ("hdf5", "rain", 1),
    "netcdf": ("netcdf4", "rain", 1),
}
"""The kind of each row, what its frames show, and how many times larger than 512 a side is."""
SIDE_PIXELS = 512
COLUMNS = ("row", "kB", "bare/s", "ingest/s", "ratio", "bare_ms", "ingest_ms", "of_cpu")


class Days(NamedTuple):
    """The days of one kind in a folder, and how many frames they have together."""

    folder: Path
    kind: str
    frames: int

    @property
    def paths(self) -> list[Path]:
        """One file or folder a day."""
        return sorted(self.folder.iterdir())

    @property
    def bytes_of_a_day(self) -> int:
        """The bytes of the files of a day."""
        day = self.paths[0]
        files = day.iterdir() if day.is_dir() else [day]
        return sum(path.stat().st_size for path in files)


def shown(what: str, frames: int, times: int) -> Film:
    """Return a film of smooth rain, of which most is dry, or of noise."""
    if what == "noise":
        chance = np.random.default_rng(0)
        noise = chance.integers(0, 256, (20, SIDE_PIXELS, SIDE_PIXELS), np.uint8)
        return noise[np.arange(frames) % len(noise)]
    rain = film(frames, SIDE_PIXELS)
    wet = np.where(rain > np.quantile(rain[:20], DRY), rain, 0)
    return np.tile(wet, (1, times, times))


def write(folder: Path, row: str, days: int, frames: int) -> Days:
    """Write days of one kind, which are copies of the first."""
    name, what, times = ROWS[row]
    kind = KINDS[name]
    folder.mkdir()
    frames = max(FEW_FRAMES, frames // times**2)
    first = folder / f"day0{Path(kind.raw).suffix}"
    kind.write(first, shown(what, frames, times))
    for day in range(1, days):
        copy = folder / f"day{day}{first.suffix}"
        (shutil.copytree if first.is_dir() else shutil.copyfile)(first, copy)
    return Days(folder, name, days * frames)


def decode(kind: str, day: Path) -> None:
    """Decode all frames of a day by the bare library."""
    exhaust(KINDS[kind].read(day))


def cost_of_all(work: Callable[[], object]) -> Cost:
    """Return what one run costs, with the CPU time of processes that have ended in it."""
    began, before = time.perf_counter(), _cpu()
    work()
    return Cost(time.perf_counter() - began, _cpu() - before)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def bare(days: Days) -> Cost:
    """Return what the bare library costs in as many processes as there are cores."""
    with ProcessPoolExecutor(system.cores(), mp_context=get_context("spawn")) as pool:
        for _ in pool.map(decode, [days.kind] * 2 * system.cores(), days.paths[:1] * 8):
            pass  # all processes have started, and loaded the library
        began = time.perf_counter()
        cpu = sum(pool.map(_cpu_of_decoding, [days.kind] * len(days.paths), days.paths))
        return Cost(time.perf_counter() - began, cpu)


def _cpu_of_decoding(kind: str, day: Path) -> float:
    before = time.process_time()
    decode(kind, day)
    return time.process_time() - before


@contextmanager
def a_shard_a_day(days: Days) -> Iterator[None]:
    """Let a shard hold a day in the block."""
    kept, cutting.LEAST_BYTES = cutting.LEAST_BYTES, days.bytes_of_a_day
    yield
    cutting.LEAST_BYTES = kept


def ingested(days: Days, out: Path) -> Cost:
    """Return what an ingest costs that knows nothing of what was made before."""
    reading = reading_of(**KINDS[days.kind].reading)
    with a_shard_a_day(days):
        count = len(cutting.jobs(find(days.folder, reading, Faults()), reading, "", out))
        assert count == len(days.paths)
        return cost_of_all(lambda: ingest(days.folder, out, reading))


def row(name: str, folder: Path, days: int, frames: int, rounds: int) -> dict[str, str]:
    """Measure one kind."""
    some, few = (write(folder / str(count), name, days, count) for count in (frames, FEW_FRAMES))
    found = []
    for _ in range(rounds):
        start, whole = (ingested(own, folder / "frames") for own in (few, some))
        count = some.frames - few.frames
        ours = [(own - began) / count for own, began in zip(whole, start, strict=True)]
        found.append((Cost(*(own / some.frames for own in bare(some))), Cost(*ours)))

    def median(of: Callable[[Cost, Cost], float], form: str) -> str:
        return format(statistics.median(of(*one) for one in found), form)

    return {
        "row": name,
        "kB": f"{some.bytes_of_a_day * days / some.frames / 1e3:.0f}",
        "bare/s": median(lambda bare, _: 1 / bare.seconds, ".0f"),
        "ingest/s": median(lambda _, ours: 1 / ours.seconds, ".0f"),
        "ratio": median(lambda bare, ours: bare.seconds / ours.seconds, ".2f"),
        "bare_ms": median(lambda bare, _: 1e3 * bare.cpu, ".2f"),
        "ingest_ms": median(lambda _, ours: 1e3 * ours.cpu, ".2f"),
        "of_cpu": median(lambda bare, ours: bare.cpu / ours.cpu, ".2f"),
    }


def main() -> None:
    """Print the table, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--days", type=int, default=4 * system.cores())
    parser.add_argument("--frames", type=int, default=576, help="a day, of 512 x 512 pixels")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    print(" ".join(column.rjust(9) for column in COLUMNS))
    for name in asked.rows.split(","):
        with tempfile.TemporaryDirectory() as temporary:
            cells = row(name, Path(temporary), asked.days, asked.frames, asked.rounds)
        print(" ".join(cells[column].rjust(9) for column in COLUMNS), flush=True)


if __name__ == "__main__":
    main()
