"""The tables of train and evaluate, read whole or refused."""

from pathlib import Path

import pandas as pd

from convlstm.plot import figures
from convlstm.runtime.errors import BadInput
from convlstm.scores import categorical, families

TABLES = {
    "training": {"epoch", "lr", "sampling_probability", "train_loss"}
    | {f"valid_{key}" for key in figures.VALIDATION_CURVES.values()},
    "by_lead": {"lead", *(score.key for score in families.BY_LEAD)},
    "baselines": {"forecaster", "lead", *(score.key for score in families.BY_LEAD)},
    "by_threshold": {"forecaster", "threshold", "lead", "events", *categorical.COUNTS}
    | {score.key for score in families.BY_THRESHOLD},
    "by_scale": {"forecaster", "threshold", "scale", "lead", "events", "fss"},
    "spectrum": {"forecaster", "lead", "wavelength_pixels", "power"},
    "reliability": {"forecaster", "threshold", "probability", "lead", "forecasts", "events"},
    "ranks": {"forecaster", "lead", "rank", "pixels"},
}
"""The tables and their columns; those of several channels have a column `channel` too."""
TEXT_COLUMNS = {"forecaster", "channel"}


def read(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the tables that train and evaluate have written, by name.

    Raises:
        BadInput: one is not there, is damaged, or has other columns or no row.
    """
    return {name: _read(folder / f"{name}.csv", TABLES[name]) for name in TABLES}


def _read(path: Path, columns: set[str]) -> pd.DataFrame:
    stage = "train" if path.stem == "training" else "evaluate"
    try:
        table = pd.read_csv(path, encoding="utf-8")
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; run `dvc repro {stage}`, which writes it") from None
    except ValueError:  # also those of pandas: no column, rows of other lengths, no UTF-8
        table = pd.DataFrame()
    numbers = table.drop(columns=[*TEXT_COLUMNS], errors="ignore").select_dtypes("number")
    texts = [name for name in table.columns if name in TEXT_COLUMNS]
    known = set(table.get("forecaster", ())) <= set(figures.STYLES)
    if not len(table) or not known or not columns <= {*numbers.columns, *texts}:
        raise BadInput(
            f"{path}: is damaged, or was written by another version; remove it and run "
            f"`dvc repro {stage}`"
        )
    return table
