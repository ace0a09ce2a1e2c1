"""The count of measured and wet pixels in frames that are checked, shard by shard.

What is counted in a shard depends on its frames, their scaling and the sizes of tiles and patches,
so that of frames which were there before is taken from `.shards/`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Num, UInt

from convlstm.ingest.summary import Tally
from convlstm.patch.conversion import Conversion
from convlstm.patch.dataset import Filling
from convlstm.patch.folding import Geometry, tile_corners
from convlstm.patch.scaling import Scaling
from convlstm.runtime.errors import Faults
from convlstm.runtime.files import to_text
from convlstm.storage import frames as frames_h5
from convlstm.storage import hdf5
from convlstm.storage.frames import Piece, Sequence
from convlstm.storage.patches import Counts
from convlstm.storage.shards import Cache, Shelf
from convlstm.storage.tasks import Made

BLOCK_VALUES = 2**20  # of the frames that are in memory at once, also in float64


@dataclass(frozen=True)
class Counting:
    """Everything that decides the counts of frames.

    `code` tells apart versions of the code that counts; `frames` is the folder of the frames, and
    `cache` that of the shards.
    """

    scaling: Scaling
    geometry: Geometry
    wet_threshold: tuple[float, ...]
    code: str
    frames: Path
    cache: Path


@dataclass(frozen=True)
class Job:
    """The pieces of one shard of frames, each with the number of its first frame."""

    counting: Counting
    pieces: tuple[tuple[Piece, int], ...]

    @cached_property
    def source(self) -> str:
        """A key of all that decides the counts."""
        facts = {
            "code": self.counting.code,
            "scaling": asdict(self.counting.scaling),
            "geometry": asdict(self.counting.geometry),
            "wet_threshold": self.counting.wet_threshold,
            "pieces": [
                (own.key, own.channels, own.dtype, own.shape, own.digest) for own, _ in self.pieces
            ],
        }
        return sha256(to_text(facts).encode()).hexdigest()[:32]


def jobs(sequences: Mapping[str, Sequence], counting: Counting) -> list[Job]:
    """Return the shards to be counted, in the order in which the sequences need them."""
    found: dict[str, list[tuple[Piece, int]]] = {}
    for sequence in sequences.values():
        first = 0
        for piece in sequence.pieces:
            found.setdefault(piece.shard, []).append((piece, first))
            first += piece.shape[0]
    return [Job(counting, tuple(own)) for own in found.values()]


def count(
    job: Job,
    /,
    *,
    threads: int,  # noqa: ARG001 - HDF5 has one lock
    tick: Callable[[int], object],
) -> Made:
    """Count in the pieces of a job, and make the shard of the counts in its cache.

    Args:
        job: what is counted.
        threads: that may be used; one is.
        tick: called with 1 after each piece.
    """
    about, faults = job.counting, Faults()
    cache, filling = Cache(about.cache), Filling(len(about.scaling.curves))
    with cache.new() as path:
        with Shelf(about.frames) as shelf, hdf5.create(path) as file:
            for piece, first in job.pieces:
                sequence = frames_h5.of_piece(piece, first, shelf)
                _count(sequence, about, filling, faults, Counts(file, piece.key))
                tick(1)
            hdf5.write_array(file, "filling", filling.counted)
        if faults.count:
            return Made("", faults, len(job.pieces))
        name = cache.keep(path)
    cache.note(job.source, name)
    return Made(name, faults, len(job.pieces))


def _count(
    sequence: Sequence, about: Counting, filling: Filling, faults: Faults, counts: Counts
) -> None:
    """Count in one piece."""
    frames = Frames(sequence, about)
    tiles = []
    for block in frames.blocks(filling, faults):
        counts.append(_of_patches(block, about.geometry.patch_size))
        tiles.append(_of_tiles(block, about.geometry))
    counts.finish(np.concatenate(tiles), frames.tally.text)


class Block(NamedTuple):
    """Successive frames of a sequence, and their measured and wet pixels."""

    frames: Num[np.ndarray, "time channel row col"]
    mask: Bool[np.ndarray, "time channel row col"]
    wet: Bool[np.ndarray, "time channel row col"]


class Frames:
    """The frames of a piece of a sequence, checked in blocks, and a tally of them."""

    def __init__(self, sequence: Sequence, about: Counting) -> None:
        self.sequence, self._wet = sequence, about.wet_threshold
        dtype = sequence.frames.dtype
        self.conversion = Conversion(about.scaling, sequence.meaning.channels, dtype)
        self.tally = Tally(self.conversion.channels, dtype)

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
            self.tally.add(block, ~mask)
            yield Block(block, mask, wet)


def corners(shape: tuple[int, ...], geometry: Geometry) -> list[tuple[int, int]]:
    """Return the corners (row, col) of the tiles that cover frames of this shape."""
    *_, rows, cols = shape
    return list(product(tile_corners(rows, geometry.rows), tile_corners(cols, geometry.cols)))


def _of_tiles(block: Block, geometry: Geometry) -> Int[np.ndarray, "time kind tile"]:
    """Count the measured and the wet pixels of each tile."""
    rows, cols = geometry.rows, geometry.cols
    found = [
        [
            part[..., row : row + rows, col : col + cols].sum(axis=(1, 2, 3), dtype=np.int64)
            for row, col in corners(block.frames.shape, geometry)
        ]
        for part in (block.mask, block.wet)
    ]
    return np.moveaxis(np.array(found), -1, 0)


def _of_patches(block: Block, patch_size: int) -> UInt[np.ndarray, "time kind patch_row patch_col"]:
    """Count the measured and the wet pixels of each patch."""
    _, channels, rows, cols = block.frames.shape
    geometry = Geometry(channels, rows, cols, patch_size)
    kind = np.min_scalar_type(channels * patch_size**2)
    counted = (block.mask, block.wet)
    return np.stack([geometry.fold(part).sum(axis=1, dtype=kind) for part in counted], axis=1)
