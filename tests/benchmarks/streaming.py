"""Measure a training that reads its windows from shards beside one whose frames are in memory.

`python -m tests.benchmarks.streaming PROJECT [--steps 10] [--rounds 5] [--random]`

PROJECT is a folder whose data/frames and data/patches are made. Both trainings have the shipped
params and run in one process, which changes from one to the other every few steps. That from shards
keeps the counts in memory, as one does whose frames alone are too many. It prints medians of a
step: seconds, CPU time of all threads of the process, and how long the training waited for its
batch; then the medians of the ratios of rounds, and what a batch takes that nothing runs beside.
The first step of a round is not counted, because its batch was read before.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from convlstm.model import batches
from convlstm.model.batches import Batches
from convlstm.model.device import default_device
from convlstm.storage import patches
from convlstm.storage.patches import Patches
from convlstm.train.drawing import Drawing, Step
from convlstm.train.loop import Training
from convlstm.train.params import Train
from tests.benchmarks.measuring import Cost, cost, exhaust
from tests.builders import params_of

EVERYTHING = 2**62
RANDOM = {"random_windows": True, "wet_preference": 1.0}
WARM_UP = 3  # steps before the first round


class Took(NamedTuple):
    """Seconds, seconds of CPU time, and seconds of waiting for a batch, each for one step."""

    seconds: float
    cpu: float
    waited: float


class Stepper:
    """A training that does a few steps, and goes on from there.

    Args:
        stored: the open data/patches.
        kept_bytes: are kept in memory, if the frames need no more.
        changes: of the shipped params.
    """

    def __init__(self, stored: Patches, kept_bytes: int, **changes: Any) -> None:
        batches.KEPT_IN_MEMORY_BYTES = kept_bytes
        params = params_of(Train, epochs=None, steps=10**6, **changes)
        self.training = Training(Batches(stored, repeated=True), params, default_device())
        self._waited = 0.0
        self._batches = self._timed(self.training.drawing)
        self.run(WARM_UP)

    def run(self, count: int) -> Took:
        """Do some steps, and return what all but the first took on average."""
        self._step()
        self._waited = 0.0
        took = cost(lambda: exhaust(self._step() for _ in range(count)))
        return Took(*(whole / count for whole in (took.seconds, took.cpu, self._waited)))

    def _step(self) -> float:
        return self.training._iterate(next(self._batches))

    def _timed(self, drawing: Drawing) -> Iterator[Step]:
        """Yield the batches of all epochs, and note how long each was waited for."""
        for epoch in range(1, 10**6):
            order = drawing.epoch(epoch)
            while True:
                began = time.perf_counter()
                batch = next(order, None)
                self._waited += time.perf_counter() - began
                if batch is None:
                    break
                yield batch


def of_batch(stepper: Stepper, count: int = 20) -> Cost:
    """Return what a batch takes on this thread while nothing else runs; they are other ones."""
    drawing = stepper.training.drawing
    count = min(count, drawing.steps)
    numbers = np.random.default_rng(1).permutation(drawing.batches.count("train"))
    parts = np.array_split(numbers[: count * drawing.params.batch_size], count)
    took = cost(lambda: [drawing._step(part, 10**6, step) for step, part in enumerate(parts)])
    return Cost(took.seconds / count, took.cpu / count)


def print_rows(project: Path, steps: int, rounds: int, **changes: Any) -> None:
    """Measure, and print the rows."""
    with patches.opened(project / "data/patches", project / "data/frames") as stored:
        counts = sum(own.nbytes for own in stored.counts)
        both = [Stepper(stored, kept, **changes) for kept in (EVERYTHING, counts)]
        pairs = [[own.run(steps) for own in both] for _ in range(rounds)]
        alone = [of_batch(own) for own in both]
    print(
        f"a step in ms, {torch.get_num_threads()} threads; {changes or 'the windows of the grid'}"
    )
    for name, own, batch in zip(("memory", "shards"), zip(*pairs, strict=True), alone, strict=True):
        median = Took(*(1e3 * statistics.median(each) for each in zip(*own, strict=True)))
        print(
            f"{name}  {median.seconds:.1f}, CPU {median.cpu:.1f}, waited {median.waited:.2f}; "
            f"a batch alone {1e3 * batch.seconds:.1f}, CPU {1e3 * batch.cpu:.1f}"
        )
    for at, name in enumerate(("seconds", "CPU")):
        ratios = sorted(streamed[at] / kept[at] for kept, streamed in pairs)
        print(
            f"ratio   {name} {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        )


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--random", action="store_true", help="random windows, by their rain")
    asked = parser.parse_args()
    print_rows(asked.project, asked.steps, asked.rounds, **(RANDOM if asked.random else {}))


if __name__ == "__main__":
    main()
