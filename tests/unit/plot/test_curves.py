"""Curves have a column for each forecaster, with the numbers of the tables."""

import numpy as np
import pandas as pd
import pytest

from convlstm.plot import curves


def table(forecasters: list[str], **columns: list[float]) -> pd.DataFrame:
    """Return the same rows for each forecaster, whose scores grow by 100 from one to the next."""
    parts = []
    for number, name in enumerate(forecasters):
        own = pd.DataFrame(columns).assign(forecaster=name)
        own["score"] += 100 * number
        parts.append(own)
    return pd.concat(parts)


def tables() -> dict[str, pd.DataFrame]:
    """Two lead times, three thresholds, two scales, two wavelengths, an ensemble of two."""
    both, leads = ["model", "zeros"], [1.0, 2.0]
    by_lead = table(["model", "zeros"], lead=leads, score=[5.0, 7.0])
    by_lead["mse"], by_lead["crps"] = by_lead["score"], -by_lead["score"]
    thresholds = {"threshold": [3.0, 3.0, 9.0, 9.0, 6.0, 6.0], "lead": leads * 3}
    events = table(both, **thresholds, score=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    scales = {"threshold": [6.0] * 4, "scale": [1.0, 1.0, 8.0, 8.0], "lead": leads * 2}
    spectrum = {"lead": [1.0, 1.0, 2.0, 2.0], "wavelength_pixels": [8.0, 4.0] * 2}
    chances = {"threshold": [6.0] * 4, "lead": [1.0, 1.0, 2.0, 2.0], "probability": [0.0, 1.0] * 2}
    reliability = table(both, **chances, score=[0.0] * 4)
    reliability["forecasts"] = [10, 4, 30, 4] * 2
    reliability["events"] = [1, 3, 3, 4] * 2
    ranks = table(both, lead=[1.0] * 3, rank=[0.0, 1.0, 2.0], score=[2.0, 1.0, 1.0])
    return {
        "by_lead": by_lead[by_lead["forecaster"] == "model"].drop(columns="forecaster"),
        "baselines": by_lead[by_lead["forecaster"] == "zeros"],
        "by_threshold": events.rename(columns={"score": "csi"}),
        "by_scale": table(both, **scales, score=[1.0, 3.0, 5.0, 9.0]).rename(
            columns={"score": "fss"}
        ),
        "spectrum": table(both, **spectrum, score=[1.0, 2.0, 3.0, 4.0]).rename(
            columns={"score": "power"}
        ),
        "reliability": reliability,
        "ranks": ranks.rename(columns={"score": "pixels"}),
    }


EXPECTED: dict[str, dict[str, list[float]]] = {
    "mse_by_lead": {"lead": [1, 2], "model": [5, 7], "zeros": [105, 107]},
    "crps_by_lead": {"lead": [1, 2], "model": [-5, -7], "zeros": [-105, -107]},
    "csi_by_lead": {"lead": [1, 2], "model": [5, 6], "zeros": [105, 106]},  # of at least 6
    "fss_by_scale": {"scale": [1, 8], "model": [2, 7], "zeros": [102, 107]},
    "power_by_wavelength": {"wavelength_pixels": [4, 8], "model": [4, 3], "zeros": [104, 103]},
    "reliability": {"probability": [0, 1], "model": [4 / 40, 7 / 8], "perfect": [0, 1]},
    "ranks": {"rank": [0, 1, 2], "model": [0.5, 0.25, 0.25], "flat": [1 / 3] * 3},
}


@pytest.mark.parametrize("name", curves.NAMES)
def test_a_curve_has_a_column_for_each_forecaster(name: str) -> None:
    found = curves.all_of(tables())[name]
    assert list(found) == list(EXPECTED[name])
    np.testing.assert_allclose(found, np.transpose(list(EXPECTED[name].values())))


def test_of_several_channels_the_first_one_is_drawn() -> None:
    both = {
        name: pd.concat([own.assign(channel="rain"), (own * 2).assign(channel="t")])
        for name, own in tables().items()
    }
    for name, found in curves.all_of(both).items():
        np.testing.assert_allclose(found, np.transpose(list(EXPECTED[name].values())))
