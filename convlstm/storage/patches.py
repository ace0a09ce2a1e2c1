"""The layout of data/patches/, which patch writes, and train and evaluate read beside data/frames.

A shard holds what is counted in a shard of data/frames:

counts/000000 ...      (time, kind, row, col) measured and wet pixels of each patch, a dataset for
                       each piece; attributes `digest`, the SHA-256 of the counts, and `tally`
tiles/000000 ...       (time, kind, tile) the same of each tile
filling                a histogram of the values of all pieces

index.h5 holds the rest:

counts                 the `Place` of the counts of each piece, as JSON
windows/train ...      validation, test: a `Window` in each row, the grid's
spans                  a `Span` in each row, of frames without a gap that train

Its description holds the geometry of a window, its scaling in physical values, the params of the
data stages, the lengths of context and forecast, the fingerprint of the `frames` in data/frames,
and a `fingerprint` of all the data.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped, UInt

from convlstm.runtime.errors import BadInput
from convlstm.runtime.files import from_text, to_text
from convlstm.storage import frames as frames_h5
from convlstm.storage import hdf5
from convlstm.storage.frames import Sequence
from convlstm.storage.shards import INDEX, Joined, Place, Shelf, Stored


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
    """The contents of an open data/patches, and the sequences of the frames that it was made of.

    Their `frames` and the `counts` are still on the disk.
    """

    sequences: Mapping[str, Sequence]
    counts: list[Stored | np.ndarray]
    windows: dict[str, Shaped[np.ndarray, " window"]]
    spans: list[Span]
    description: dict[str, Any]


@contextmanager
def opened(folder: Path, frames: Path) -> Iterator[Patches]:
    """Open data/patches, and the frames that it was made of, for reading.

    Raises:
        BadInput: one of them is missing or damaged, or they do not belong together.
    """
    with frames_h5.opened(frames) as source, Shelf(folder) as shelf:
        with hdf5.open_complete(folder / INDEX) as index:
            description = hdf5.description(index)
            if description["frames"] != frames_h5.fingerprint(source.sequences):
                raise BadInput(f"{folder} was made of other frames than {frames}; run `dvc repro`")
            places = iter(hdf5.texts(hdf5.Array(index["counts"])[:]))
            found = Patches(
                source.sequences,
                [
                    Joined(shelf, [Place(**from_text(next(places))) for _ in own.pieces])
                    for own in source.sequences.values()
                ],
                {split: rows[:] for split, rows in hdf5.arrays(index["windows"]).items()},
                [Span(*row) for row in hdf5.Array(index["spans"])[:].tolist()],
                description,
            )
        yield found


class Counts:
    """Writes what is counted in one piece into a new shard.

    Args:
        file: the shard.
        key: of the piece in its own shard.
    """

    def __init__(self, file: hdf5.New, key: str) -> None:
        self._file, self._key = file, key
        self._sums = sha256()

    def append(self, counts: UInt[np.ndarray, "time kind patch_row patch_col"]) -> None:
        """Append what is counted in the next frames."""
        group = self._file.require_group("counts")
        if self._key not in group:
            hdf5.growing(group, self._key, counts.shape[1:], counts.dtype)
        hdf5.append(group[self._key], counts)
        self._sums.update(np.ascontiguousarray(counts).data)
        self._file.check()

    def finish(self, tiles: Int[np.ndarray, "time kind tile"], tally: str) -> None:
        """Write what is counted in each tile of all frames, and the tally of their values."""
        hdf5.write_array(self._file, f"tiles/{self._key}", tiles)
        hdf5.set_text(self._file[f"counts/{self._key}"], "digest", self._sums.hexdigest())
        hdf5.set_text(self._file[f"counts/{self._key}"], "tally", tally)


class Counted(NamedTuple):
    """The counts of one piece; `place` is where those of its patches lie."""

    place: Place
    tiles: Int[np.ndarray, "time kind tile"]
    tally: str


def counted(path: Path) -> tuple[dict[str, Counted], Int[np.ndarray, "channel bin"]]:
    """Return what a shard says of each piece, by its key, and its histogram of values."""
    with hdf5.open_complete(path) as file:
        own = {
            key: Counted(
                Place(
                    path.name,
                    f"counts/{key}",
                    counts.shape,
                    counts.chunks,
                    counts.dtype.str,
                    hdf5.text(counts, "digest"),
                ),
                hdf5.Array(file[f"tiles/{key}"])[:],
                hdf5.text(counts, "tally"),
            )
            for key, counts in hdf5.arrays(file["counts"]).items()
        }
        return own, hdf5.Array(file["filling"])[:]


def write_index(
    folder: Path,
    sequences: Mapping[str, Sequence],
    places: list[Place],
    windows: Mapping[str, list[Window]],
    spans: list[Span],
    description: Mapping[str, Any],
) -> None:
    """Write the index of a folder of shards, with the SHA-256 of all that it speaks of.

    Args:
        folder: of the shards.
        sequences: that the windows lie in.
        places: of the counts of all their pieces, in order.
        windows: of each split.
        spans: that train.
        description: of all else.
    """
    frames = frames_h5.fingerprint(sequences)
    with hdf5.create(folder / INDEX) as index:
        hdf5.write_texts(index, "counts", [to_text(place._asdict()) for place in places])
        for split, rows in windows.items():
            hdf5.write_array(index, f"windows/{split}", np.array(rows, WINDOW))
        hdf5.write_array(index, "spans", np.array(spans, SPAN))
        facts = {
            "facts": description,
            "windows": windows,
            "spans": spans,
            "counts": [(place.shape, place.digest) for place in places],
            "frames": frames,
        }
        fingerprint = sha256(to_text(facts).encode()).hexdigest()
        hdf5.describe(index, **description, frames=frames, fingerprint=fingerprint)
