"""Curves of all forecasters side by side, a CSV each, for `dvc plots` and whoever draws tables.

A table of metrics has a row for each forecaster, threshold and lead time; here these are columns.
Of several channels the first one is drawn, of several thresholds the middle one.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

NAMES = (
    *("mse_by_lead", "crps_by_lead", "csi_by_lead", "fss_by_scale"),
    *("power_by_wavelength", "reliability", "ranks"),
)
"""The CSVs that `all_of` gives."""


def all_of(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the curves by name; the first column of each is its horizontal axis.

    Args:
        tables: of the metrics, by name.
    """
    own = {name: _first_channel(table) for name, table in tables.items()}
    by_lead = pd.concat([own["by_lead"].assign(forecaster="model"), own["baselines"]])
    thresholds = own["by_threshold"]["threshold"].unique()
    events = {"threshold": sorted(thresholds)[len(thresholds) // 2]}
    last = {"lead": own["spectrum"]["lead"].max()}
    return {
        "mse_by_lead": _wide(by_lead, "lead", "mse"),
        "crps_by_lead": _wide(by_lead, "lead", "crps"),
        "csi_by_lead": _wide(_where(own["by_threshold"], events), "lead", "csi"),
        "fss_by_scale": _wide(_where(own["by_scale"], events), "scale", "fss"),
        "power_by_wavelength": _wide(_where(own["spectrum"], last), "wavelength_pixels", "power"),
        "reliability": _reliability(_where(own["reliability"], events)),
        "ranks": _ranks(own["ranks"]),
    }


def _first_channel(table: pd.DataFrame) -> pd.DataFrame:
    return _where(table, {"channel": table["channel"].iloc[0]}) if "channel" in table else table


def _where(table: pd.DataFrame, values: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows that have these values."""
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def _wide(table: pd.DataFrame, index: str, score: str) -> pd.DataFrame:
    """Return a column for each forecaster, the mean of the rows of each index."""
    names = table["forecaster"].unique()
    means = table.pivot_table(index=index, columns="forecaster", values=score, dropna=False)
    return means[names].reset_index().rename_axis(columns=None)


def _reliability(table: pd.DataFrame) -> pd.DataFrame:
    """Return the share of events at each probability of the model, over all lead times."""
    sums = _where(table, {"forecaster": "model"}).groupby("probability")[["forecasts", "events"]]
    found = sums.sum().reset_index()
    found["model"] = found["events"] / found["forecasts"]
    found["perfect"] = found["probability"]
    return found[["probability", "model", "perfect"]]


def _ranks(table: pd.DataFrame) -> pd.DataFrame:
    """Return the share of each rank of the truth among the members, over all lead times."""
    pixels = _where(table, {"forecaster": "model"}).groupby("rank")["pixels"].sum()
    found = pixels.div(pixels.sum()).rename("model").reset_index()
    found["flat"] = 1 / len(found)
    return found
