"""The build of patches.h5 from frames.h5: checked and folded tiles, and an index of windows."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from convlstm.ingest import times
from convlstm.patch.folding import Geometry, tile_corners
from convlstm.patch.params import Patch
from convlstm.patch.windows import (
    SPLITS,
    Span,
    check_lengths,
    split_by_name,
    split_by_sequence,
    split_by_time,
)
from convlstm.runtime.errors import BadInput, Faults
from convlstm.storage import frames as frames_h5
from convlstm.storage import hdf5
from convlstm.storage import patches as patches_h5
from convlstm.storage.frames import Sequence

SMALLEST_FRAME_PIXELS = 7  # SSIM compares areas of 7 x 7
BLOCK_BYTES = 2**25  # of frames that are in memory at once


class Tile(NamedTuple):
    """A stored tile of one sequence: its corner in the frame, and its first row in patches.h5.

    `measured` and `wet` count such pixels in each frame of the tile.
    """

    row: int
    col: int
    first: int
    measured: Int[np.ndarray, " time"]
    wet: Int[np.ndarray, " time"]

    def holds(self, frames: slice, least_wet: float) -> bool:
        """Whether each of the frames has a measured pixel, and enough measured pixels are wet.

        An empty frame teaches and tests nothing.
        """
        measured = self.measured[frames]
        return bool(measured.all() and self.wet[frames].sum() >= least_wet * measured.sum())


def build(source: hdf5.File, target: hdf5.New, params: Patch) -> Iterator[dict[str, int]]:
    """Fill patches.h5 from frames.h5, with one block of frames in memory at a time.

    Yields:
        After each sequence, the number of windows so far in each split.

    Raises:
        BadInput: frames and params do not fit together; the message names the sequence or the key.
    """
    sequences = frames_h5.sequences(source)
    geometry = _geometry(sequences, params)
    length = params.context_frames + params.forecast_frames
    spans = _spans(sequences, params, length)
    dtype = np.result_type(*{sequence.frames.dtype for sequence in sequences.values()})
    count = sum(len(_corners(seq, geometry)) * len(seq.frames) for seq in sequences.values())
    writer = patches_h5.Writer(target, geometry.folded_shape, dtype, count)
    windows: dict[str, list[tuple[int, int, int, int]]] = {split: [] for split in SPLITS}
    faults = Faults()
    for number, (name, sequence) in enumerate(sequences.items()):
        for tile in _append_tiles(sequence, writer, geometry, params, faults):
            for span in spans[name]:
                least_wet = params.min_wet_fraction if span.split == "train" else 0.0
                windows[span.split] += [
                    (tile.first + start, number, tile.row, tile.col)
                    for start in span.windows(length, params.stride)
                    if tile.holds(slice(start, start + length), least_wet)
                ]
        yield {split: len(rows) for split, rows in windows.items()}
    faults.check()
    _check_windows(windows)
    reading = hdf5.description(source)["reading"]
    writer.finish(sequences, windows, _description(geometry, params, reading))


def _description(geometry: Geometry, params: Patch, reading: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a reader of the patches must know."""
    return {
        "geometry": asdict(geometry),
        "scaling": asdict(params.scaling()),
        "reading": dict(reading),
        "params": params.model_dump(),
        "context_frames": params.context_frames,
        "forecast_frames": params.forecast_frames,
    }


def _geometry(sequences: Mapping[str, Sequence], params: Patch) -> Geometry:
    """Return the one size that all tiles have."""
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


def _spans(sequences: Mapping[str, Sequence], params: Patch, length: int) -> dict[str, list[Span]]:
    """Return the spans of each sequence by the rule that params name, cut at its gaps."""
    lengths = {name: len(sequence.frames) for name, sequence in sequences.items()}
    runs = {name: times.runs(sequences[name].times, lengths[name]) for name in lengths}
    check_lengths(runs, length=length)
    if params.split_by == "time":
        spans = split_by_time(lengths, params.split, length=length)
    elif params.test_sequences:
        spans = split_by_name(lengths, valid=params.valid_sequences, test=params.test_sequences)
    else:
        spans = split_by_sequence(lengths, params.split)
    parts: dict[str, list[Span]] = {name: [] for name in lengths}
    for span in spans:
        parts[span.sequence] += span.without_gaps(runs[span.sequence])
    return parts


def _append_tiles(
    sequence: Sequence,
    writer: patches_h5.Writer,
    geometry: Geometry,
    params: Patch,
    faults: Faults,
) -> list[Tile]:
    """Append the tiles of a sequence one after another, each with its frames in successive rows."""
    scaling = params.scaling()
    time, corners = len(sequence.frames), _corners(sequence, geometry)
    base = writer.grow(len(corners) * time)
    tiles = [
        Tile(row, col, base + number * time, np.zeros(time, np.int64), np.zeros(time, np.int64))
        for number, (row, col) in enumerate(corners)
    ]
    step = max(1, BLOCK_BYTES * time // sequence.frames.nbytes)
    for start in range(0, time, step):
        block = sequence.frames[start : start + step]
        for offset, frame in enumerate(block):
            with faults.collected():
                block[offset] = scaling.check(frame, where=sequence.label(start + offset))
        stop = start + len(block)
        mask = ~scaling.is_missing(block)
        wet = mask & (block > params.wet_threshold)
        if not mask.all() and block.dtype != writer.dtype and writer.dtype.kind == "f":
            block = block.astype(writer.dtype)  # in which -999.9 is another number
            block[~mask] = scaling.missing_value[0]
        for row, col, first, measured_pixels, wet_pixels in tiles:
            area = np.s_[..., row : row + geometry.rows, col : col + geometry.cols]
            measured_pixels[start:stop] = mask[area].sum(axis=(1, 2, 3))
            wet_pixels[start:stop] = wet[area].sum(axis=(1, 2, 3))
            writer.write(first + start, geometry.fold(block[area]))
    return tiles


def _corners(sequence: Sequence, geometry: Geometry) -> list[tuple[int, int]]:
    """Return row and column of the corner of each tile."""
    height, width = sequence.frames.shape[-2:]
    return list(product(tile_corners(height, geometry.rows), tile_corners(width, geometry.cols)))


def _check_windows(windows: patches_h5.WindowRows) -> None:
    for split, rows in windows.items():
        if not rows:
            raise BadInput(
                f"split: no window is left to {split}; give it more sequences, lower "
                f"min_wet_fraction, or check that missing_value does not cover whole frames"
            )
