"""Scores this network on Moving MNIST beside OpenSTL's ConvLSTM, trained for the same CPU time.

`python -m tests.benchmarks.moving_mnist [--openstl CHECKOUT] [--minutes 20] [-S key=value]...`
takes the params of train from params.yaml, changed by -S, and windows of 10 and 10 frames from
data/patches, which the stages build with `demo_kind: digits` and `demo_size: 64`. To choose
params, `--split valid` scores the validation windows in the place of the test windows.

Both networks take their best weights by free forecasts of the validation windows. The time of these
counts in our minutes, not in those of OpenSTL's, which gets the faster of its two precisions.
`MSE` and `MAE` are sums over the pixels of a frame, before clipping, as OpenSTL prints them; SSIM
is that of docs/scores.md. Of an ensemble its mean is scored. Minutes are those of CPU time, on one
thread of one core, because other work on a machine shortens the others: set OMP_NUM_THREADS=1.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from convlstm.evaluate import baselines
from convlstm.evaluate.baselines import Context
from convlstm.model.batches import Batch, Batches
from convlstm.params import loading
from convlstm.runtime import exits
from convlstm.runtime.errors import BadInput
from convlstm.scores.frame import LeadMeans
from convlstm.sums import frame
from convlstm.train.loop import Training
from convlstm.train.params import Train
from tests.builders import open_patches

from .cpu_time import CPUTime
from .recipe import Recipe
from .sizes import CONTEXT, FRAMES

PARAMS = Path("params.yaml")
CPU = torch.device("cpu")
WINDOWS = 8  # that are forecast at a time
COLUMNS = ("network", "steps", "CPU minutes", "MSE", "per pixel", "clipped", "MAE", "SSIM")

Frames = Float[np.ndarray, "batch time channel row col"]
Forecaster = Callable[[Batch], Frames]
"""Forecasts windows of which it is given the context alone."""


def scores(forecast: Forecaster, batches: Batches, split: str) -> dict[str, float]:
    """Return the scores of free forecasts of a split, as means over windows and lead times."""
    known, means, total, count = batches.context_frames, LeadMeans(), 0.0, 0
    for batch in batches.in_order(split, WINDOWS):
        frames, mask = (pixels[:, known:] for pixels in batches.pixels(batch))
        context = Batch(batch.frames[:, :known], batch.mask[:, :known])
        forecasts = forecast(context)
        total += float(np.square(forecasts - frames, dtype=np.float64).sum())
        count += len(frames) * frames.shape[1]
        given = map(torch.from_numpy, (forecasts[None], frames, mask))
        means.add(frame.values(*given)[0].numpy())
    return {**means.overall(), "unclipped": total / count}


def ours(training: Training, members: int) -> Forecaster:
    """Return our network as a forecaster, of which the mean of members is taken."""

    def forecast(context: Batch) -> Frames:
        leads = training.batches.forecast_frames
        folded = training.model.rollout(*context, leads, members)
        return np.asarray(training.batches.geometry.unfold(folded.numpy()).mean(axis=0))

    return forecast


def theirs(recipe: Recipe) -> Forecaster:
    """Return OpenSTL's network as a forecaster; for true frames it is given zeros."""

    def forecast(context: Batch) -> Frames:
        shape = context.frames.shape
        unknown = torch.zeros(shape[0], FRAMES - CONTEXT, *shape[2:])
        folded = recipe.openstl.forecast(torch.cat([context.frames, unknown], dim=1))
        return recipe.batches.geometry.unfold(folded.numpy())

    return forecast


def baseline(batches: Batches, forecast: Callable[[Context], torch.Tensor]) -> Forecaster:
    """Return a forecast without a network as a forecaster."""

    def of(context: Batch) -> Frames:
        frames = torch.from_numpy(batches.pixels(context)[0])
        return forecast(Context(frames, batches.forecast_frames)).numpy()

    return of


