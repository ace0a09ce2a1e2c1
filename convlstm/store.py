"""Files that are whole or absent: written beside their place, moved into it, read verified.

The layouts of the three HDF5 files:

frames.h5      sequences/000000 ...   (time, channel, row, col) raw values; attribute `name`
patches.h5     frames                 (frame, channel, row, col) folded raw values, one tile after
another
               sequences              their names
               windows/train ...      valid, test: one `WINDOW` row for each window, an index into
               frames
forecasts.h5   windows/000000 ...     context, truth, forecast: (time, channel, row, col), data
units, NaN missing

What a reader must know beside the arrays stands as JSON in the attribute `description`.
"""

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Num

from convlstm.errors import BadInput

WINDOW = np.dtype([("start", "i8"), ("sequence", "i4"), ("row", "i4"), ("col", "i4")])
"""start: first row in frames; sequence: index of its name; row, col: the tile's corner, pixels."""

FRAMES_A_CHUNK = (
    4  # of patches.h5: a 20-frame window reads 5-6 chunks; 64 would read 3 times what it needs
)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file for `path`: write to the yielded name; on success it replaces the old one.

    The only way that a file of the pipeline comes into being. A reader sees the old file or the new
    one, whole; after an exception the old one is untouched and nothing is left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(
        f".{path.stem}.partial{path.suffix}"
    )  # writers choose a format by suffix
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """A table with a column for each key of the first row; undefined numbers are empty cells."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({column: _cell(value) for column, value in row.items()} for row in rows)


def _cell(value: object) -> object:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.8g}"


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Facts for people and for `dvc metrics`; an undefined number (NaN) is null."""
    rounded = json.loads(
        json.dumps(facts),
        parse_constant=lambda _: None,
        parse_float=lambda text: float(f"{float(text):.8g}"),
    )
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")


@contextmanager
def create(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file, marked complete as the last thing that is written into it."""
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        yield file
        file.attrs["complete"] = True


@contextmanager
def reading(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file that `create` finished.

    Raises:
        BadInput: it is missing, is no HDF5 file, or its writer did not finish.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; `dvc repro` makes it")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise BadInput(
            f"{path}: no readable HDF5 file ({error}); delete it and run `dvc repro`"
        ) from None
    with file:
        if not file.attrs.get("complete", False):
            raise BadInput(f"{path}: its writer did not finish; delete it and run `dvc repro`")
        yield file


def to_text(facts: Mapping[str, Any]) -> str:
    """Plain facts (numbers, texts, tuples, mappings of them) as JSON, always the same text."""
    return json.dumps(facts, sort_keys=True)


def from_text(text: str) -> dict[str, Any]:
    """The facts of `to_text`; JSON knows lists only, here they come back as tuples.

    Raises:
        ValueError: the text is not a JSON object.
    """
    facts = json.loads(text)
    if not isinstance(facts, dict):
        raise ValueError("not a JSON object")
    return {name: _tupled(fact) for name, fact in facts.items()}


def _tupled(fact: Any) -> Any:
    if isinstance(fact, dict):
        return {name: _tupled(inner) for name, inner in fact.items()}
    return tuple(_tupled(inner) for inner in fact) if isinstance(fact, list) else fact


def describe(file: h5py.File, **facts: Any) -> None:
    """Keep a few plain facts with an HDF5 file."""
    file.attrs["description"] = to_text(facts)


def description(file: h5py.File) -> dict[str, Any]:
    """What `describe` kept."""
    return from_text(file.attrs["description"])


def append_sequence(
    file: h5py.File, name: str, frames: Iterable[Num[np.ndarray, "channel row col"]]
) -> None:
    """Stream one sequence into frames.h5; only one frame is in memory at a time."""
    group = file.require_group("sequences")
    dataset: h5py.Dataset | None = None
    for time, frame in enumerate(frames):
        if dataset is None:
            dataset = _growing(
                group, f"{len(group):06d}", frame.shape, frame.dtype, frames_a_chunk=1
            )
            dataset.attrs["name"] = name
        dataset.resize(time + 1, axis=0)
        dataset[time] = frame


def sequences(file: h5py.File) -> dict[str, h5py.Dataset]:
    """The sequences of frames.h5 by name, in the order in which they were stored."""
    return {str(dataset.attrs["name"]): dataset for dataset in file["sequences"].values()}


def create_patches(file: h5py.File, shape: tuple[int, ...], dtype: np.dtype[Any]) -> h5py.Dataset:
    """The empty `frames` of patches.h5 for folded frames of `shape` (channel, row, col)."""
    return _growing(file, "frames", shape, dtype, frames_a_chunk=FRAMES_A_CHUNK)


def _growing(
    group: h5py.Group,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    frames_a_chunk: int,
) -> h5py.Dataset:
    """A dataset that grows in time; its checksum makes a flipped bit raise.

    Not compressed: gzip makes reading 3 to 10 times slower, and frames of a camera hardly smaller.
    """
    return group.create_dataset(
        name,
        (0, *shape),
        dtype,
        maxshape=(None, *shape),
        chunks=(frames_a_chunk, *shape),
        fletcher32=True,
    )


def write_windows(file: h5py.File, names: Iterable[str], windows: Mapping[str, np.ndarray]) -> None:
    """The index of patches.h5: the sequences' names, and `WINDOW` rows for each split."""
    file.create_dataset("sequences", data=list(names), dtype=h5py.string_dtype())
    for split, rows in windows.items():
        file.create_dataset(
            f"windows/{split}", data=rows.astype(WINDOW), chunks=True, fletcher32=True
        )


def forecasts(file: h5py.File) -> list[dict[str, Any]]:
    """The drawn windows of forecasts.h5, in order: `label`, `context`, `truth`, `forecast`."""
    return [
        {
            "label": str(window.attrs["label"]),
            **{part: frames[:] for part, frames in window.items()},
        }
        for window in file["windows"].values()
    ]


def write_forecast(
    file: h5py.File, label: str, **parts: Num[np.ndarray, "time channel row col"]
) -> None:
    """One drawn window of forecasts.h5: its `context`, `truth` and `forecast` under `label`."""
    group = file.require_group("windows")
    window = group.create_group(f"{len(group):06d}")
    window.attrs["label"] = label
    for part, frames in parts.items():
        window.create_dataset(part, data=frames, chunks=(1, *frames.shape[1:]), fletcher32=True)
