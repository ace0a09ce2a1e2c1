"""What the stages around the network cost, on the shipped params and their demo.

`python -m tests.benchmarks.pipeline [--repeats 5]` prints a row for each: ingest against a bare
loop of the decoder, the loading of batches as a share of a step of training, and the evaluation.
All that a row compares runs interleaved in this process; figures are medians.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

from convlstm.demo import rain
from convlstm.evaluate import scoring
from convlstm.ingest import decoding, images, sources
from convlstm.model.batches import Batches
from convlstm.model.device import default_device
from convlstm.params.groups import Demo, Evaluate, GroupT, Patch, Reading, Train
from convlstm.patch import building
from convlstm.runtime.errors import Faults
from convlstm.storage import hdf5, store
from convlstm.train.loop import Training

from .train_step import high_water_bytes

PARAMS = Path(__file__).parents[2] / "params.yaml"


def shipped(group: type[GroupT]) -> GroupT:
    """A group of the shipped params."""
    values = YAML(typ="safe", pure=True).load(PARAMS.read_text(encoding="utf-8"))
    return group.model_validate({key: values[key] for key in group.model_fields})


def seconds(work: Callable[[], object]) -> float:
    """Of one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def exhaust(items: Iterable[object]) -> None:
    """Take all of them."""
    for _ in items:
        pass


def write_demo(folder: Path) -> list[Path]:
    """The demo's frames."""
    demo = shipped(Demo)
    paths = []
    for index in range(demo.demo_sequences):
        (folder / f"{index:03d}").mkdir(parents=True)
        sequence = rain.sequence(
            frames=demo.demo_frames, size=demo.demo_size, seed=demo.demo_seed, index=index
        )
        for number, frame in enumerate(sequence):
            paths.append(folder / f"{index:03d}" / f"{number:02d}.png")
            images.write(paths[-1], frame[None])
    return paths


def ingest(raw: Path, path: Path) -> None:
    """As the stage does it."""
    faults, reading = Faults(), shipped(Reading)
    with hdf5.create(path) as file:
        for source, sequence in decoding.read(sources.find(raw, reading, faults), reading, faults):
            store.append_sequence(file, source.name, sequence)
        hdf5.describe(file, reading=reading.model_dump())


def decode(paths: list[Path]) -> None:
    """The bare decoder, one frame after another."""
    for path in paths:
        with Image.open(path) as image:
            np.asarray(image)


def print_training(batches: Batches, repeats: int) -> None:
    """How much of a step is waiting for its batch."""
    params = shipped(Train)
    learner = Training(batches, params, default_device())
    steps: list[float] = []
    last = time.perf_counter()

    def on_step(_: float) -> None:
        nonlocal last
        steps.append(time.perf_counter() - last)
        last = time.perf_counter()

    next(iter(learner.epochs(on_step)))
    loads = [
        seconds(lambda: exhaust(batches.shuffled("train", params.batch_size, seed=0, epoch=1)))
        for _ in range(repeats)
    ]
    load = statistics.median(loads) / learner.steps_an_epoch
    step = statistics.median(steps)
    print(f"training  {1e3 * step:.0f} ms a step, of which loading {load / step:.1%}")


def print_evaluation(batches: Batches) -> None:
    """Windows of five forecasters, all their scores, and the memory that it takes."""
    model = Training(batches, shipped(Train), default_device()).model
    asked = scoring.setting(batches, shipped(Evaluate))
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak so far
    before = high_water_bytes()
    took = seconds(lambda: exhaust(scoring.score(model, batches, asked)))
    context = [
        batches.pixels(batch)[0][:, : batches.context_frames]
        for batch in batches.in_order("test", scoring.TEST_BATCH)
    ]
    network = seconds(
        lambda: exhaust(model.rollout(frames, batches.forecast_frames) for frames in context)
    )
    count = batches.count("test") * batches.forecast_frames
    peak = (high_water_bytes() - before) / 1e6
    print(f"evaluate  {count / took:.0f} frames/s of each of 5 forecasters, {peak:.0f} MB")
    print(f"          {took:.2f} s, of which the network's own forecasts {network:.2f} s")


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths, path = write_demo(folder / "demo"), folder / "frames.h5"
        rounds = [
            (seconds(lambda: ingest(folder / "demo", path)), seconds(lambda: decode(paths)))
            for _ in range(repeats)
        ]
        rate = len(paths) / statistics.median(ours for ours, _ in rounds)
        share = statistics.median(bare / ours for ours, bare in rounds)
        print(f"ingest    {rate:.0f} frames/s, {share:.2f} of the bare decoder's")
        with hdf5.reading(path) as source, hdf5.create(folder / "patches.h5") as target:
            exhaust(building.build(source, target, shipped(Patch)))
        with hdf5.reading(folder / "patches.h5") as file:
            print_training(Batches(file, repeated=True), repeats)
        with hdf5.reading(folder / "patches.h5") as file:
            print_evaluation(Batches(file, repeated=False))


if __name__ == "__main__":
    main()