def row(name: str, spent: tuple[int, float] | None, found: dict[str, float], pixels: int) -> str:
    """Return a line of the table.

    Args:
        name: of the network.
        spent: steps and CPU minutes; None without training.
        found: what `scores` returns.
        pixels: of a frame.
    """
    mse = found["unclipped"]
    cells = [f"{spent[0]}", f"{spent[1]:.1f}"] if spent else ["", ""]
    cells += [f"{mse:.2f}", f"{mse / pixels:.5f}"]
    cells += [f"{found['mse']:.2f}", f"{found['fmae']:.1f}", f"{found['ssim']:.4f}"]
    return f"| {name} | {' | '.join(cells)} |"


def train_ours(batches: Batches, params: Train) -> Training:
    """Train our network."""
    training = Training(batches, params, CPU)
    training.budget = CPUTime(params, training.steps_per_epoch)
    for epoch in training.epochs(lambda _loss: None):
        minutes = training.budget.seconds / 60
        print(
            f"ours: {training.iteration} steps in {minutes:.1f} minutes, validation MSE "
            f"{epoch.validation['mse']:.2f}",
            flush=True,
        )
    return training


def train_theirs(batches: Batches, params: Train, checkout: Path) -> Recipe:
    """Train OpenSTL's network."""

    def validate(recipe: Recipe) -> float:
        mse = scores(theirs(recipe), batches, "valid")["unclipped"]
        minutes = recipe.budget.seconds / 60
        print(
            f"OpenSTL: {recipe.steps} steps in {minutes:.1f} minutes, validation MSE {mse:.2f}",
            flush=True,
        )
        return mse

    recipe = Recipe(batches, checkout, params, validate)
    for dtype, seconds in recipe.choose_precision().items():
        print(f"OpenSTL: {seconds:.1f} s a step in {dtype}", flush=True)
    recipe.train()
    return recipe


def compare(asked: argparse.Namespace) -> None:
    """Train what is asked for, and print the table."""
    shipped = loading.load(PARAMS, Train).model_dump()
    limits = {"epochs": None, "steps": None, "minutes": asked.minutes}
    params = loading.change(shipped | limits, asked.changes, Train, where=str(PARAMS))
    with open_patches(asked.patches) as stored:
        batches = Batches(stored, repeated=True)
        if (batches.context_frames, batches.window_frames) != (CONTEXT, FRAMES):
            raise BadInput(
                f"{asked.patches}: windows must have {CONTEXT} context frames of {FRAMES}; "
                f"set context_frames and forecast_frames to 10 and run `dvc repro patch`"
            )
        counts = ", ".join(f"{batches.count(split)} {split}" for split in batches.index)
        print(f"windows: {counts}; {torch.get_num_threads()} threads", flush=True)
        score = partial(scores, batches=batches, split=asked.split)
        line = partial(row, pixels=batches.geometry.pixels)
        table = [
            line(f"none: {forecast.__name__}", None, score(baseline(batches, forecast)))
            for forecast in (baselines.zeros, baselines.persistence)
        ]
        if not asked.only_openstl:
            training = train_ours(batches, params)
            members = 1 if params.members == 1 else asked.members
            spent = training.iteration, training.budget.seconds / 60
            table.append(line("ours", spent, score(ours(training, members))))
        if asked.openstl:
            recipe = train_theirs(batches, params, asked.openstl)
            spent = recipe.steps, recipe.budget.seconds / 60
            table.append(line("OpenSTL's", spent, score(theirs(recipe))))
    print(f"\n{asked.split} windows\n", f"| {' | '.join(COLUMNS)} |", sep="\n")
    print("|" + "---|" * len(COLUMNS), *table, sep="\n")


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of a command line; None for that of the process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=Path, default=Path("data/patches"))
    parser.add_argument("--openstl", type=Path, help="a checkout of OpenSTL to compare with")
    parser.add_argument("--only-openstl", action="store_true", help="train no network of ours")
    parser.add_argument("--minutes", type=float, default=20.0, help="of CPU time, for each")
    parser.add_argument("--members", type=int, default=24, help="of our ensemble, if it is one")
    parser.add_argument("--split", choices=("valid", "test"), default="test")
    parser.add_argument(
        "-S", dest="changes", metavar="key=value", action="append", default=[], help="to params"
    )
    return parser.parse_args(words)


def main() -> None:
    """Compare as the command line asks."""
    asked = parsed()
    exits.run(lambda: compare(asked))


if __name__ == "__main__":
    main()
