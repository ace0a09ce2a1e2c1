"""Scoring of the model and the baselines on the test windows.

Forecasts are free: no true frame is fed after the context.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from convlstm.evaluate import baselines
from convlstm.evaluate.baselines import Context
from convlstm.evaluate.matching import PICTURES, mean
from convlstm.evaluate.params import TEST_BATCH, Evaluate
from convlstm.evaluate.totals import Forecasts, Mask, Members, Pooling, Totals
from convlstm.model.batches import Batch, Batches
from convlstm.model.model_file import Model
from convlstm.model.ranks import ALONE, Ranks, State
from convlstm.patch.folding import Geometry
from convlstm.patch.scaling import check_count, check_thresholds
from convlstm.runtime.errors import BadInput
from convlstm.scores.frame import LeadMeans, Values
from convlstm.storage.forecasts import Ensemble
from convlstm.storage.meaning import Quantity
from convlstm.sums import frame

DEFAULT_THRESHOLDS = (0.1, 0.25, 0.5)  # parts of the value range
KEPT_MEMBERS = 3  # of an ensemble that may be drawn

Frames = Float[Tensor, "batch time channel row col"]
WindowFrames = Float[np.ndarray, "time channel row col"]
WindowMembers = Float[np.ndarray, "member time channel row col"]
Baseline = Callable[[Context], Frames]
"""Forecasts in [0, 1] from the context, without the truth."""


class Measured(NamedTuple):
    """The windows of a batch as one forecaster foretold them: values of frames, and sums."""

    values: Float[np.ndarray, "window lead value"]
    totals: Totals


@dataclass(frozen=True)
class ScoreConfig:
    """How forecasts of one quantity are scored.

    `thresholds` are physical values, `scales` are in pixels.
    """

    geometry: Geometry
    quantity: Quantity
    thresholds: tuple[float, ...]
    scales: tuple[int, ...]
    members: int

    @classmethod
    def each_of(cls, batches: Batches, params: Evaluate) -> list["ScoreConfig"]:
        """Return the config of each quantity of a dataset.

        Raises:
            BadInput: there are lists of thresholds, but not one for each quantity, or one lies
                outside the value range.
        """
        quantities = batches.quantities
        lists = _thresholds(params, quantities)
        check_count("thresholds", lists, len(quantities))
        given = lists * (len(quantities) if len(lists) == 1 else 1)
        for quantity, thresholds in zip(quantities, given, strict=True):
            check_thresholds(thresholds, [quantity.value_range])
        return [
            cls(batches.geometry, quantity, thresholds, params.fss_scales, params.test_members)
            for quantity, thresholds in zip(quantities, given, strict=True)
        ]

    @property
    def value_width(self) -> float:
        """The width of the value range in physical units."""
        low, high = self.quantity.value_range
        return high - low

    @property
    def drawn_threshold(self) -> float:
        """The threshold whose probability is drawn: of all in their order the middle one."""
        return sorted(self.thresholds)[len(self.thresholds) // 2]

    def to_unit(self, threshold: float) -> float:
        """Return where in the value range a threshold lies, as `Scaling.to_share` does."""
        return (threshold - self.quantity.value_range[0]) / self.value_width

    def pooling(self) -> Pooling:
        """Return the pooling, whose thresholds are scaled to [0, 1]."""
        unit = tuple(map(self.to_unit, self.thresholds))
        return Pooling(unit, self.scales, self.geometry.patch_size)

    def probability(self, members: WindowMembers) -> Float[np.ndarray, "time channel row col"]:
        """Return the share of members at or above the drawn threshold."""
        own = np.clip(members[:, :, self.quantity.channels], 0, 1)
        events = own >= np.float32(self.to_unit(self.drawn_threshold))
        return np.asarray(events.mean(axis=0, dtype=np.float32))


def _thresholds(params: Evaluate, quantities: Sequence[Quantity]) -> tuple[tuple[float, ...], ...]:
    """Return one list of thresholds for all quantities, or one for each.

    Default thresholds are parts of the value range.
    """
    if params.thresholds is None:
        ranges = (own.value_range for own in quantities)
        return tuple(
            tuple(low + part * (high - low) for part in DEFAULT_THRESHOLDS) for low, high in ranges
        )
    several = isinstance(params.thresholds[0], tuple)
    lists = params.thresholds if several else (params.thresholds,)
    return cast(tuple[tuple[float, ...], ...], lists)


def kept(members: WindowMembers, configs: Sequence[ScoreConfig]) -> Ensemble | None:
    """Return what is kept of an ensemble to be drawn, still scaled; `None` for one member."""
    if len(members) == 1:
        return None
    probability = np.concatenate([config.probability(members) for config in configs], axis=1)
    # a copy, because a view would keep the members of a whole batch in memory
    first = members[:KEPT_MEMBERS].copy()
    return Ensemble(first, probability, tuple(config.drawn_threshold for config in configs))


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

    def add(self, sequences: Sequence[int], result: Measured) -> None:
        """Add the windows of a batch, which are of these sequences."""
        values, totals = result
        self.means.add(values)
        self.totals = totals.sum() if self.totals is None else self.totals + totals.sum()
        each = zip(sequences, values, totals.events, totals.ensemble, strict=True)
        for sequence, of_window, events, ensemble in each:
            mse = of_window[:, Values._fields.index("mse")]
            mse = mse[~np.isnan(mse)]
            self.window_mse.append(float(mse.mean()) if len(mse) else float("nan"))
            sums = SequenceSums(float(mse.sum()), float(len(mse)), events, ensemble)
            known = self.by_sequence.get(sequence)
            self.by_sequence[sequence] = sums if known is None else known + sums


@dataclass
class Evaluation:
    """The scores so far of each quantity by forecaster, the model first, and kept forecasts.

    `configs` say how each quantity is scored. `kept` holds forecasts of the model by the number of
    their test window, of an ensemble the mean, as places in the value range that are not clipped to
    [0, 1]; `ensembles` have the first members and a probability.
    """

    scores: list[dict[str, Scores]]
    configs: Sequence[ScoreConfig]
    kept: dict[int, WindowFrames] = field(default_factory=dict)
    ensembles: dict[int, Ensemble | None] = field(default_factory=dict)

    @classmethod
    def of(cls, names: Iterable[str], configs: Sequence[ScoreConfig]) -> "Evaluation":
        """Return one without a window, of forecasters of these names."""
        every = tuple(names)
        return cls([{name: Scores() for name in every} for _ in configs], configs)

    @property
    def windows(self) -> int:
        """The number of windows that have been scored."""
        return len(self.scores[0]["model"].window_mse)

    def add(self, part: "Part", batches: Batches) -> None:
        """Add the windows of the next batch."""
        first, count = self.windows, len(part.results[0][0].values)
        sequences = batches.index["test"]["sequence"][first : first + count].tolist()
        for by_name, own in zip(self.scores, part.results, strict=True):
            for scores, result in zip(by_name.values(), own, strict=True):
                scores.add(sequences, result)
        for number, (picture, ensemble) in part.kept.items():
            self.kept[first + number], self.ensembles[first + number] = picture, ensemble


class Part(NamedTuple):
    """The share of a batch in the evaluation.

    `results` are those of each quantity and forecaster; `kept` has forecasts to be drawn by the
    number of their window in the batch.
    """

    results: list[list[Measured]]
    kept: dict[int, tuple[WindowFrames, Ensemble | None]]

    def state(self) -> State:
        """Return what may be sent to another rank."""
        kept = {}
        for number, (picture, ensemble) in self.kept.items():
            members = (ensemble.members, ensemble.probability) if ensemble else ()
            kept[number] = _tensors((picture, *members)), ensemble.thresholds if ensemble else ()
        results = [
            [_tensors((values, *astuple(totals))) for values, totals in own] for own in self.results
        ]
        return {"results": results, "kept": kept}

    @classmethod
    def of(cls, state: State) -> "Part":
        """Return the part of this state."""
        results = [
            [Measured(values, Totals(*sums)) for values, *sums in map(_arrays, own)]
            for own in state["results"]
        ]
        kept: dict[int, tuple[WindowFrames, Ensemble | None]] = {}
        for number, (tensors, thresholds) in state["kept"].items():
            match _arrays(tensors):
                case [picture]:
                    kept[number] = picture, None
                case [picture, members, probability]:
                    kept[number] = picture, Ensemble(members, probability, thresholds)
        return cls(results, kept)


def _tensors(arrays: Iterable[np.ndarray]) -> list[Tensor]:
    return [torch.from_numpy(array) for array in arrays]


def _arrays(tensors: Iterable[Tensor]) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in tensors]


def check_same_data(model: Model, batches: Batches, where: Path) -> None:
    """Check that the windows are cut and scaled as those that the model was trained on.

    Args:
        model: to be scored.
        batches: the windows.
        where: the model file, for the message.

    Raises:
        BadInput: they are not, so that forecasts would be in other units.
    """
    data = (batches.geometry, batches.scaling.curves, batches.quantities)
    if (model.geometry, model.scaling.curves, model.quantities) != data:
        raise BadInput(
            f"{where}: trained on frames of another size, unit or value_range; run `dvc repro` to "
            f"train"
        )


def about_run(model: Model, batches: Batches, params: Evaluate) -> dict[str, Any]:
    """Return what the page says of the run: all params, the data, precision and kind of device."""
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
        "precision": model.training_precision,
        "device": {"cpu": "a CPU", "cuda": "a GPU"}.get(device, device),
    }


def members_of(model: Model, config: ScoreConfig) -> int:
    """Return the number of members by which a model is scored: 1 if it was trained without."""
    return 1 if model.params.get("members", 1) == 1 else config.members


def baselines_of(batches: Batches, device: torch.device) -> dict[str, Baseline]:
    """Return the forecasts that need no network, in the order of the tables."""
    parts = [own.channels for own in batches.quantities]
    smoothings = [(own, baselines.fit_smoothing(batches, device, own)) for own in parts]
    mean = torch.from_numpy(mean_frame(batches)).to(device)
    return {
        "zeros": baselines.zeros,
        "persistence": baselines.persistence,
        "advection": baselines.advection,
        "smoothed": partial(baselines.smoothed, smoothings),
        "climatology": partial(baselines.climatology, mean),
    }


def mean_frame(batches: Batches) -> Float[np.ndarray, "channel row col"]:
    """Return the mean of the training windows at each pixel; 0 where nothing was measured.

    It is the mean of physical values, in [0, 1] as the network sees them.
    """
    total, count = np.zeros(2)
    for batch in batches.in_order("train", TEST_BATCH):
        frames, mask = batches.pixels(batch)
        frames = batches.scaling.to_share(frames)
        total = total + np.where(mask, frames, 0).sum(axis=(0, 1), dtype=np.float64)
        count = count + mask.sum(axis=(0, 1))
    mean = np.asarray(total / np.maximum(count, 1), np.float32)
    return batches.scaling.from_share(mean)


def evaluate(
    model: Model,
    batches: Batches,
    configs: Sequence[ScoreConfig],
    keep: Container[int],
    ranks: Ranks = ALONE,
) -> Iterator[Evaluation]:
    """Score the test windows on the device of the model; of an ensemble also its `PICTURES`.

    Means are of physical values, as places in their range. The first rank adds up all batches in
    their order, so the scores are the same however many ranks there are.

    Args:
        model: to be scored; it gets the folded context, as in training.
        batches: the windows.
        configs: how each quantity is scored.
        keep: numbers of the test windows whose forecasts by the model are kept.
        ranks: that share the work.

    Yields:
        The one evaluation, with the windows so far, after each batch; on the first rank only.
    """
    device = next(model.network.parameters()).device
    others, count = baselines_of(batches, device), members_of(model, configs[0])
    evaluation = Evaluation.of(("model", *(PICTURES if count > 1 else ()), *others), configs)

    # A function, or what a batch has made would lie in memory beside the members of the next one.
    def score(first: int, batch: Batch) -> Part:
        members = _members(model, batches, batch, count)
        windows = _windows(batches, batch, torch.from_numpy(members).to(device), others)
        pictures = {
            number: (picture.cpu().numpy().copy(), kept(members[:, number], configs))
            for number, picture in enumerate(windows.forecasts[0])
            if first + number in keep
        }
        return Part([_measure(config, windows) for config in configs], pictures)

    for part in _parts_of_all(batches, score, ranks):
        evaluation.add(part, batches)
        yield evaluation


def _parts_of_all(
    batches: Batches, score: Callable[[int, Batch], Part], ranks: Ranks
) -> Iterator[Part]:
    """Yield the parts of all batches in their order, which the ranks make in turn."""
    windows = batches.count("test")
    firsts = range(ranks.number * TEST_BATCH, windows, ranks.count * TEST_BATCH)
    own = batches.in_order("test", TEST_BATCH, every=ranks.count, first=ranks.number)
    made = starmap(score, zip(firsts, own, strict=True))
    yield from ranks.in_turn(made, -(-windows // TEST_BATCH), Part.state, Part.of)


class _Windows(NamedTuple):
    """The windows of a batch as places in the value range, with the forecasts of them.

    The first forecast is the mean of `members`. `last` is the frame before the first true one, NaN
    where it is missing.
    """

    forecasts: tuple[Frames, ...]
    members: Float[Tensor, "member batch time channel row col"]
    truth: Frames
    mask: Bool[Tensor, "batch time channel row col"]
    last: Float[Tensor, "batch channel row col"]


def _members(
    model: Model, batches: Batches, batch: Batch, count: int
) -> Float[np.ndarray, "{count} batch time channel row col"]:
    """Return the members that a model forecasts, of which those of a batch fill the memory most."""
    known, leads, geometry = batches.context_frames, batches.forecast_frames, batches.geometry
    shape = (count, len(batch.frames), leads, geometry.channels, geometry.rows, geometry.cols)
    members, done = np.empty(shape, np.float32), 0
    seen, mask_seen = batch.frames[:, :known], batch.mask[:, :known]
    for part in model.ensemble(seen, mask_seen, leads, count, seed=0):
        own = members[done : done + len(part)]
        own[:] = batches.scaling.to_share(geometry.unfold(part.numpy()))
        done += len(part)
    return members


def _windows(
    batches: Batches,
    batch: Batch,
    members: Float[Tensor, "member batch time channel row col"],
    others: Mapping[str, Baseline],
) -> _Windows:
    """Return the windows of a batch, with the mean of the members and the forecasts of `others`."""
    known, device = batches.context_frames, members.device

    def to_share(units: Frames) -> Frames:
        return torch.from_numpy(batches.scaling.to_share(units.cpu().numpy())).to(device)

    units, mask = (torch.from_numpy(own).to(device) for own in batches.pixels(batch))
    context = Context(units[:, :known], batches.forecast_frames)
    forecasts = (mean(members), *(to_share(own(context)) for own in others.values()))
    frames = to_share(units)
    last = torch.where(mask[:, known - 1], frames[:, known - 1], torch.nan)
    return _Windows(forecasts, members, frames[:, known:], mask[:, known:], last)


def _measure(config: ScoreConfig, windows: _Windows) -> list[Measured]:
    """Return the values and totals of one quantity by each forecaster.

    The `PICTURES` of the members follow the first forecast.
    """
    own = config.quantity.channels
    truth, mask = windows.truth[:, :, own], windows.mask[:, :, own]
    first, *others = (frames[:, :, own] for frames in windows.forecasts)
    members = windows.members[:, :, :, own]
    every = torch.stack([first, *_pictures(members), *others])
    return measured(config.pooling(), every, truth, mask, members, windows.last[:, own])


def measured(
    pooling: Pooling,
    forecasts: Forecasts,
    truth: Frames,
    mask: Mask,
    members: Members | None = None,
    last: Float[Tensor, "batch channel row col"] | None = None,
) -> list[Measured]:
    """Return the values and the totals of each forecaster, from what `Pooling.totals` takes."""
    totals = pooling.totals(forecasts, truth, mask, members, last)
    # One lead time after the other, so that they need little memory.
    leads = zip(forecasts.unbind(2), truth.unbind(1), mask.unbind(1), strict=True)
    values = torch.stack([frame.values(*frames) for frames in leads], dim=2).cpu().numpy()
    return [Measured(*pair) for pair in zip(values, totals, strict=True)]


def _pictures(members: Float[Tensor, "member batch time channel row col"]) -> list[Frames]:
    """Return the `PICTURES` of an ensemble; of one forecast there are none."""
    if len(members) == 1:
        return []
    # One window after the other, because to sort all members takes their memory again.
    return [
        torch.stack([draw(window) for window in members.unbind(1)]) for draw in PICTURES.values()
    ]
