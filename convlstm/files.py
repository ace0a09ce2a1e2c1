"""Files that are whole or absent: written beside their place, then moved into it."""

import csv
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convlstm.errors import BadInput


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file for `path`: write to the yielded name; on success it replaces the old one.

    The only way that a file of the pipeline comes into being. A reader sees the old file or the new
    one, whole; after an exception the old one is untouched and nothing is left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # the suffix stays, because writers choose a format by it
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_new_folder(path: Path, *, beside: Path) -> None:
    """Files may be written into `path` without loss: it is new or empty, and not inside `beside`.

    Raises:
        BadInput: it is not.
    """
    if path.resolve().is_relative_to(beside.resolve()):
        raise BadInput(f"{path}: lies in {beside}, and would be read as part of it; give another")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise BadInput(f"{path}: is there already; give a new folder, so that nothing is lost")


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
