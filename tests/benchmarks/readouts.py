"""Measures a step of training with each readout: `python -m tests.benchmarks.readouts`.

It takes windows of data/patches, which `dvc repro patch` builds, and the shipped params, and
prints the median of each, of steps that run interleaved in one process, and its ratio to `frame`.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

from convlstm.model.batches import Batches
from convlstm.model.device import default_device
from convlstm.params.loading import load
from convlstm.train.loop import Training
from convlstm.train.params import Train
from tests.builders import open_patches

ALONE: dict[str, Any] = {"members": 1, "loss": "mse"}
READOUTS: dict[str, dict[str, Any]] = {
    "frame": ALONE | {"readout": "frame"},
    "motion": ALONE | {"readout": "motion"},
    "cascade, 1 member, mse": ALONE | {"readout": "cascade"},
    "cascade, 2 members, crps": {"readout": "cascade", "members": 2, "loss": "crps"},
    "cascade, 4 members, crps": {"readout": "cascade", "members": 4, "loss": "crps"},
}


def main() -> None:
    """Print a row for each readout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=Path, default=Path("data/patches"))
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    shipped = load(Path("params.yaml"), Train).model_dump()
    with open_patches(arguments.patches) as stored:
        batches, device = Batches(stored, repeated=True), default_device()
        runs = {
            name: Training(batches, Train.model_validate(shipped | changes), device)
            for name, changes in READOUTS.items()
        }
        steps = {name: next(run.drawing.epoch(1)) for name, run in runs.items()}
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(arguments.repeats):
            for name, run in runs.items():
                start = time.perf_counter()
                run._iterate(steps[name])
                seconds[name].append(time.perf_counter() - start)
    print(f"{'readout':28}{'ms per step':>12}{'x frame':>10}")
    for name, own in seconds.items():
        ratios = [a / b for a, b in zip(own, seconds["frame"], strict=True)]
        print(f"{name:28}{1e3 * statistics.median(own):12.0f}{statistics.median(ratios):10.2f}")


if __name__ == "__main__":
    main()
