"""The test: free forecasts of the model and of the baselines, scored against the same truth."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from convlstm import baselines
from convlstm.batches import Batch, Batches
from convlstm.metrics import COLUMNS, LeadMeans
from convlstm.model import Model
from convlstm.patches import Geometry

TEST_BATCH = 8  # windows at a time; a constant, so that it cannot change numbers
PERFECT = {"mse": 0.0, "fmae": 0.0, "ssim": 1.0}
"""The scores that have a skill: PSNR has no finite best."""

Frames = Float[np.ndarray, "batch time channel row col"]
Forecaster = Callable[[Frames, int], Frames]
"""Context frames in [0, 1] and the number of leads to forecast frames; never given the truth."""


@dataclass
class Result:
    """Of each forecaster the means by lead; of model and persistence the MSE of each window."""

    by_lead: dict[str, LeadMeans] = field(default_factory=dict)
    window_mse: dict[str, list[float]] = field(default_factory=dict)

    def add(
        self,
        name: str,
        forecast: Frames,
        truth: Frames,
        valid: Bool[np.ndarray, "batch time _ _ _"],
    ) -> None:
        """Score one batch of a forecaster."""
        means = self.by_lead.setdefault(name, LeadMeans())
        for window in zip(forecast, truth, valid, strict=True):
            table = means.add(*window)
            self.window_mse.setdefault(name, []).append(
                float(np.nanmean(table[:, COLUMNS.index("mse")]))
            )


@dataclass(frozen=True)
class Sample:
    """A window to be looked at, in data units; missing pixels are NaN."""

    label: str
    context: Float[np.ndarray, "known channel row col"]
    truth: Float[np.ndarray, "lead channel row col"]
    forecast: Float[np.ndarray, "lead channel row col"]


def forecasters(model: Model) -> dict[str, Forecaster]:
    """The model and what it must beat, in the order of the tables."""
    return {"model": model.rollout, "zeros": baselines.zeros, "persistence": baselines.persistence}


def score(model: Model, batches: Batches, result: Result) -> Iterator[int]:
    """Count the test windows into `result`; yields how many were done, batch by batch."""
    for batch in batches.in_order("test", TEST_BATCH):
        frames, valid = _pixels(batch, batches.geometry)
        context, truth = np.split(frames, [batches.context_frames], axis=1)
        for name, forecast in forecasters(model).items():
            result.add(
                name,
                forecast(context, batches.forecast_frames),
                truth,
                valid[:, batches.context_frames :],
            )
        yield len(frames)


def tables(result: Result) -> dict[str, list[dict[str, int | float]]]:
    """For each forecaster a row a lead: `lead` from 1, and the means of `metrics.COLUMNS`."""
    return {
        name: [
            {"lead": lead, **dict(zip(COLUMNS, row.tolist(), strict=True))}
            for lead, row in enumerate(means.by_lead(), start=1)
        ]
        for name, means in result.by_lead.items()
    }


def summary(result: Result) -> dict[str, dict[str, float]]:
    """Means over leads of each forecaster, and the model's skill against persistence.

    Skill is (score - reference) / (perfect - reference): 1 is perfect, 0 is no better than
    persistence.
    """
    means = {name: lead_means.overall() for name, lead_means in result.by_lead.items()}
    model, reference = means["model"], means["persistence"]
    skill = {
        name: (model[name] - reference[name]) / (perfect - reference[name])
        for name, perfect in PERFECT.items()
        if reference[name] != perfect
    }
    return {**means, "skill_against_persistence": skill}


def samples(model: Model, batches: Batches, result: Result, count: int) -> Iterator[Sample]:
    """The windows that are drawn, by rule: spread evenly from the most to the least skilful.

    Windows in which nothing moves (persistence is perfect) are left out, unless there are no
    others. The first of the samples is the median one.
    """
    ranked = _by_skill(result)
    middle = (len(ranked) - 1) / 2
    places = np.linspace(0, len(ranked) - 1, count) if count > 1 else np.array([middle])
    ranks = sorted({int(place) for place in places}, key=lambda rank: abs(rank - middle))
    for rank in ranks:
        window = batches.index["test"][ranked[rank]]
        frames, valid = _pixels(batches.take("test", [ranked[rank]]), batches.geometry)
        context = frames[:, : batches.context_frames]
        forecast = np.clip(model.rollout(context, batches.forecast_frames), 0, 1)
        seen = batches.scaling.from_unit(np.where(valid, frames, np.nan))[0]
        place = f"{batches.sequences[window['sequence']]}, pixel {window['row']} {window['col']}"
        yield Sample(
            f"{place}: rank {rank + 1} of {len(ranked)} by skill",
            context=seen[: batches.context_frames],
            truth=seen[batches.context_frames :],
            forecast=batches.scaling.from_unit(forecast)[0],
        )


def _by_skill(result: Result) -> list[int]:
    """Numbers of the test windows in which something moves (else all), the most skilful first."""
    model, persistence = (np.array(result.window_mse[name]) for name in ("model", "persistence"))
    moving = np.flatnonzero(persistence > 0)
    if not len(moving):
        return list(range(len(model)))
    ratio = model[moving] / persistence[moving]
    return [int(number) for number in moving[np.argsort(ratio, kind="stable")]]


def _pixels(
    batch: Batch, geometry: Geometry
) -> tuple[Frames, Bool[np.ndarray, "batch time channel row col"]]:
    """The unfolded frames of a batch, and where they are measured."""
    return geometry.unfold(batch.frames.numpy()), geometry.unfold(batch.valid.numpy())
