"""The build of data/patches from data/frames: an index of windows in frames that are checked."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from convlstm.ingest import summary, times
from convlstm.ingest.time_format import time_format
from convlstm.patch import agreement, counting, overlaps, ranges
from convlstm.patch.dataset import Dataset
from convlstm.patch.folding import Geometry
from convlstm.patch.params import Patch
from convlstm.patch.scaling import Scaling, check_count
from convlstm.patch.windows import (
    SPLITS,
    Runs,
    Span,
    split_by_name,
    split_by_sequence,
    too_short,
)
from convlstm.runtime.errors import BadInput, Faults
from convlstm.storage import frames as frames_h5
from convlstm.storage import patches as patches_h5
from convlstm.storage import tasks
from convlstm.storage.frames import Sequence
from convlstm.storage.meaning import Quantity, quantities
from convlstm.storage.patches import MEASURED, WET, Counted, Window
from convlstm.storage.shards import Cache, code

SMALLEST_FRAME_PIXELS = 7  # SSIM compares areas of 7 x 7
EMPTY, DRY = "with a frame of which nothing is measured", "drier than min_wet_fraction"


class Tile(NamedTuple):
    """A tile of one sequence: its corner in the frame.

    `measured` and `wet` count such pixels in each frame of the tile.
    """

    row: int
    col: int
    measured: Int[np.ndarray, " time"]
    wet: Int[np.ndarray, " time"]

    def faults(self, starts: range, length: int, least_wet: float) -> list[str]:
        """Say why frames from each start on make no window; an empty text for those that do.

        An empty frame teaches and tests nothing.
        """
        whole = _in_windows(self.measured > 0, starts, length) == length
        measured, wet = (_in_windows(own, starts, length) for own in (self.measured, self.wet))
        reasons = np.where(whole, np.where(wet < least_wet * measured, DRY, ""), EMPTY)
        return [str(reason) for reason in reasons.tolist()]


class Plan(NamedTuple):
    """A plan, made before frames are read: where windows may lie, and how they are scaled."""

    geometry: Geometry
    spans: dict[str, list[Span]]
    dataset: Dataset


def build(
    frames: Path, folder: Path, params: Patch, cache: Path, tick: Callable[[int], object]
) -> Dataset:
    """Fill data/patches from data/frames, and return what was read and made.

    Args:
        frames: the folder of the frames.
        folder: a new one.
        params: of the stage.
        cache: the folder of the shards that were made before.
        tick: called with the number of pieces of sequences that are counted.

    Raises:
        BadInput: frames and params do not fit together, or sequences to each other; the message
            names the sequence or the key.
    """
    with frames_h5.opened(frames) as source:
        sequences = source.sequences
        plan = _plan(source, params)
        about = counting.Counting(
            plan.dataset.scaling, plan.geometry, params.wet_threshold, code(), frames, cache
        )
        jobs = counting.jobs(sequences, about)
        names = tasks.make(counting.count, jobs, Cache(cache), folder, tick, Faults())
        counted: dict[tuple[str, str], Counted] = {}
        for job, name in zip(jobs, names, strict=True):
            own, filling = patches_h5.counted(folder / name)
            plan.dataset.filling.add_counted(filling)
            counted |= {(job.pieces[0][0].shard, key): each for key, each in own.items()}
        in_order = {
            name: [counted[piece.shard, piece.key] for piece in own.pieces]
            for name, own in sequences.items()
        }
        windows = _windows(sequences, in_order, plan, params)
        _check_windows(windows, plan.dataset.lost)
        places = [each.place for own in in_order.values() for each in own]
        description = _description(plan, source, params)
        trained = _trained(plan.spans.values())
        patches_h5.write_index(folder, sequences, places, windows, trained, description)
    return plan.dataset


def _plan(source: frames_h5.Frames, params: Patch) -> Plan:
    """Check that sequences and params fit together, and split what is whole."""
    sequences = source.sequences
    geometry = _geometry(sequences, params)
    agreement.check(sequences)
    runs = {name: times.runs(own.times, len(own.frames)) for name, own in sequences.items()}
    short = _short(runs, params)
    whole = {name: own for name, own in sequences.items() if name not in short}
    spans, lost = _spans(whole, runs, params, dated=_is_dated(source.reading["time_format"]))
    dataset = _dataset(whole, spans, params)
    check_count("wet_threshold", params.wet_threshold, len(dataset.scaling.curves))
    dataset.lost, dataset.short = lost, short
    return Plan(geometry, spans, dataset)


def _windows(
    sequences: Mapping[str, Sequence],
    counted: Mapping[str, list[Counted]],
    plan: Plan,
    params: Patch,
) -> dict[str, list[Window]]:
    """Return the windows of each split, and note in the dataset what was read of each sequence."""
    windows: dict[str, list[Window]] = {split: [] for split in SPLITS}
    for number, (name, sequence) in enumerate(sequences.items()):
        tiles = _tiles(sequence, counted[name], plan.geometry)
        spans = plan.spans.get(name, [])
        for split, window in _kept(number, tiles, spans, params, plan.dataset):
            windows[split].append(window)
        own = summary.of_stored(sequence, (each.tally for each in counted[name]))
        plan.dataset.add(own, {split: len(rows) for split, rows in windows.items()})
    return windows


def _tiles(sequence: Sequence, counted: list[Counted], geometry: Geometry) -> list[Tile]:
    """Return the tiles that cover the frames of a sequence, and what is counted in them."""
    counts = np.concatenate([each.tiles for each in counted])
    corners = counting.corners(sequence.frames.shape, geometry)
    return [
        Tile(row, col, counts[:, MEASURED, number], counts[:, WET, number])
        for number, (row, col) in enumerate(corners)
    ]


def _is_dated(form: str | None) -> bool:
    """Return whether times can be compared between sequences: those inside files always can."""
    return form is None or time_format(form).dated


def _kept(
    number: int, tiles: list[Tile], spans: list[Span], params: Patch, dataset: Dataset
) -> Iterator[tuple[str, Window]]:
    """Yield the windows of a sequence with their splits, and count those that are left out."""
    length = params.context_frames + params.forecast_frames
    for tile, span in product(tiles, spans):
        least_wet = params.min_wet_fraction if span.split == "train" else 0.0
        starts = span.windows(length, params.stride)
        for start, reason in zip(starts, tile.faults(starts, length, least_wet), strict=True):
            if reason:
                dataset.dropped[span.split, reason] += 1
            else:
                yield span.split, Window(start, number, tile.row, tile.col)


def _in_windows(
    values: Shaped[np.ndarray, " time"], starts: range, length: int
) -> Int[np.ndarray, " window"]:
    """Return the sum of the values of `length` frames from each start on."""
    first, sums = np.array(starts, int), np.concatenate([[0], np.cumsum(values)])
    return np.asarray(sums[first + length] - sums[first])


def _dataset(
    sequences: Mapping[str, Sequence], spans: Mapping[str, list[Span]], params: Patch
) -> Dataset:
    """Return the dataset before anything is read, with the value range of params or of the data."""
    channels = next(iter(sequences.values())).frames.shape[1]
    if params.value_range is not None:
        return Dataset(params.scaling(channels), "params")
    found = ranges.of_files(sequences.values())
    if found is not None:
        return Dataset(params.scaling(channels, found), "the files")
    every = (span for parts in spans.values() for span in parts)
    found = ranges.of_frames(sequences, every, params.missing_value)
    low, high = ranges.PERCENTILES
    words = f"the {low:g} to the {high:g} percentile of the training frames"
    scaling = params.scaling(channels, found)
    if scaling.out_of_range == "error":  # which most values are not, but some are
        scaling = replace(scaling, out_of_range="clip")
    return Dataset(scaling, words)


def _trained(spans: Iterable[list[Span]]) -> list[patches_h5.Span]:
    """Return the spans that train."""
    return [
        patches_h5.Span(number, span.start, span.stop)
        for number, parts in enumerate(spans)
        for span in parts
        if span.split == "train"
    ]


def _description(plan: Plan, source: frames_h5.Frames, params: Patch) -> dict[str, Any]:
    """Return what a reader of the patches must know."""
    scaling = plan.dataset.scaling
    return {
        "geometry": asdict(plan.geometry),
        "scaling": asdict(scaling),
        "reading": dict(source.reading),
        "params": params.model_dump(),
        "context_frames": params.context_frames,
        "forecast_frames": params.forecast_frames,
        "left_out": plan.dataset.lost,
        "quantities": _quantities(source.sequences, scaling),
    }


def _quantities(sequences: Mapping[str, Sequence], scaling: Scaling) -> tuple[Quantity, ...]:
    """Return the quantities of the sequences, which agree in their channels."""
    dtype = np.result_type(*{own.frames.dtype for own in sequences.values()})
    channels = next(iter(sequences.values())).meaning.of_each(len(scaling.curves))
    return quantities(channels, scaling.value_range, dtype)


def _geometry(sequences: Mapping[str, Sequence], params: Patch) -> Geometry:
    """Return the one size that all windows have."""
    shapes = {name: sequence.frames.shape[1:] for name, sequence in sequences.items()}
    first_name, (channels, rows, cols) = next(iter(shapes.items()))
    for name, shape in shapes.items():
        if shape[0] != channels or (params.tile_size is None and shape != shapes[first_name]):
            raise BadInput(
                f"{name}: frames of (channel, row, col) = {shape}, but {first_name} has "
                f"{shapes[first_name]}; tile_size cuts all to one size"
            )
        if params.tile_size is not None and params.tile_size > min(shape[1:]):
            raise BadInput(
                f"tile_size = {params.tile_size}: {name} has frames of {shape[1]} x {shape[2]} only"
            )
    rows, cols = (rows, cols) if params.tile_size is None else (params.tile_size, params.tile_size)
    if min(rows, cols) < max(SMALLEST_FRAME_PIXELS, params.patch_size):
        raise BadInput(
            f"{first_name}: frames of {rows} x {cols} are too small; both sides must be at least "
            f"{SMALLEST_FRAME_PIXELS} and at least patch_size = {params.patch_size}"
        )
    return Geometry(channels, rows, cols, params.patch_size)


def _short(runs: Runs, params: Patch) -> list[str]:
    """Return the names of sequences without one whole window, or that `time` cannot split.

    Raises:
        BadInput: there are some and params call that an error, or there are no others.
    """
    length = params.context_frames + params.forecast_frames
    short = too_short(runs, length=length)
    if params.short_sequences == "skip" and params.split_by == "time":
        least = len(SPLITS) * length
        few = (name for name, parts in runs.items() if parts[-1][1] < least)
        short |= {name: f"{name}: fewer than {least} frames, three windows" for name in few}
    if short and (params.short_sequences == "error" or len(short) == len(runs)):
        raise BadInput(*short.values())
    return list(short)


def _spans(
    sequences: Mapping[str, Sequence], runs: Runs, params: Patch, *, dated: bool
) -> tuple[dict[str, list[Span]], dict[str, int]]:
    """Return the spans of each sequence by the rule that params name, evenly spaced in time.

    No time is in two splits, if times are `dated`; also return how many frames each has lost.
    """
    length = params.context_frames + params.forecast_frames
    lengths = {name: len(sequence.frames) for name, sequence in sequences.items()}
    moments = {
        name: own.times if dated and overlaps.is_dated(own.times) else None
        for name, own in sequences.items()
    }
    if params.split_by == "time":
        spans = overlaps.split_by_common_times(lengths, params.split, moments, length=length)
    elif params.test_sequences:
        spans = split_by_name(lengths, valid=params.valid_sequences, test=params.test_sequences)
    else:
        spans = split_by_sequence(lengths, params.split)
    even = [part for span in spans for part in span.without_gaps(runs[span.sequence])]
    kept, lost = overlaps.apart(even, moments, length=length)
    parts: dict[str, list[Span]] = {name: [] for name in lengths}
    for span in sorted(kept, key=lambda span: span.start):
        parts[span.sequence].append(span)
    return parts, lost


def _check_windows(windows: Mapping[str, list[Window]], lost: Mapping[str, int]) -> None:
    for split, rows in windows.items():
        if not rows and split in lost:
            raise BadInput(
                f"split: no window is left to {split}; {overlaps.line(lost)}; set split_by to "
                f"time, or name sequences of other times in valid_sequences and test_sequences"
            )
        if not rows:
            raise BadInput(
                f"split: no window is left to {split}; give it more sequences, lower "
                f"min_wet_fraction, or check that missing_value does not cover whole frames"
            )
