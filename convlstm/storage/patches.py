"""The layout of patches.h5, which patch writes, and train and evaluate read beside frames.h5.

counts/000000 ...      (time, kind, row, col) measured and wet pixels of each patch, a dataset for
                       each sequence of frames.h5
windows/train ...      validation, test: a `Window` in each row, the grid's
spans                  a `Span` in each row, of frames without a gap that train

The description holds the geometry of a window, its scaling in physical values, the params of the
data stages, the lengths of context and forecast, the fingerprint of the `frames` in frames.h5, and
a `fingerprint` of all the data.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt

from convlstm.runtime.errors import BadInput
from convlstm.runtime.files import to_text
from convlstm.storage import frames as frames_h5
from convlstm.storage import hdf5
from convlstm.storage.frames import Sequence


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

MEASURED, WET = range(2)
"""The kinds of pixels that are counted."""


class Patches(NamedTuple):
    """The contents of an open patches.h5, and the sequences of the frames.h5 that it was made of.

    Their `frames` and the `counts` are still on the disk.
    """

    sequences: Mapping[str, Sequence]
    counts: list[hdf5.Array | np.ndarray]
    windows: dict[str, Shaped[np.ndarray, " window"]]
    spans: list[Span]
    description: dict[str, Any]


@contextmanager
def opened(path: Path, frames: Path) -> Iterator[Patches]:
    """Open a patches.h5, and the frames.h5 that it was made of, for reading.

    Raises:
        BadInput: one of them is missing or damaged, or they do not belong together.
    """
    with hdf5.open_complete(frames) as source:
        sequences = frames_h5.sequences(source)
        with hdf5.open_complete(path) as file:
            description = hdf5.description(file)
            if description["frames"] != frames_h5.fingerprint(sequences):
                raise BadInput(f"{path} was made of other frames than {frames}; run `dvc repro`")
            yield Patches(
                sequences,
                [*hdf5.arrays(file["counts"]).values()],
                {split: rows[:] for split, rows in hdf5.arrays(file["windows"]).items()},
                [Span(*row) for row in hdf5.Array(file["spans"])[:].tolist()],
                description,
            )


class Writer:
    """Writes a new patches.h5.

    Args:
        file: the new file.
        sequences: of the frames.h5 that it is made of.
    """

    def __init__(self, file: hdf5.New, sequences: Mapping[str, Sequence]) -> None:
        self._file, self._frames = file, frames_h5.fingerprint(sequences)
        self._sums = sha256()

    def append(
        self, sequence: int, counts: UInt[np.ndarray, "time kind patch_row patch_col"]
    ) -> None:
        """Append what is counted in the next frames of the sequence with this number."""
        group, key = self._file.require_group("counts"), f"{sequence:06d}"
        if key not in group:
            hdf5.growing(group, key, counts.shape[1:], counts.dtype)
        hdf5.append(group[key], counts)
        self._sums.update(np.ascontiguousarray(counts).data)
        self._file.check()

    def finish(
        self,
        windows: Mapping[str, list[Window]],
        spans: list[Span],
        description: Mapping[str, Any],
    ) -> None:
        """Write the index and the description, with the SHA-256 of all that they speak of.

        Args:
            windows: of each split.
            spans: that train.
            description: of all else.
        """
        for split, rows in windows.items():
            hdf5.write_array(self._file, f"windows/{split}", np.array(rows, WINDOW))
        hdf5.write_array(self._file, "spans", np.array(spans, SPAN))
        facts = {
            "facts": description,
            "windows": windows,
            "spans": spans,
            "shapes": [dataset.shape for dataset in self._file["counts"].values()],
            "counts": self._sums.hexdigest(),
            "frames": self._frames,
        }
        fingerprint = sha256(to_text(facts).encode()).hexdigest()
        hdf5.describe(self._file, **description, frames=self._frames, fingerprint=fingerprint)
