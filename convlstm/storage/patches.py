"""The layout of patches.h5, which patch writes, and train and evaluate read.

sequences              the names of the sequences
channels               the meaning of the numbers of each sequence, as `Meaning.text`
frames/000000 ...      (time, channel, row, col) raw values of each sequence, all in one type
counts/000000 ...      (time, kind, row, col) measured and wet pixels of each patch of its frames
windows/train ...      validation, test: a `Window` in each row, the grid's
spans                  a `Span` in each row, of frames without a gap that train

The description holds the geometry of a window, its scaling in physical values, the params of the
data stages, the lengths of context and forecast, and a `fingerprint` of all the data.
"""

import math
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Num, Shaped, UInt

from convlstm.runtime.files import check_room, to_text
from convlstm.storage import hdf5
from convlstm.storage.meaning import Channel, Meaning, channels_from_text


class Window(NamedTuple):
    """Successive frames of a tile, from frame `start` of the sequence with this number on.

    `row` and `col` are the corner of the tile, in pixels.
    """

    start: int
    sequence: int
    row: int
    col: int


class Span(NamedTuple):
    """The frames [start, stop) of the sequence with this number."""

    sequence: int
    start: int
    stop: int


WINDOW = np.dtype([("start", "i8"), ("sequence", "i4"), ("row", "i4"), ("col", "i4")])
SPAN = np.dtype([("sequence", "i4"), ("start", "i8"), ("stop", "i8")])

FRAMES_PER_CHUNK = 4
"""A window of 20 frames reads 5 or 6 chunks; chunks of 64 would read 3 times what it needs."""

MEASURED, WET = range(2)
"""The kinds of pixels that are counted."""


class Patches(NamedTuple):
    """The contents of an open patches.h5; `frames` and `counts` are still on the disk."""

    sequences: list[str]
    channels: list[tuple[Channel, ...]]
    frames: list[hdf5.Dataset]
    counts: list[hdf5.Dataset]
    windows: dict[str, Shaped[np.ndarray, " window"]]
    spans: list[Span]
    description: dict[str, Any]


def read(file: hdf5.File) -> Patches:
    """Return the frames, the index and the description of an open patches.h5."""
    return Patches(
        hdf5.texts(file["sequences"]),
        [channels_from_text(text) for text in hdf5.texts(file["channels"])],
        list(file["frames"].values()),
        list(file["counts"].values()),
        {split: rows[:] for split, rows in file["windows"].items()},
        [Span(*row) for row in file["spans"][:].tolist()],
        hdf5.description(file),
    )


class Writer:
    """Writes a new patches.h5 of sequences of these shapes (time, channel, row, col).

    Args:
        file: the new file.
        shapes: of the frames of each sequence.
        dtype: of all frames.
        tile: rows and columns of a window, in pixels.

    Raises:
        TooSmallError: the disk has no room for them; `hdf5.create` turns this into a `NoRoom`.
    """

    def __init__(
        self,
        file: hdf5.New,
        shapes: Iterable[tuple[int, ...]],
        dtype: np.dtype[Any],
        tile: tuple[int, int],
    ) -> None:
        check_room(file.folder, sum(map(math.prod, shapes)) * dtype.itemsize)
        self.dtype = dtype
        self._file, self._tile = file, tile
        self._sums = {"frames": sha256(dtype.str.encode()), "counts": sha256()}

    def append(
        self,
        sequence: int,
        frames: Num[np.ndarray, "time channel row col"],
        counts: UInt[np.ndarray, "time kind patch_row patch_col"],
    ) -> None:
        """Append the next frames of the sequence with this number, and what is counted in them."""
        for kind, block in (("frames", frames.astype(self.dtype, copy=False)), ("counts", counts)):
            dataset = self._dataset(kind, sequence, block)
            first = len(dataset)
            dataset.resize(first + len(block), axis=0)
            dataset[first:] = block
            self._sums[kind].update(np.ascontiguousarray(block).data)
        self._file.check()

    def finish(
        self,
        sequences: Mapping[str, tuple[Channel, ...]],
        windows: Mapping[str, list[Window]],
        spans: list[Span],
        description: Mapping[str, Any],
    ) -> None:
        """Write the index and the description, with the SHA-256 of all that was written.

        Args:
            sequences: the channels of each sequence by its name.
            windows: of each split.
            spans: that train.
            description: of all else.
        """
        channels = [Meaning(own).text for own in sequences.values()]
        hdf5.write_texts(self._file, "sequences", sequences)
        hdf5.write_texts(self._file, "channels", channels)
        for split, rows in windows.items():
            hdf5.write_array(self._file, f"windows/{split}", np.array(rows, WINDOW))
        hdf5.write_array(self._file, "spans", np.array(spans, SPAN))
        facts = {
            "facts": description,
            "channels": channels,
            "windows": windows,
            "spans": spans,
            "shapes": [dataset.shape for dataset in self._file["frames"].values()],
            **{kind: sums.hexdigest() for kind, sums in self._sums.items()},
        }
        fingerprint = sha256(to_text(facts).encode()).hexdigest()
        hdf5.describe(self._file, **description, fingerprint=fingerprint)

    def _dataset(self, kind: str, sequence: int, block: np.ndarray) -> hdf5.Dataset:
        """Return the dataset of a sequence, which is made for its first block.

        A tile may begin anywhere in a larger frame. There a chunk is half as high and half as wide
        as a tile, which so touches three of them a side, and seldom a pixel that it does not need.
        """
        group, key = self._file.require_group(kind), f"{sequence:06d}"
        if key in group:
            return group[key]
        shape, sides = block.shape[1:], block.shape[2:]
        if kind == "frames" and sides != self._tile:
            sides = tuple(-(-side // 2) for side in self._tile)
        chunks = (FRAMES_PER_CHUNK, shape[0], *sides)
        return hdf5.growing(group, key, shape, block.dtype, chunks=chunks)
