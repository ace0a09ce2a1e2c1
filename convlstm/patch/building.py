"""The build of patches.h5 from frames.h5: an index of windows in frames that are checked."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Num, UInt

from convlstm.ingest import summary, times
from convlstm.ingest.summary import Tally
from convlstm.ingest.time_format import time_format
from convlstm.patch import agreement, overlaps, ranges
from convlstm.patch.conversion import Conversion
from convlstm.patch.dataset import Dataset, Filling
from convlstm.patch.folding import Geometry, tile_corners
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
from convlstm.storage import hdf5
from convlstm.storage import patches as patches_h5
from convlstm.storage.frames import Sequence
from convlstm.storage.meaning import Quantity, quantities
from convlstm.storage.patches import Window

SMALLEST_FRAME_PIXELS = 7  # SSIM compares areas of 7 x 7
BLOCK_VALUES = 2**20  # of the frames that are in memory at once, also in float64


class Block(NamedTuple):
    """Successive frames of a sequence from frame `start` on, and their measured and wet pixels."""

    start: int
    frames: Num[np.ndarray, "time channel row col"]
    mask: Bool[np.ndarray, "time channel row col"]
    wet: Bool[np.ndarray, "time channel row col"]


class Tile(NamedTuple):
    """A tile of one sequence: its corner in the frame.

    `measured` and `wet` count such pixels in each frame of the tile.
    """

    row: int
    col: int
    measured: Int[np.ndarray, " time"]
    wet: Int[np.ndarray, " time"]

    def add(self, block: Block, geometry: Geometry) -> None:
        """Count the pixels of a block in this tile."""
        times = slice(block.start, block.start + len(block.frames))
        rows = slice(self.row, self.row + geometry.rows)
        cols = slice(self.col, self.col + geometry.cols)
        self.measured[times] = block.mask[..., rows, cols].sum(axis=(1, 2, 3))
        self.wet[times] = block.wet[..., rows, cols].sum(axis=(1, 2, 3))

    def fault(self, frames: slice, least_wet: float) -> str | None:
        """Say why these frames make no window, if a frame is empty or too few pixels are wet.

        An empty frame teaches and tests nothing.
        """
        measured = self.measured[frames]
        if not measured.all():
            return "with a frame of which nothing is measured"
        if self.wet[frames].sum() < least_wet * measured.sum():
            return "drier than min_wet_fraction"
        return None


class Frames:
    """The frames of a sequence, checked in blocks, and a tally of them."""

    def __init__(self, sequence: Sequence, scaling: Scaling, params: Patch) -> None:
        self.sequence = sequence
        dtype, channels = sequence.frames.dtype, len(scaling.curves)
        self.conversion = Conversion(scaling, sequence.meaning.channels, dtype)
        self._tally = Tally(self.conversion.channels, dtype)
        check_count("wet_threshold", params.wet_threshold, channels)
        self._wet = params.wet_threshold

    def blocks(self, filling: Filling, faults: Faults) -> Iterator[Block]:
        """Yield the frames in their order."""
        frames, conversion = self.sequence.frames, self.conversion
        step = max(1, BLOCK_VALUES * len(frames) // frames.size)
        step = max(step - step % frames.chunks[0], frames.chunks[0])  # chunks are unpacked once
        for start in range(0, len(frames), step):
            block = frames[start : start + step]
            outside = conversion.outside(block)
            for number in np.flatnonzero(outside.any(axis=(1, 2, 3))).tolist():
                with faults.collected():
                    label = self.sequence.label(start + number)
                    conversion.check(block[number], outside[number], where=label)
            mask = ~conversion.is_missing(block)
            wet = conversion.above(block, self._wet)
            filling.add(block, outside & mask, conversion)
            self._tally.add(block, ~mask)
            yield Block(start, block, mask, wet)

    def summary(self, name: str) -> summary.Summary:
        """Return what was read, when all blocks have been taken."""
        frames = self.sequence.frames
        return summary.of_sequence(name, frames.shape, self.sequence.times, self._tally)


def build(source: hdf5.File, target: hdf5.New, params: Patch) -> Iterator[Dataset]:
    """Fill patches.h5 from frames.h5, with one block of frames in memory at a time.

    Yields:
        After each sequence, what was read and made so far; it is the same object each time.

    Raises:
        BadInput: frames and params do not fit together, or sequences to each other; the message
            names the sequence or the key.
    """
    sequences = frames_h5.sequences(source)
    geometry = _geometry(sequences, params)
    agreement.check(sequences)
    reading = hdf5.description(source)["reading"]
    runs = {name: times.runs(own.times, len(own.frames)) for name, own in sequences.items()}
    short = _short(runs, params)
    whole = {name: own for name, own in sequences.items() if name not in short}
    spans, lost = _spans(whole, runs, params, dated=_is_dated(reading["time_format"]))
    dataset = _dataset(whole, spans, params)
    dataset.lost, dataset.short = lost, short
    writer = patches_h5.Writer(target, sequences)
    windows: dict[str, list[Window]] = {split: [] for split in SPLITS}
    faults = Faults()
    for number, (name, sequence) in enumerate(sequences.items()):
        frames = Frames(sequence, dataset.scaling, params)
        tiles = _tiles(sequence, geometry)
        for block in frames.blocks(dataset.filling, faults):
            writer.append(number, _counts(block, params.patch_size))
            for tile in tiles:
                tile.add(block, geometry)
        for split, window in _kept(number, tiles, spans.get(name, []), params, dataset):
            windows[split].append(window)
        dataset.add(frames.summary(name), {split: len(rows) for split, rows in windows.items()})
        yield dataset
    faults.check()
    _check_windows(windows, lost)
    about = _description(geometry, dataset.scaling, params, reading)
    about |= {"left_out": lost, "quantities": _quantities(sequences, dataset.scaling)}
    writer.finish(windows, _trained(spans.values()), about)


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
        for start in span.windows(length, params.stride):
            reason = tile.fault(slice(start, start + length), least_wet)
            if reason is None:
                yield span.split, Window(start, number, tile.row, tile.col)
            else:
                dataset.dropped[span.split, reason] += 1


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


def _description(
    geometry: Geometry, scaling: Scaling, params: Patch, reading: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a reader of the patches must know."""
    return {
        "geometry": asdict(geometry),
        "scaling": asdict(scaling),
        "reading": dict(reading),
        "params": params.model_dump(),
        "context_frames": params.context_frames,
        "forecast_frames": params.forecast_frames,
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


def _counts(block: Block, patch_size: int) -> UInt[np.ndarray, "time kind patch_row patch_col"]:
    """Count the measured and the wet pixels of each patch."""
    _, channels, rows, cols = block.frames.shape
    geometry = Geometry(channels, rows, cols, patch_size)
    kind = np.min_scalar_type(channels * patch_size**2)
    counted = (block.mask, block.wet)
    return np.stack([geometry.fold(part).sum(axis=1, dtype=kind) for part in counted], axis=1)


def _tiles(sequence: Sequence, geometry: Geometry) -> list[Tile]:
    """Return the tiles that cover the frames of a sequence, with nothing counted yet."""
    time, *_, height, width = sequence.frames.shape
    corners = product(tile_corners(height, geometry.rows), tile_corners(width, geometry.cols))
    return [
        Tile(row, col, np.zeros(time, np.int64), np.zeros(time, np.int64)) for row, col in corners
    ]


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
