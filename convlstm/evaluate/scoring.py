"""Scoring of the model and the baselines on the test windows.

Forecasts are free: no true frame is fed after the context.
"""

import os
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from convlstm.evaluate import baselines
from convlstm.evaluate.matching import PICTURES
from convlstm.evaluate.params import Evaluate
from convlstm.evaluate.totals import Pooling, Totals
from convlstm.model.batches import Batches
from convlstm.model.model_file import Model
from convlstm.patch.folding import Geometry
from convlstm.patch.scaling import Scaling
from convlstm.runtime.errors import BadInput
from convlstm.scores import frame
from convlstm.scores.frame import LeadMeans
from convlstm.storage.forecasts import Ensemble

TEST_BATCH = 8  # windows at a time; a constant, so that it cannot change numbers
DEFAULT_THRESHOLDS = (0.1, 0.25, 0.5)  # parts of the value range
KEPT_MEMBERS = 3  # of an ensemble that may be drawn

Frames = Float[np.ndarray, "batch time channel row col"]
WindowFrames = Float[np.ndarray, "time channel row col"]
WindowMembers = Float[np.ndarray, "member time channel row col"]
Baseline = Callable[[Frames, int], Frames]
"""Forecasts the given number of lead times from context frames in [0, 1], without the truth."""


