"""The tables are read whole, or the one that is wrong is named; names are drawn as they are."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from convlstm.plot import pictures, tables
from convlstm.runtime.errors import BadInput
from convlstm.storage.forecasts import DrawnWindow
from tests.builders import quantities_of

HARMS: dict[str, Callable[[Path], object]] = {
    "no such file": Path.unlink,
    "is damaged": lambda path: path.write_bytes(b""),
    "is damaged, or": lambda path: path.write_bytes(b"\xff\xfe,\n1,2\n"),
    "is damaged, or was": lambda path: path.write_text(path.read_text().splitlines()[0] + "\n"),
    "is damaged, or was written": lambda path: path.write_text("lead,mse\n1,2\n"),
    "is damaged, or was written by": lambda path: path.write_text(
        path.read_text().replace("1", "x")
    ),
    "by another version": lambda path: path.write_text("a,b\n1,2,3\n4\n"),
}


def write_tables(folder: Path) -> None:
    for name, columns in tables.TABLES.items():
        row = {column: "model" if column == "forecaster" else 1.0 for column in sorted(columns)}
        pd.DataFrame([row]).to_csv(folder / f"{name}.csv", index=False)


def test_all_tables_are_read(tmp_path: Path) -> None:
    write_tables(tmp_path)
    found = tables.read(tmp_path)
    assert {name: set(table.columns) for name, table in found.items()} == tables.TABLES


@pytest.mark.parametrize("words", HARMS)
@pytest.mark.parametrize("name", tables.TABLES)
def test_a_table_that_is_not_as_it_was_written_is_named(
    tmp_path: Path, name: str, words: str
) -> None:
    write_tables(tmp_path)
    HARMS[words](tmp_path / f"{name}.csv")
    with pytest.raises(BadInput, match=words) as raised:
        tables.read(tmp_path)
    stage = "train" if name == "training" else "evaluate"
    assert str(raised.value).startswith(f"{tmp_path / name}.csv: ")
    assert f"`dvc repro {stage}`" in str(raised.value)


def strip(label: str) -> bytes:
    frames = np.zeros((2, 1, 8, 8), np.float32)
    unit = tuple(own._replace(unit=label) for own in quantities_of(1))
    figure = pictures.strip(DrawnWindow(label, frames, frames, frames, unit))
    file = BytesIO()
    pictures.as_written(figure)
    figure.savefig(file)
    return file.getvalue()


def test_a_name_with_a_formula_that_is_none_can_be_drawn() -> None:
    assert strip("$\\frac{$")


def test_a_name_with_a_formula_is_drawn_as_it_is() -> None:
    """Without dollars there is no formula, and with a space for each there are as few signs."""
    frames = np.zeros((2, 1, 8, 8), np.float32)
    figure = pictures.strip(DrawnWindow("a $x^2$", frames, frames, frames, quantities_of(1)))
    pictures.as_written(figure)
    (text,) = figure.texts
    assert text._preprocess_math(text.get_text()) == ("a $x^2$", False)  # type: ignore[attr-defined]
