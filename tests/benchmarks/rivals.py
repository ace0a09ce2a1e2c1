"""Scores the model on the test windows beside what a forecaster would use instead of it.

`python -m tests.benchmarks.rivals [--patches data/patches] [--model data/model.safetensors]`
needs the extra `rivals` and the params.yaml of the run, from which it takes the thresholds; with
`--untrained` the readout `cascade` stands in as it is before training. An ensemble has three rows:
its mean (with the CRPS of the members), its probability-matched mean and a single member (mean over
members). MSE and CRPS, of one forecast the MAE, are sums over the pixels of a frame, pooled over
windows; du are data units. Power is over the truth's at wavelengths over 32, of 8 to 32 and of 2 to
8 pixels. CSI has the frequency bias in brackets.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float

from convlstm.evaluate import baselines
from convlstm.evaluate.matching import probability_matched_mean
from convlstm.evaluate.params import Evaluate
from convlstm.evaluate.scoring import ScoreConfig
from convlstm.model import model_file
from convlstm.model.batches import Batch, Batches
from convlstm.model.model_file import Model
from convlstm.params.loading import load
from convlstm.scores import categorical, ensemble, spectral
from convlstm.scores.score import ratio
from convlstm.sums import categorical as event_sums
from convlstm.sums import ensemble as ensemble_sums
from convlstm.sums import spectral as spectral_sums
from convlstm.train.loop import Training
from convlstm.train.params import Train
from tests.builders import open_patches

from .nowcasts import OPTIONS, Members, Nowcast, Units

PARAMS = Path("params.yaml")
CPU = torch.device("cpu")
Frames = Float[np.ndarray, "time channel row col"]
Mask = Bool[np.ndarray, "time channel row col"]


class Context(NamedTuple):
    """All that a forecaster may see: folded as the network takes it, and in pixels."""

    folded: Batch
    frames: Frames
    mask: Mask
    leads: int


Forecaster = Callable[[Context], Members]


@dataclass(frozen=True)
class Tally:
    """The sums of one row over any number of frames; the first axis is the lead time."""

    frames: Float[np.ndarray, " lead"]
    ensemble: Float[np.ndarray, "lead part"]
    events: Float[np.ndarray, "lead threshold count"]
    power: Float[np.ndarray, "lead which wavenumber"]

    @classmethod
    def of(
        cls, members: Members, truth: Frames, mask: Mask, thresholds: tuple[float, ...]
    ) -> "Tally":
        """Sum up one window; events and power are those of the members' mean."""
        measured = torch.from_numpy(mask)
        own = torch.where(measured, torch.from_numpy(members).clamp(0, 1), 0)
        both = torch.stack([own.mean(dim=0), torch.where(measured, torch.from_numpy(truth), 0)])
        events = [
            event_sums.counts((both >= threshold) & measured, measured)[0]
            for threshold in thresholds
        ]
        power = spectral_sums.radial(spectral_sums.power(both), both.shape[-1])
        return cls(
            mask.any(axis=(1, 2, 3)).astype(float),
            ensemble_sums.sums(own[:, None], both[1], measured)[0].numpy(),
            torch.stack(events, dim=1).numpy(),
            power.movedim(0, 1).numpy(),
        )

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.frames + other.frames,
            self.ensemble + other.ensemble,
            self.events + other.events,
            self.power + other.power,
        )


def forms(members: Members) -> dict[str, list[Members]]:
    """Return the ensembles of each row of a forecaster: tallies of one row are added up."""
    if len(members) == 1:
        return {"": [members]}
    return {
        "mean": [members],
        "matched mean": [probability_matched_mean(torch.from_numpy(members)).numpy()[None]],
        "a member": [member[None] for member in members],
    }


