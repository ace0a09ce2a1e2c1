"""Drawn windows and forecasts of the future come back as they were written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convlstm.storage import forecasts, hdf5
from convlstm.storage.forecasts import DrawnWindow, Ensemble
from convlstm.storage.meaning import Quantity

RAIN = Quantity("rain", "dBZ", (-32.0, 64.0))


def window_of(label: str, start: float) -> DrawnWindow:
    """Return a window of 3 frames to 2 whose pixels all differ, one of them missing."""
    frames = start + np.arange(7 * 6, dtype=np.float32).reshape(7, 1, 2, 3)
    frames[0, 0, 0, 0] = np.nan
    return DrawnWindow(label, frames[:3], frames[3:5], frames[5:], (RAIN,))


def test_windows_come_back_in_their_order(tmp_path: Path) -> None:
    windows = [window_of(f"label {number} ü", 100 * number) for number in reversed(range(12))]
    members = np.arange(36, dtype=np.float32).reshape(3, 2, 1, 2, 3)
    windows[7] = replace(windows[7], ensemble=Ensemble(members, members[0] / 36, (0.1,)))
    run = {"skill": 0.5, "params": {"lr": 0.003}}
    with hdf5.create(tmp_path / "forecasts.h5") as file:
        forecasts.describe(file, (RAIN,), run)
        for window in windows:
            forecasts.append(file, window)
    with hdf5.open_complete(tmp_path / "forecasts.h5") as file:
        found, about = forecasts.read(file)
    assert about == run
    assert len(found) == 12
    for window, expected in zip(found, windows, strict=True):
        assert (window.label, window.quantities) == (expected.label, expected.quantities)
        for part in forecasts.PARTS:
            np.testing.assert_array_equal(getattr(window, part), getattr(expected, part))
    assert [number for number, window in enumerate(found) if window.ensemble] == [7]
    ensemble = found[7].ensemble
    assert ensemble is not None
    np.testing.assert_array_equal(ensemble.members, members)
    np.testing.assert_array_equal(ensemble.probability, members[0] / 36)
    assert ensemble.thresholds == (0.1,)


@pytest.mark.parametrize("times", [None, (-5, 2**60)])
def test_a_forecast_of_the_future_comes_back_with_its_times(
    tmp_path: Path, times: tuple[int, ...] | None
) -> None:
    frames = np.linspace(0, 1, 12, dtype=np.float32).reshape(2, 1, 2, 3)
    with hdf5.create(tmp_path / "forecast.h5") as file:
        forecasts.write_future(file, frames, times)
    with hdf5.open_complete(tmp_path / "forecast.h5") as file:
        np.testing.assert_array_equal(file["frames"][:], frames)
        assert file["frames"].dtype == np.float32
        assert tuple(file["times"][:]) == times if times else "times" not in file


def test_a_window_of_several_quantities_has_a_part_of_each() -> None:
    temperature = Quantity("t", "K", (200.0, 320.0), 1, 2)
    frames = np.arange(5 * 2 * 6, dtype=np.float32).reshape(5, 2, 2, 3)
    members = np.stack([frames[3:], -frames[3:]])
    ensemble = Ensemble(members, frames[3:] / 60, (25.0, 280.0))
    window = DrawnWindow("w", frames[:3], frames[3:], 2 * frames[3:], (RAIN, temperature), ensemble)
    first, second = window.parts()
    assert second.quantities == (Quantity("t", "K", (200.0, 320.0), 0, 1),)
    np.testing.assert_array_equal(second.truth, frames[3:, 1:])
    np.testing.assert_array_equal(first.forecast, 2 * frames[3:, :1])
    assert second.ensemble is not None
    np.testing.assert_array_equal(second.ensemble.members[1], -frames[3:, 1:])
    assert second.ensemble.thresholds == (280.0,)
