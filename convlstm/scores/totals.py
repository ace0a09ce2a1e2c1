"""Sums that pool over pixels and windows, and the scores of them: first pool, then score.

A mean of ratios is decided by the windows with hardly any rain; a ratio of sums is not. Totals add
up, so a test set of any size takes constant memory, and two halves give what one pass gives.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from jaxtyping import Bool, Float

from convlstm.scores import spatial, spectral

MOMENTS = ("count", "forecast", "truth", "forecast^2", "truth^2", "product")
EVENTS = ("hits", "misses", "false_alarms", "correct_negatives")

Frames = Float[np.ndarray, "lead channel row col"]
Valid = Bool[np.ndarray, "lead channel row col"]
Every = Float[np.ndarray, "which channel row col"]
"""All forecasts of a lead and, last, its truth."""
Tables = tuple[
    Float[np.ndarray, "forecast threshold event"],
    Float[np.ndarray, "forecast threshold scale part"],
]


@dataclass(frozen=True)
class Totals:
    """Sums over any number of windows; axis 0 is the lead.

    `power` and `dots` hold the forecast's at index 0 of axis 1, the truth's at index 1; `fractions`
    the three sums of the FSS: (forecast - truth)^2, forecast^2 and truth^2.
    """

    moments: Float[np.ndarray, "lead moment"]
    events: Float[np.ndarray, "lead threshold event"]
    fractions: Float[np.ndarray, "lead threshold scale part"]
    power: Float[np.ndarray, "lead which wavenumber"]
    dots: Float[np.ndarray, "lead which"]

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            *(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True))
        )


@dataclass(frozen=True)
class Verifier:
    """What is asked of every window. Values are in [0, 1]; `thresholds` too.

    An event is a value of at least the threshold. `scales` are sides of squares in pixels.
    """

    thresholds: tuple[float, ...]
    scales: tuple[int, ...]
    patch_size: int

    def totals(self, forecasts: Sequence[Frames], truth: Frames, valid: Valid) -> list[Totals]:
        """The sums of one window for each of its forecasts, which are clipped.

        What is not valid counts nowhere. The forecasts come together because the truth's share of
        the work is then done once.
        """
        clipped = [np.clip(frames, 0, 1) for frames in forecasts]
        every = np.where(valid, np.stack([*clipped, truth]), 0)
        # lead by lead, for what a lead needs stays in the processor's cache
        by_lead = [self._tables(every[:, lead], valid[lead]) for lead in range(len(truth))]
        events, fractions = (np.stack(parts, axis=1) for parts in zip(*by_lead, strict=True))
        *waves, its_waves = (self._waves(frames) for frames in every)
        return [
            Totals(
                _moments(frames, every[-1], valid),
                events[number],
                fractions[number],
                *(np.stack(pair, axis=1) for pair in zip(waves[number], its_waves, strict=True)),
            )
            for number, frames in enumerate(every[:-1])
        ]

    def _tables(self, every: Every, valid: Bool[np.ndarray, "channel row col"]) -> Tables:
        """Events and fractions of one lead, of which `every` holds all forecasts and the truth."""
        squares = [spatial.squares(valid, side) for side in self.scales]
        events, fractions = [], []
        for limit in self.thresholds:
            happens = (every >= np.float32(limit)) & valid
            events.append(_events(happens, valid))
            fractions.append(spatial.fractions(happens, squares))
        return np.stack(events, axis=1), np.stack(fractions, axis=1)

    def _waves(self, frames: Frames) -> tuple[spectral.Power, Float[np.ndarray, " lead"]]:
        """Power by wavenumber, and of the dot grid."""
        waves = spectral.power(frames)
        return spectral.radial(waves), spectral.dot_grid(waves, self.patch_size)


def _moments(forecast: Frames, truth: Frames, valid: Valid) -> Float[np.ndarray, "lead moment"]:
    parts = (valid, forecast, truth, forecast**2, truth**2, forecast * truth)
    return np.stack([part.sum(axis=(1, 2, 3), dtype=np.float64) for part in parts], axis=1)


def _events(
    happens: Bool[np.ndarray, "which channel row col"], valid: Bool[np.ndarray, "channel row col"]
) -> Float[np.ndarray, "forecast event"]:
    """Of pixels where the event was forecast, and where it came; neither at missing pixels."""
    *forecasts, truths = happens.sum(axis=(1, 2, 3))
    *hits, _ = (happens & happens[-1]).sum(axis=(1, 2, 3))
    count = valid.sum()
    parts = [
        (hit, truths - hit, forecast - hit, count - forecast - truths + hit)
        for hit, forecast in zip(hits, forecasts, strict=True)
    ]
    return np.array(parts, np.float64)


def moments_scores(totals: Totals, value_width: float) -> dict[str, Float[np.ndarray, " lead"]]:
    """RMSE, bias (mean of forecast - truth), both in data units, and Pearson correlation.

    Args:
        totals: of the windows.
        value_width: data units from 0 to 1.
    """
    count, f, t, ff, tt, ft = totals.moments.T
    covariance, variances = _ratio(ft, count) - _ratio(f, count) * _ratio(t, count), []
    for square, plain in ((ff, f), (tt, t)):
        variances.append(np.maximum(_ratio(square, count) - _ratio(plain, count) ** 2, 0))
    return {
        "rmse": np.sqrt(np.maximum(_ratio(ff - 2 * ft + tt, count), 0)) * value_width,
        "bias": _ratio(f - t, count) * value_width,
        "correlation": _ratio(covariance, np.sqrt(variances[0] * variances[1])),
    }


def spectral_scores(
    totals: Totals, *, rows: int, cols: int
) -> dict[str, Float[np.ndarray, " lead"]]:
    """Forecast's power over truth's: in each band, and of what repeats with every patch."""
    scores = {}
    for band in spectral.BANDS_PIXELS:
        forecast, truth = (
            spectral.in_band(totals.power[:, which], band, rows=rows, cols=cols) for which in (0, 1)
        )
        scores[f"spectral_ratio_{band}"] = _ratio(forecast, truth)
    scores["dot_grid"] = _ratio(*totals.dots.T)
    return scores


def event_scores(
    events: Float[np.ndarray, "*cell event"],
) -> dict[str, Float[np.ndarray, "*cell"]]:
    """Scores of 2 x 2 tables (Jolliffe and Stephenson 2012, chapter 3); NaN where undefined.

    csi, pod and hss are best at 1, far at 0, frequency_bias at 1.
    """
    hits, misses, alarms, negatives = np.moveaxis(events, -1, 0)
    total = hits + misses + alarms + negatives
    chance = _ratio((hits + misses) * (hits + alarms), total) + _ratio(
        (negatives + misses) * (negatives + alarms), total
    )
    return {
        "csi": _ratio(hits, hits + misses + alarms),
        "pod": _ratio(hits, hits + misses),
        "far": _ratio(alarms, hits + alarms),
        "hss": _ratio(hits + negatives - chance, total - chance),
        "frequency_bias": _ratio(hits + alarms, hits + misses),
    }


def fss(fractions: Float[np.ndarray, "*cell part"]) -> Float[np.ndarray, "*cell"]:
    """Fractions skill score (Roberts and Lean 2008, doi:10.1175/2007MWR2123.1); best at 1."""
    difference, forecast, truth = np.moveaxis(fractions, -1, 0)
    return 1 - _ratio(difference, forecast + truth)


def _ratio(
    above: Float[np.ndarray, "*cell"], below: Float[np.ndarray, "*cell"]
) -> Float[np.ndarray, "*cell"]:
    """NaN where nothing stands below the line: undefined is not 0."""
    undefined = np.full(np.shape(above), np.nan)
    return np.asarray(np.divide(above, below, out=undefined, where=below != 0))