def windows(batches: Batches, least_wet: float) -> Iterator[tuple[Context, Frames, Mask]]:
    """Yield context, truth and mask of the test windows of which enough is wet."""
    known, curves = batches.context_frames, batches.scaling.curves
    limits = np.broadcast_to(batches.params["wet_threshold"], len(curves))
    pairs = zip(curves, limits, strict=True)
    wet = np.array([curve.to_unit(limit) for curve, limit in pairs], np.float32)[:, None, None]
    for batch in batches.in_order("test", 1):
        (frames,), (mask,) = batches.pixels(batch)
        if (mask & (frames > wet)).sum() >= least_wet * mask.sum():
            folded = Batch(batch.frames[:, :known], batch.mask[:, :known])
            context = Context(folded, frames[:known], mask[:known], len(frames) - known)
            yield context, frames[known:], mask[known:]


def ours(model: Model, members: int) -> Forecaster:
    """Return a network as a forecaster; without noise it has one member."""

    def forecast(context: Context) -> Members:
        count = members if model.params.get("members", 1) > 1 else 1
        folded = model.rollout(*context.folded, context.leads, count)
        return model.geometry.unfold(folded[:, 0].numpy())

    return forecast


def untrained(batches: Batches) -> Model:
    """Return the readout `cascade` with its first weights, which is much like STEPS."""
    values = load(PARAMS, Train).model_dump() | {"readout": "cascade", "members": 2, "loss": "crps"}
    return Training(batches, Train.model_validate(values), CPU).model


def forecasters(
    batches: Batches, model: Model, rivals: Mapping[str, Nowcast], asked: argparse.Namespace
) -> dict[str, Forecaster]:
    """Return all forecasters in the order of the table."""

    def baseline(forecast: Callable[[baselines.Context], torch.Tensor]) -> Forecaster:
        def of(context: Context) -> Members:
            frames = torch.from_numpy(context.frames[None])
            return forecast(baselines.Context(frames, context.leads)).numpy()

        return of

    def rival(nowcast: Nowcast) -> Forecaster:
        return lambda context: nowcast(context.frames, context.mask, context.leads)

    smoothed = partial(baselines.smoothed, [(slice(None), baselines.fit_smoothing(batches, CPU))])
    return {
        "model" + (", untrained" if asked.untrained else ""): ours(model, asked.members),
        "persistence": baseline(baselines.persistence),
        "advection": baseline(baselines.advection),
        "smoothed": baseline(smoothed),
        **{f"pysteps {name}": rival(rivals[name]) for name in rivals},
    }


class Results(NamedTuple):
    """The tallies of each forecaster's rows, its seconds, and the number of windows."""

    tallies: Mapping[tuple[str, str], Tally]
    seconds: Mapping[str, float]
    windows: int


def score(
    found: Mapping[str, Forecaster],
    tests: Iterator[tuple[Context, Frames, Mask]],
    thresholds: tuple[float, ...],
) -> Results:
    """Let each forecaster forecast each window."""
    tallies: dict[tuple[str, str], Tally] = {}
    seconds, count = dict.fromkeys(found, 0.0), 0
    for context, truth, mask in tests:
        count += 1
        for name, forecast in found.items():
            start = time.perf_counter()
            members = forecast(context)
            seconds[name] += time.perf_counter() - start
            for form, ensembles in forms(members).items():
                for some in ensembles:
                    tally = Tally.of(some, truth, mask, thresholds)
                    known = tallies.get((name, form))
                    tallies[name, form] = tally if known is None else known + tally
    return Results(tallies, seconds, count)


def table(results: Results, config: ScoreConfig, leads: slice) -> Iterator[str]:
    """Yield the lines of the table of some lead times."""
    names = [f"CSI at {threshold:g}" for threshold in config.thresholds]
    bands = [f"power {band}" for band in spectral.BANDS_PIXELS]
    columns = ["forecaster", "MSE", "CRPS", "RMSE du", "CRPS du", "spread/skill", *names, *bands]
    yield "| " + " | ".join([*columns, "s a window"]) + " |"
    yield "|" + "---|" * (len(columns) + 1)
    for (name, form), tally in results.tallies.items():
        label = f"{name}, {form}" if form else name
        seconds = f"{results.seconds[name] / results.windows:.2f}"
        yield "| " + " | ".join([label, *cells(tally, config, leads), seconds]) + " |"


