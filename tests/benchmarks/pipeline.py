"""Measures the stages around the network, on the shipped params and their demo.

`python -m tests.benchmarks.pipeline [--repeats 5] [--sequences 96]` prints a row for each: ingest
against a bare loop of the decoder, our files on the disk, the loading of batches as a share of a
step of training, and the evaluation. Everything that a row compares runs interleaved in this
process; figures are medians. With `--memory` it prints instead what ingest, patch and evaluate take
of it, each in a process of its own, and how much more ten times the sequences take.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from convlstm.demo import rain
from convlstm.demo.params import Demo
from convlstm.evaluate import scoring
from convlstm.evaluate.params import TEST_BATCH, Evaluate
from convlstm.ingest.params import Reading
from convlstm.model.batches import Batches
from convlstm.model.device import default_device
from convlstm.patch import building
from convlstm.patch.params import Patch
from convlstm.runtime.files import replacing_folder
from convlstm.storage import frames as frames_h5
from convlstm.storage import hdf5
from convlstm.train.loop import Training
from convlstm.train.params import Train
from tests import ingesting
from tests.builders import open_patches, params_of, reading_of, write_params

from .measuring import MORE, exhaust, forget_peak, high_water_bytes, peak_megabytes, seconds


def write_demo(folder: Path, demo: Demo) -> list[Path]:
    """Write the frames of the demo; returns their paths."""
    paths = []
    for index in range(demo.demo_sequences):
        (folder / f"{index:03d}").mkdir(parents=True)
        sequence = rain.sequence(
            frames=demo.demo_frames, size=demo.demo_size, seed=demo.demo_seed, index=index
        )
        for number, frame in enumerate(sequence):
            paths.append(folder / f"{index:03d}" / f"{number:02d}.png")
            Image.fromarray(frame).save(paths[-1])
    return paths


def ingest(raw: Path, folder: Path, reading: Reading) -> None:
    """Do what the stage does when it knows nothing of what was made before."""
    cache = folder.with_name("ingested")
    shutil.rmtree(cache, ignore_errors=True)
    ingesting.ingest(raw, folder, reading, cache)


def decode(paths: list[Path]) -> None:
    """Decode one frame after another, and do nothing else."""
    for path in paths:
        with Image.open(path) as image:
            np.asarray(image)


def print_disk(frames: Path, patches: Path, raw: list[Path], repeats: int) -> None:
    """Print the bytes of our files over those of the raw ones, and how fast frames are moved."""
    with frames_h5.opened(frames) as found:
        stored = [sequence.frames for sequence in found.sequences.values()]
        blocks = [dataset[:] for dataset in stored]
        megabytes = sum(block.nbytes for block in blocks) / 1e6
        reads = [seconds(lambda: exhaust(dataset[:] for dataset in stored)) for _ in range(repeats)]
    writes = [seconds(lambda: write(frames.with_name("again.h5"), blocks)) for _ in range(repeats)]
    with open_patches(patches) as opened:
        batches = Batches(opened, repeated=False)
        every = range(batches.count("train"))
        windows = [seconds(partial(batches.take, "train", [number])) for number in every]
    ours = sum(path.stat().st_size for own in (frames, patches) for path in own.iterdir())
    share = ours / sum(path.stat().st_size for path in raw)
    written, read = (megabytes / statistics.median(taken) for taken in (writes, reads))
    print(
        f"disk      {share:.2f} times the raw bytes; frames are written at {written:.0f} MB/s and "
        f"read at {read:.0f}, a window in {1e3 * statistics.median(windows):.1f} ms"
    )


def print_memory(sequences: int) -> None:
    """Print the memory of the stages, with these sequences and with ten times as many."""
    peaks: list[dict[str, float]] = []
    for count in (sequences, MORE * sequences):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "data").mkdir()
            write_params(folder, demo_sequences=count, epochs=None, steps=1)
            stages = ("demo", "ingest", "patch", "train", "evaluate")
            peaks.append({stage: peak_megabytes(folder, stage) for stage in stages})
    for stage in ("ingest", "patch", "evaluate"):
        low, high = (peak[stage] for peak in peaks)
        print(f"{stage:9} {low:.0f} MB, {high - low:.0f} MB more with {MORE} times the sequences")


def write(path: Path, blocks: list[np.ndarray]) -> None:
    """Write frames that are in memory."""
    with hdf5.create(path) as file:
        for number, block in enumerate(blocks):
            hdf5.append(hdf5.growing(file, str(number), block.shape[1:], block.dtype), block)


def print_training(batches: Batches, repeats: int) -> None:
    """Print the time of a step, and the share of it that loading a batch takes."""
    params = params_of(Train)
    learner = Training(batches, params, default_device())
    steps: list[float] = []
    last = time.perf_counter()

    def on_step(_: float) -> None:
        nonlocal last
        steps.append(time.perf_counter() - last)
        last = time.perf_counter()

    next(iter(learner.epochs(on_step)))
    loads = [seconds(lambda: exhaust(learner.drawing.epoch(1))) for _ in range(repeats)]
    load = statistics.median(loads) / learner.steps_per_epoch
    step = statistics.median(steps)
    print(f"training  {1e3 * step:.0f} ms per step, of which loading {load / step:.1%}")


def print_evaluation(batches: Batches) -> None:
    """Print the rate at which windows of eight forecasters are scored, and the memory it takes."""
    model = Training(batches, params_of(Train), default_device()).model
    config = scoring.ScoreConfig.each_of(batches, params_of(Evaluate))[0]
    forget_peak()
    before = high_water_bytes()
    took = seconds(lambda: exhaust(scoring.evaluate(model, batches, [config], keep=())))
    contexts = [
        (batch.frames[:, : batches.context_frames], batch.mask[:, : batches.context_frames])
        for batch in batches.in_order("test", TEST_BATCH)
    ]
    members = scoring.members_of(model, config)
    network = seconds(
        lambda: exhaust(
            model.rollout(*context, batches.forecast_frames, members) for context in contexts
        )
    )
    count = batches.count("test") * batches.forecast_frames
    peak = (high_water_bytes() - before) / 1e6
    print(f"evaluate  {count / took:.0f} frames/s of each of 8 forecasters, {peak:.0f} MB")
    print(f"          {took:.2f} s, of which the network's own forecasts {network:.2f} s")


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--sequences", type=int, help="of the demo; as in params.yaml, if not given"
    )
    parser.add_argument("--memory", action="store_true")
    asked = parser.parse_args()
    if asked.memory:
        print_memory(asked.sequences or params_of(Demo).demo_sequences)
        return
    demo = params_of(Demo, **({"demo_sequences": asked.sequences} if asked.sequences else {}))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths, path = write_demo(folder / "demo", demo), folder / "frames"
        rounds = [
            (
                seconds(lambda: ingest(folder / "demo", path, reading_of())),
                seconds(lambda: decode(paths)),
            )
            for _ in range(asked.repeats)
        ]
        rate = len(paths) / statistics.median(ours for ours, _ in rounds)
        share = statistics.median(bare / ours for ours, bare in rounds)
        print(f"ingest    {rate:.0f} frames/s, {share:.2f} of the bare decoder's")
        with replacing_folder(folder / "patches") as new:
            building.build(path, new, params_of(Patch), folder / "counted", lambda _: None)
        print_disk(path, folder / "patches", paths, asked.repeats)
        with open_patches(folder / "patches") as stored:
            print_training(Batches(stored, repeated=True), asked.repeats)
        with open_patches(folder / "patches") as stored:
            print_evaluation(Batches(stored, repeated=False))


if __name__ == "__main__":
    main()
