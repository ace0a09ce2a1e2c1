"""The test: free forecasts of the model and of what it must beat, scored against the same truth."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from convlstm.evaluate import baselines
from convlstm.model.batches import Batches
from convlstm.model.model_file import Model
from convlstm.params.groups import Evaluate
from convlstm.patch.folding import Geometry
from convlstm.patch.scaling import Scaling
from convlstm.runtime.errors import BadInput
from convlstm.scores.frame import COLUMNS, LeadMeans
from convlstm.scores.totals import Totals, Verifier

TEST_BATCH = 8  # windows at a time; a constant, so that it cannot change numbers
DEFAULT_THRESHOLDS = (0.1, 0.25, 0.5)  # parts of the value range

Frames = Float[np.ndarray, "batch time channel row col"]
Window = Float[np.ndarray, "time channel row col"]
Forecaster = Callable[[Frames, int], Frames]
"""Context frames in [0, 1] and the number of leads to forecast frames; never given the truth."""


@dataclass(frozen=True)
class Setting:
    """What is asked of every forecast; `thresholds` in data units, `scales` in pixels."""

    geometry: Geometry
    scaling: Scaling
    thresholds: tuple[float, ...]
    scales: tuple[int, ...]

    @property
    def value_width(self) -> float:
        """Data units from 0 to 1."""
        low, high = self.scaling.value_range
        return high - low

    def verifier(self) -> Verifier:
        """The same in [0, 1]."""
        low, _ = self.scaling.value_range
        unit = tuple((threshold - low) / self.value_width for threshold in self.thresholds)
        return Verifier(unit, self.scales, self.geometry.patch_size)


@dataclass
class Scores:
    """Of one forecaster: means and totals by lead; MSE by window; sums by sequence."""

    means: LeadMeans = field(default_factory=LeadMeans)
    totals: Totals | None = None
    window_mse: list[float] = field(default_factory=list)
    by_sequence: dict[int, "SequenceSums"] = field(default_factory=dict)

    def add(self, sequence: int, means: LeadMeans, totals: Totals) -> None:
        """Count one window in."""
        self.means.merge(means)
        self.totals = totals if self.totals is None else self.totals + totals
        mse = means.sums[:, COLUMNS.index("mse")].sum()
        frames = means.counts[:, COLUMNS.index("mse")].sum()
        self.window_mse.append(float(mse / frames))
        sums = SequenceSums(float(mse), float(frames), totals.events)
        known = self.by_sequence.get(sequence)
        self.by_sequence[sequence] = sums if known is None else known + sums


@dataclass(frozen=True)
class SequenceSums:
    """What a resample of sequences adds up."""

    mse: float
    frames: float
    events: Float[np.ndarray, "lead threshold event"]

    def __add__(self, other: "SequenceSums") -> "SequenceSums":
        return SequenceSums(
            self.mse + other.mse, self.frames + other.frames, self.events + other.events
        )


def setting(batches: Batches, params: Evaluate) -> Setting:
    """The setting of a dataset: without thresholds in params, parts of the value range."""
    low, high = batches.scaling.value_range
    parts = tuple(low + part * (high - low) for part in DEFAULT_THRESHOLDS)
    thresholds = parts if params.thresholds is None else params.thresholds
    return Setting(batches.geometry, batches.scaling, thresholds, params.fss_scales)


def check_same_data(model: Model, batches: Batches, where: Path) -> None:
    """The windows are cut and scaled as those that the model was trained on.

    Raises:
        BadInput: they are not, and its forecasts would be in other units; `where` holds the model.
    """
    data = (batches.geometry, batches.scaling.value_range)
    if (model.geometry, model.scaling.value_range) != data:
        raise BadInput(
            f"{where}: trained on frames of another size or value_range; run `dvc repro` to train"
        )


def facts(model: Model, batches: Batches, params: Evaluate) -> dict[str, Any]:
    """What a reader of the results should know: all params, the data, the kind of device."""
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


def forecasters(model: Model, batches: Batches) -> dict[str, Forecaster]:
    """The model and what it must beat, in the order of the tables."""
    return {
        "model": model.rollout,
        "zeros": baselines.zeros,
        "persistence": baselines.persistence,
        "advection": baselines.advection,
        "climatology": partial(baselines.climatology, mean_frame(batches)),
    }


def mean_frame(batches: Batches) -> Float[np.ndarray, "channel row col"]:
    """The mean of the training windows at each pixel; 0 where none has measured."""
    total, count = np.zeros(2)
    for batch in batches.in_order("train", TEST_BATCH):
        frames, valid = batches.pixels(batch)
        total = total + np.where(valid, frames, 0).sum(axis=(0, 1), dtype=np.float64)
        count = count + valid.sum(axis=(0, 1))
    return np.asarray(total / np.maximum(count, 1), np.float32)


def score(model: Model, batches: Batches, asked: Setting) -> Iterator[dict[str, Scores]]:
    """Score the test windows on all cores; yields all scores so far, batch by batch."""
    rivals = forecasters(model, batches)
    scores = {name: Scores() for name in rivals}
    known, numbers = batches.context_frames, iter(batches.index["test"]["sequence"].tolist())
    verifier = asked.verifier()

    def measured(
        forecasts: Sequence[Window], truth: Window, valid: Bool[np.ndarray, "time _ _ _"]
    ) -> list[tuple[LeadMeans, Totals]]:
        means = [LeadMeans() for _ in forecasts]
        for own, leads in zip(means, forecasts, strict=True):
            own.add(leads, truth, valid)
        return list(zip(means, verifier.totals(forecasts, truth, valid), strict=True))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for batch in batches.in_order("test", TEST_BATCH):
            frames, valid = batches.pixels(batch)
            context, truth = frames[:, :known], frames[:, known:]
            forecasts = [forecast(context, truth.shape[1]) for forecast in rivals.values()]
            windows = zip(*forecasts, strict=True)  # of each window, its forecasts
            for results in pool.map(measured, windows, truth, valid[:, known:]):
                sequence = next(numbers)
                for own, result in zip(scores.values(), results, strict=True):
                    own.add(sequence, *result)
            yield scores
