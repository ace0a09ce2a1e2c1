"""The layout of patches.h5, which patch writes, and train and evaluate read.

frames                 (frame, channel, row, col) folded raw values, tile after tile
sequences              the names of the sequences
windows/train ...      validation, test: a `WINDOW` row for each window, an index into frames

The description holds the geometry of a frame, its scaling, the params of the data stages, the
lengths of context and forecast, and a `fingerprint` of all the data.
"""

import math
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Num, Shaped

from convlstm.runtime.files import check_room, to_text
from convlstm.storage import hdf5

WINDOW = np.dtype([("start", "i8"), ("sequence", "i4"), ("row", "i4"), ("col", "i4")])
"""start: first row in frames; sequence: index of its name; row, col: corner of the tile, pixels."""

FRAMES_PER_CHUNK = 4
"""A window of 20 frames reads 5 or 6 chunks; chunks of 64 would read 3 times what it needs."""

WindowRows = Mapping[str, list[tuple[int, int, int, int]]]
"""For each split, the `WINDOW` of each of its windows."""


class Patches(NamedTuple):
    """The contents of an open patches.h5; only `frames` is still on the disk."""

    frames: hdf5.Dataset
    sequences: list[str]
    windows: dict[str, Shaped[np.ndarray, " window"]]
    description: dict[str, Any]


def read(file: hdf5.File) -> Patches:
    """Return the frames, the index and the description of an open patches.h5."""
    return Patches(
        file["frames"],
        hdf5.texts(file["sequences"]),
        {split: rows[:] for split, rows in file["windows"].items()},
        hdf5.description(file),
    )


class Writer:
    """Writes a new patches.h5 with `count` frames of `shape` (channel, row, col).

    Raises:
        TooSmallError: the disk has no room for them; `hdf5.create` turns this into a `NoRoom`.
    """

    def __init__(
        self, file: hdf5.New, shape: tuple[int, ...], dtype: np.dtype[Any], count: int
    ) -> None:
        check_room(file.folder, count * math.prod(shape) * dtype.itemsize)
        self.dtype = dtype
        self._file = file
        self._frames = hdf5.growing(file, "frames", shape, dtype, frames_per_chunk=FRAMES_PER_CHUNK)
        self._hash = sha256(dtype.str.encode())

    def grow(self, count: int) -> int:
        """Make room for more frames; returns the row of the first of them."""
        first = len(self._frames)
        self._frames.resize(first + count, axis=0)
        return first

    def write(self, first: int, frames: Num[np.ndarray, "time channel row col"]) -> None:
        """Write `frames` from row `first` on."""
        self._frames[first : first + len(frames)] = frames
        self._file.check()
        self._hash.update(np.ascontiguousarray(frames, self.dtype).data)

    def finish(
        self, sequences: Iterable[str], windows: WindowRows, description: Mapping[str, Any]
    ) -> None:
        """Write the index and the description, with the SHA-256 of all that was written."""
        hdf5.write_texts(self._file, "sequences", sequences)
        for split, rows in windows.items():
            hdf5.write_array(self._file, f"windows/{split}", np.array(rows, WINDOW))
        self._hash.update(to_text({"facts": description, "windows": windows}).encode())
        hdf5.describe(self._file, **description, fingerprint=self._hash.hexdigest())
