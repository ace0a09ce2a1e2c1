"""Measures a step of the shipped network in one or several ranks on CPUs.

`OMP_NUM_THREADS=1 torchrun --standalone --nproc-per-node 2 -m tests.benchmarks.ranks
[data/patches] [--precision float32]` prints the number of ranks, of threads in each, the median
and least seconds of a step, and the CPU time that the first rank needs for one, which does not
depend on what else runs. Without torchrun there is one rank.
"""

import argparse
import statistics
import time
from itertools import pairwise
from pathlib import Path

import torch

from convlstm.model.batches import Batches
from convlstm.model.ranks import joined
from convlstm.train.loop import Training
from convlstm.train.params import Train
from stages.ranks import ALONE, place
from tests.builders import open_patches, params_of

WARM, STEPS = 3, 15  # the first steps choose kernels and fill buffers


def main() -> None:
    """Train for some steps, and print what one takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("patches", nargs="?", type=Path, default=Path("data/patches"))
    parser.add_argument("--precision", default="float32")
    given, own = parser.parse_args(), place() or ALONE
    changes = {"precision": given.precision, "epochs": None, "steps": WARM + STEPS}
    with joined(own.number, own.count) as ranks, open_patches(given.patches) as stored:
        batches = Batches(stored, repeated=True)
        training = Training(batches, params_of(Train, **changes), torch.device("cpu"), ranks)
        times: list[float] = []
        cpu: list[float] = []

        def on_step(_: float) -> None:
            times.append(time.perf_counter())
            cpu.append(time.process_time())

        next(training.epochs(on_step))
        steps = [after - before for before, after in pairwise(times[WARM:])]
        own_cpu = (cpu[-1] - cpu[WARM]) / len(steps)
        if ranks.first:
            print(
                f"{ranks.count} ranks, {torch.get_num_threads()} threads each, "
                f"{given.precision}: median {statistics.median(steps):.3f} s, "
                f"least {min(steps):.3f} s, CPU {own_cpu:.3f} s"
            )


if __name__ == "__main__":
    main()
