"""frames.h5 to patches.h5: tiles of checked values, folded, and an index of the windows."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from convlstm import store
from convlstm.errors import BadInput
from convlstm.params import Patch
from convlstm.patches import Geometry, tile_corners
from convlstm.scaling import Scaling
from convlstm.windows import (
    SPLITS,
    Span,
    check_lengths,
    split_by_name,
    split_by_sequence,
    split_by_time,
)

SMALLEST_FRAME_PIXELS = 7  # SSIM compares areas of 7 x 7
FRAMES_IN_MEMORY = 16


class Tile(NamedTuple):
    """A stored tile of one sequence: its corner in the frame, its first row, what it measured."""

    row: int
    col: int
    first: int
    measured: Bool[np.ndarray, " time"]


def build(source: store.File, target: store.File, params: Patch) -> Iterator[dict[str, int]]:
    """Fill patches.h5 from frames.h5, one block of frames in memory at a time.

    Yields:
        After each sequence, the number of windows so far in each split.

    Raises:
        BadInput: frames and params do not fit together; the message names the sequence or the key.
    """
    sequences = store.sequences(source)
    geometry = _geometry(sequences, params)
    length = params.context_frames + params.forecast_frames
    spans = _spans({name: len(frames) for name, frames in sequences.items()}, params, length)
    frames = store.create_patches(target, geometry.folded_shape, _common_dtype(sequences))
    windows: dict[str, list[tuple[int, int, int, int]]] = {split: [] for split in SPLITS}
    for number, (name, sequence) in enumerate(sequences.items()):
        for tile in _append_tiles(name, sequence, frames, geometry, params):
            for span in spans[name]:
                windows[span.split] += [
                    (tile.first + start, number, tile.row, tile.col)
                    for start in span.windows(length, params.stride)
                    if tile.measured[start : start + length].all()  # an empty frame tests nothing
                ]
        yield {split: len(rows) for split, rows in windows.items()}
    _check_windows(windows)
    store.write_windows(target, sequences, windows)
    store.describe(
        target,
        geometry=asdict(geometry),
        scaling=asdict(_scaling(params)),
        context_frames=params.context_frames,
        forecast_frames=params.forecast_frames,
    )


def _scaling(params: Patch) -> Scaling:
    return Scaling(params.value_range, params.missing_value)


def _geometry(sequences: Mapping[str, store.Dataset], params: Patch) -> Geometry:
    """The one size that all tiles have."""
    shapes = {name: sequence.shape[1:] for name, sequence in sequences.items()}
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


def _common_dtype(sequences: Mapping[str, store.Dataset]) -> np.dtype[Any]:
    """The smallest type that holds all sequences' values exactly."""
    return np.result_type(*{sequence.dtype for sequence in sequences.values()})


def _spans(lengths: Mapping[str, int], params: Patch, length: int) -> dict[str, list[Span]]:
    """The split of each sequence, by the rule that params name."""
    check_lengths(lengths, length=length)
    if params.split_by == "time":
        spans = split_by_time(lengths, params.split, length=length)
    elif params.test_sequences:
        spans = split_by_name(lengths, valid=params.valid_sequences, test=params.test_sequences)
    else:
        spans = split_by_sequence(lengths, params.split)
    return {name: [span for span in spans if span.sequence == name] for name in lengths}


def _append_tiles(
    name: str, sequence: store.Dataset, frames: store.Dataset, geometry: Geometry, params: Patch
) -> list[Tile]:
    """Append the tiles of a sequence, one after another, each with its frames in a row."""
    scaling = _scaling(params)
    time, _, height, width = sequence.shape
    rows, cols = tile_corners(height, geometry.rows), tile_corners(width, geometry.cols)
    base = len(frames)
    tiles = [
        Tile(row, col, base + number * time, np.zeros(time, bool))
        for number, (row, col) in enumerate(product(rows, cols))
    ]
    frames.resize(base + len(tiles) * time, axis=0)
    for start in range(0, time, FRAMES_IN_MEMORY):
        block = sequence[start : start + FRAMES_IN_MEMORY]
        block = scaling.check(block, policy=params.out_of_range, where=name)
        stop = start + len(block)
        for row, col, first, measured in tiles:
            part = block[..., row : row + geometry.rows, col : col + geometry.cols]
            measured[start:stop] = ~scaling.is_missing(part).all(axis=(1, 2, 3))
            frames[first + start : first + stop] = geometry.fold(part)
    return tiles


def _check_windows(windows: Mapping[str, list[tuple[int, int, int, int]]]) -> None:
    for split, rows in windows.items():
        if not rows:
            raise BadInput(
                f"split: no window is left to {split}; give it more sequences, or check that "
                f"missing_value does not cover whole frames"
            )