@dataclass(frozen=True)
class ScoreConfig:
    """How forecasts are scored; `thresholds` are in data units, `scales` in pixels."""

    geometry: Geometry
    scaling: Scaling
    thresholds: tuple[float, ...]
    scales: tuple[int, ...]
    members: int

    @classmethod
    def of(cls, batches: Batches, params: Evaluate) -> "ScoreConfig":
        """Make the config of a dataset; default thresholds are parts of the value range."""
        low, high = batches.scaling.value_range
        parts = tuple(low + part * (high - low) for part in DEFAULT_THRESHOLDS)
        thresholds = parts if params.thresholds is None else params.thresholds
        return cls(
            batches.geometry, batches.scaling, thresholds, params.fss_scales, params.test_members
        )

    @property
    def value_width(self) -> float:
        """The width of the value range in data units."""
        low, high = self.scaling.value_range
        return high - low

    @property
    def drawn_threshold(self) -> float:
        """The threshold whose probability is drawn: of all in their order the middle one."""
        return sorted(self.thresholds)[len(self.thresholds) // 2]

    def to_unit(self, threshold: float) -> float:
        """Scale a threshold to [0, 1], as the frames are scaled."""
        return (threshold - self.scaling.value_range[0]) / self.value_width

    def pooling(self) -> Pooling:
        """Return the pooling, whose thresholds are scaled to [0, 1]."""
        unit = tuple(map(self.to_unit, self.thresholds))
        return Pooling(unit, self.scales, self.geometry.patch_size)

    def kept(self, members: WindowMembers) -> Ensemble | None:
        """Return what is kept of an ensemble to be drawn, still scaled; `None` for one member."""
        if len(members) == 1:
            return None
        threshold = self.drawn_threshold
        events = np.clip(members, 0, 1) >= np.float32(self.to_unit(threshold))
        # a copy, because a view would keep the members of a whole batch in memory
        first = members[:KEPT_MEMBERS].copy()
        return Ensemble(first, events.mean(axis=0, dtype=np.float32), threshold)


@dataclass(frozen=True)
class SequenceSums:
    """The sums of one test sequence, of which the bootstrap adds up resamples."""

    mse: float
    frames: float
    events: Float[np.ndarray, "lead threshold count"]
    ensemble: Float[np.ndarray, "lead part"]

    def __add__(self, other: "SequenceSums") -> "SequenceSums":
        return SequenceSums(
            self.mse + other.mse,
            self.frames + other.frames,
            self.events + other.events,
            self.ensemble + other.ensemble,
        )


@dataclass
class Scores:
    """The scores of one forecaster: means and totals by lead time, and MSE by window."""

    means: LeadMeans = field(default_factory=LeadMeans)
    totals: Totals | None = None
    window_mse: list[float] = field(default_factory=list)
    by_sequence: dict[int, SequenceSums] = field(default_factory=dict)

    def add(self, sequence: int, means: LeadMeans, totals: Totals) -> None:
        """Add one window."""
        self.means.merge(means)
        self.totals = totals if self.totals is None else self.totals + totals
        column = frame.KEYS.index("mse")
        mse, frames = means.sums[:, column].sum(), means.counts[:, column].sum()
        self.window_mse.append(float(mse / frames))
        sums = SequenceSums(float(mse), float(frames), totals.events, totals.ensemble)
        known = self.by_sequence.get(sequence)
        self.by_sequence[sequence] = sums if known is None else known + sums


@dataclass
class Evaluation:
    """The scores so far of each forecaster, the model first, and the model's kept forecasts.

    `kept` holds scaled forecasts, not clipped to [0, 1], by the number of their test window; of an
    ensemble the mean, and `ensembles` the first members and a probability.
    """

    scores: dict[str, Scores]
    kept: dict[int, WindowFrames] = field(default_factory=dict)
    ensembles: dict[int, Ensemble | None] = field(default_factory=dict)

    @property
    def windows(self) -> int:
        """The number of windows that have been scored."""
        return len(self.scores["model"].window_mse)

    def keep(self, forecast: WindowFrames, ensemble: Ensemble | None) -> None:
        """Keep the model's forecast of the window that is added next."""
        self.kept[self.windows], self.ensembles[self.windows] = forecast, ensemble

    def add(self, results: Sequence[tuple[LeadMeans, Totals]], batches: Batches) -> None:
        """Add the next window: the results of each forecaster."""
        sequence = int(batches.index["test"]["sequence"][self.windows])
        for scores, result in zip(self.scores.values(), results, strict=True):
            scores.add(sequence, *result)


def check_same_data(model: Model, batches: Batches, where: Path) -> None:
    """Check that the windows are cut and scaled as those that the model was trained on.

    Args:
        model: to be scored.
        batches: the windows.
        where: the model file, for the message.

    Raises:
        BadInput: they are not, so that forecasts would be in other units.
    """
    data = (batches.geometry, batches.scaling.value_range)
    if (model.geometry, model.scaling.value_range) != data:
        raise BadInput(
            f"{where}: trained on frames of another size or value_range; run `dvc repro` to train"
        )


def about_run(model: Model, batches: Batches, params: Evaluate) -> dict[str, Any]:
    """Return what the page says of the run: all params, the data, the kind of device."""
    device = next(model.network.parameters()).device.type
    geometry = batches.geometry
    return {
        "params": {**batches.reading, **batches.params, **model.params, **params.model_dump()},
        "data": {
            "sequences": len(batches.sequences),
            "frame": (geometry.rows, geometry.cols),
            "channels": geometry.channels,
            **{split: batches.count(split) for split in batches.index},
        },
        "device": {"cpu": "a CPU", "cuda": "a GPU"}.get(device, device),
    }


def members_of(model: Model, config: ScoreConfig) -> int:
    """Return the number of members by which a model is scored: 1 if it was trained without."""
    return 1 if model.params.get("members", 1) == 1 else config.members


def baselines_of(batches: Batches) -> dict[str, Baseline]:
    """Return the forecasts that need no network, in the order of the tables."""
    return {
        "zeros": baselines.zeros,
        "persistence": baselines.persistence,
        "advection": baselines.advection,
        "smoothed": partial(baselines.smoothed, baselines.fit_smoothing(batches)),
        "climatology": partial(baselines.climatology, mean_frame(batches)),
    }


def mean_frame(batches: Batches) -> Float[np.ndarray, "channel row col"]:
    """Return the mean of the training windows at each pixel; 0 where nothing was measured."""
    total, count = np.zeros(2)
    for batch in batches.in_order("train", TEST_BATCH):
        frames, mask = batches.pixels(batch)
        total = total + np.where(mask, frames, 0).sum(axis=(0, 1), dtype=np.float64)
        count = count + mask.sum(axis=(0, 1))
    return np.asarray(total / np.maximum(count, 1), np.float32)


def evaluate(
    model: Model, batches: Batches, config: ScoreConfig, keep: Container[int]
) -> Iterator[Evaluation]:
    """Score the test windows on all cores.

    Beside an ensemble, whose single picture is its mean, its `PICTURES` are scored.

    Args:
        model: to be scored; it gets the folded context, as in training.
        batches: the windows.
        config: how they are scored.
        keep: numbers of the test windows whose forecasts by the model are kept.

    Yields:
        The one evaluation, with the windows so far, after each batch.
    """
    others, count = baselines_of(batches), members_of(model, config)
    pictures = PICTURES if count > 1 else {}
    evaluation = Evaluation({name: Scores() for name in ("model", *pictures, *others)})
    known, leads = batches.context_frames, batches.forecast_frames
    measure = partial(_measure, config.pooling())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for batch in batches.in_order("test", TEST_BATCH):
            seen, mask_seen = batch.frames[:, :known], batch.mask[:, :known]
            folded = model.rollout(seen, mask_seen, leads, count)
            members = batches.geometry.unfold(folded.numpy())
            frames, mask = batches.pixels(batch)
            forecasts = [
                members.mean(axis=0),
                *(forecast(frames[:, :known], leads) for forecast in others.values()),
            ]
            by_window, ensembles = list(zip(*forecasts, strict=True)), members.swapaxes(0, 1)
            last = np.where(mask[:, known - 1], frames[:, known - 1], np.nan)
            windows = by_window, ensembles, frames[:, known:], mask[:, known:], last
            measured = pool.map(measure, *windows)
            for own, ensemble, results in zip(by_window, ensembles, measured, strict=True):
                if evaluation.windows in keep:
                    evaluation.keep(own[0], config.kept(ensemble))
                evaluation.add(results, batches)
            yield evaluation


def _measure(
    pooling: Pooling,
    forecasts: Sequence[WindowFrames],
    members: WindowMembers,
    truth: WindowFrames,
    mask: Bool[np.ndarray, "time channel row col"],
    last: Float[np.ndarray, "channel row col"],
) -> list[tuple[LeadMeans, Totals]]:
    """Return the means and totals of one window for each of its forecasts.

    The first one is the mean of `members`, and their `PICTURES` follow it. `last` is the frame
    before the first true one, NaN where it is missing.
    """
    mean, *others = forecasts
    pictures = [draw(members) for draw in PICTURES.values()] if len(members) > 1 else []
    every = [mean, *pictures, *others]
    means = [LeadMeans() for _ in every]
    for own, leads in zip(means, every, strict=True):
        own.add(leads, truth, mask)
    return list(zip(means, pooling.totals(every, truth, mask, members, last), strict=True))
