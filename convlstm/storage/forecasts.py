"""The layouts of forecasts.h5, which evaluate writes and plot reads, and of forecast.h5.

forecasts.h5    windows/000000 ...   context, truth, forecast: (time, channel, row, col), physical
                                     values, NaN where missing; attribute `label`. Of an ensemble
                                     the forecast is its mean, and there are members: (member, lead,
                                     channel, row, col), the first ones, and probability: (lead,
                                     channel, row, col) of a value of at least its `thresholds`, one
                                     for each quantity
forecast.h5     frames, times        a forecast of the future: (lead, channel, row, col), physical
                                     values, and microseconds since 1970 if they are known

The description of forecasts.h5 holds `quantities`, and what the page says of the run.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from convlstm.storage import hdf5
from convlstm.storage.meaning import Quantity

PARTS = ("context", "truth", "forecast")


@dataclass(frozen=True)
class Ensemble:
    """The first members of a forecast, and the share of all that are at least a threshold.

    There is a threshold for each quantity.
    """

    members: Float[np.ndarray, "member lead channel row col"]
    probability: Float[np.ndarray, "lead channel row col"]
    thresholds: tuple[float, ...]


@dataclass(frozen=True)
class DrawnWindow:
    """A test window to be drawn, in physical values; missing pixels are NaN.

    If it was forecast by an ensemble, `forecast` is the mean of all members.
    """

    label: str
    context: Float[np.ndarray, "known channel row col"]
    truth: Float[np.ndarray, "lead channel row col"]
    forecast: Float[np.ndarray, "lead channel row col"]
    quantities: tuple[Quantity, ...]
    ensemble: Ensemble | None = None

    def parts(self) -> list["DrawnWindow"]:
        """Return a window of each quantity, which has no other channels."""
        return [self._part(number, own) for number, own in enumerate(self.quantities)]

    def _part(self, number: int, own: Quantity) -> "DrawnWindow":
        ensemble = self.ensemble
        if ensemble is not None:
            ensemble = Ensemble(
                ensemble.members[:, :, own.channels],
                ensemble.probability[:, own.channels],
                ensemble.thresholds[number : number + 1],
            )
        frames = {part: getattr(self, part)[:, own.channels] for part in PARTS}
        alone = own._replace(first=0, stop=own.stop - own.first)
        return DrawnWindow(self.label, **frames, quantities=(alone,), ensemble=ensemble)


def describe(file: hdf5.New, quantities: tuple[Quantity, ...], run: dict[str, Any]) -> None:
    """Store the quantities of all windows, and what the page says of the run."""
    hdf5.describe(file, quantities=quantities, **run)


def append(file: hdf5.New, window: DrawnWindow) -> None:
    """Write one window of forecasts.h5."""
    group = file.require_group("windows")
    own = group.create_group(f"{len(group):06d}")
    hdf5.set_text(own, "label", window.label)
    for part in PARTS:
        frames = getattr(window, part)
        hdf5.write_array(own, part, frames, chunks=(1, *frames.shape[1:]))
    if window.ensemble is not None:
        _write_ensemble(file, own.name, window.ensemble)
    file.check()


def _write_ensemble(file: hdf5.New, place: str, ensemble: Ensemble) -> None:
    members, probability = ensemble.members, ensemble.probability
    hdf5.write_array(file, f"{place}/members", members, chunks=(1, 1, *members.shape[2:]))
    hdf5.write_array(file, f"{place}/probability", probability, chunks=(1, *probability.shape[1:]))
    file[f"{place}/probability"].attrs["thresholds"] = ensemble.thresholds


def _read_ensemble(file: hdf5.File, place: str) -> Ensemble | None:
    own = hdf5.arrays(file[place])
    if "members" not in own:
        return None
    members, probability = own["members"], own["probability"]
    thresholds = tuple(probability.attrs["thresholds"].tolist())
    return Ensemble(members[:], probability[:], thresholds)


def read(file: hdf5.File) -> tuple[list[DrawnWindow], dict[str, Any]]:
    """Return the windows in the order in which they were written, and what `describe` stored."""
    run = hdf5.description(file)
    quantities = tuple(Quantity(*own) for own in run.pop("quantities"))
    windows = [
        DrawnWindow(
            hdf5.text(window, "label"),
            **{part: hdf5.Array(window[part])[:] for part in PARTS},
            quantities=quantities,
            ensemble=_read_ensemble(file, window.name),
        )
        for window in file["windows"].values()
    ]
    return windows, run


def write_future(
    file: hdf5.New, frames: Num[np.ndarray, "lead channel row col"], times: tuple[int, ...] | None
) -> None:
    """Write forecast.h5: `frames` of physical values, `times` in microseconds since 1970.

    They are not compressed, because any program must be able to read them.
    """
    hdf5.write_array(file, "frames", frames, (1, *frames.shape[1:]), compressed=False)
    if times is not None:
        hdf5.write_array(file, "times", np.array(times, np.int64), compressed=False)