def cells(tally: Tally, config: ScoreConfig, leads: slice) -> list[str]:
    """Return the scores of one row, pooled over some lead times."""
    frames, pooled = tally.frames[leads].sum(), tally.ensemble[leads].sum(axis=0)
    sums = ensemble.Sums(*pooled[:, None])
    values = {
        key: value[0] for key, value in ensemble.scores(pooled[None], config.value_width).items()
    }
    rmse = config.value_width * np.sqrt(ratio(sums.error, sums.n))[0]
    events = tally.events[leads].sum(axis=0)
    found = categorical.scores(events)
    lengths = spectral.wavelengths(config.geometry.rows, config.geometry.cols)
    power = tally.power[leads].sum(axis=0)[None]
    spectra = spectral.Spectra(power, np.ones((1, 2)), lengths)
    return [
        f"{sums.error[0] / frames:.1f}",
        f"{sums.crps[0] / frames:.0f}",
        f"{rmse:.2f}",
        f"{values['crps']:.3f}",
        "" if np.isnan(values["spread_skill"]) else f"{values['spread_skill']:.2f}",
        *(
            f"{csi:.2f} ({bias:.2f})"
            for csi, bias in zip(found["csi"], found["frequency_bias"], strict=True)
        ),
        *(f"{spectral.band_ratio(band)(spectra)[0]:.2f}" for band in spectral.BANDS_PIXELS),
    ]


def report(results: Results, config: ScoreConfig, from_lead: int) -> Iterator[str]:
    """Yield all lines: a table of all lead times, and one of those from `from_lead` on."""
    persistence = results.tallies["persistence", ""]
    for first in sorted({1, from_lead}):
        leads = slice(first - 1, None)
        counts = categorical.Counts(*persistence.events[leads].sum(axis=0).T)
        events = ", ".join(
            f"{number:.0f} at {threshold:g}"
            for number, threshold in zip(
                counts.hits + counts.misses, config.thresholds, strict=True
            )
        )
        yield f"\n{results.windows} windows, lead {first} on; events: {events}\n"
        yield from table(results, config, leads)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=Path, default=Path("data/patches"))
    parser.add_argument("--model", type=Path, default=Path("data/model.safetensors"))
    parser.add_argument("--untrained", action="store_true", help="the cascade, not --model")
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--least-wet", type=float, default=0.0, help="share of measured pixels")
    parser.add_argument("--from-lead", type=int, default=4, help="of the second table")
    parser.add_argument("--rivals", default=",".join(OPTIONS), help="methods of pysteps")
    parser.add_argument("--km", type=float, default=1.0, help="of a pixel")
    parser.add_argument("--minutes", type=float, default=5.0, help="of a frame")
    parser.add_argument("--dbz", type=float, nargs=2, default=(0.0, 50.0), help="of 0 and 1")
    asked = parser.parse_args()
    units = Units(asked.km, asked.minutes, tuple(asked.dbz))
    rivals = {name: Nowcast(name, asked.members, units) for name in asked.rivals.split(",")}
    with open_patches(asked.patches) as stored:
        batches = Batches(stored, repeated=False)
        if batches.geometry.channels > 1:
            parser.error(f"{asked.patches}: pysteps takes frames of one channel")
        model = untrained(batches) if asked.untrained else model_file.load(asked.model, CPU)
        config = ScoreConfig.each_of(batches, load(PARAMS, Evaluate))[0]
        found = forecasters(batches, model, rivals, asked)
        tests = windows(batches, asked.least_wet)
        results = score(found, tests, config.pooling().thresholds)
    if not results.windows:
        parser.error(f"--least-wet {asked.least_wet}: no test window is as wet; lower it")
    print(*report(results, config, asked.from_lead), sep="\n")
    for name, rival in rivals.items():
        for reason, times in Counter(rival.failures).items():
            print(f"\npysteps {name}: {times} times only extrapolated: {reason}")


if __name__ == "__main__":
    main()
