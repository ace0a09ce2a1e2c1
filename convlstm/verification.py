"""Sums that pool over pixels and windows, and the scores of them: first pool, then score.

A mean of ratios is decided by the windows with hardly any rain; a ratio of sums is not. Totals add
up, so a test set of any size takes constant memory, and two halves give what one pass gives.
"""

from dataclasses import astuple, dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from convlstm import spectra

MOMENTS = ("count", "forecast", "truth", "forecast^2", "truth^2", "product")
EVENTS = ("hits", "misses", "false_alarms", "correct_negatives")

Frames = Float[np.ndarray, "lead channel row col"]
Valid = Bool[np.ndarray, "lead channel row col"]


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

    def totals(self, forecast: Frames, truth: Frames, valid: Valid) -> Totals:
        """The sums of one window; what is not valid counts nowhere, and forecasts are clipped."""
        both = np.where(valid, np.stack([np.clip(forecast, 0, 1), truth]), 0)
        waves = np.stack([spectra.power(frames) for frames in both], axis=1)
        areas = _rectangles(valid)
        events, fractions = [], []
        for limit in self.thresholds:
            happens = (both >= np.float32(limit)) & valid
            sums = _rectangles(happens)
            events.append(_events(happens[0], happens[1], valid))
            fractions.append(np.stack([_fractions(sums, areas, side) for side in self.scales], 1))
        return Totals(
            _moments(both[0], both[1], valid),
            np.stack(events, axis=1),
            np.stack(fractions, axis=1),
            np.stack([spectra.radial(waves[:, which]) for which in (0, 1)], axis=1),
            np.stack([spectra.dot_grid(waves[:, which], self.patch_size) for which in (0, 1)], 1),
        )


def _moments(forecast: Frames, truth: Frames, valid: Valid) -> Float[np.ndarray, "lead moment"]:
    parts = (valid, forecast, truth, forecast**2, truth**2, forecast * truth)
    return np.stack([part.sum(axis=(1, 2, 3), dtype=np.float64) for part in parts], axis=1)


def _events(forecast: Valid, truth: Valid, valid: Valid) -> Float[np.ndarray, "lead event"]:
    """Of pixels where the event was forecast, and where it came; neither at missing pixels."""
    hits, forecasts, truths, count = (
        part.sum(axis=(1, 2, 3)) for part in (forecast & truth, forecast, truth, valid)
    )
    parts = (hits, truths - hits, forecasts - hits, count - forecasts - truths + hits)
    return np.stack(parts, axis=1).astype(np.float64)


def _fractions(
    sums: Int[np.ndarray, "2 lead channel edge_row edge_col"],
    areas: Int[np.ndarray, "lead channel edge_row edge_col"],
    side: int,
) -> Float[np.ndarray, "lead part"]:
    """Of all squares of `side` x `side` that lie inside the frame and miss no pixel."""
    if side >= min(areas.shape[-2:]):
        return np.zeros((len(areas), 3))
    whole = _in_squares(areas, side) == side**2
    forecast, truth = np.where(whole, _in_squares(sums, side), 0).astype(np.float64) / side**2
    parts = ((forecast - truth) ** 2, forecast**2, truth**2)
    return np.stack([part.sum(axis=(1, 2, 3)) for part in parts], axis=1)


def _rectangles(events: Bool[np.ndarray, "*lead row col"]) -> Int[np.ndarray, "*lead _ _"]:
    """How many events lie above and to the left of each corner between pixels."""
    edges = [(0, 0)] * (events.ndim - 2) + [(1, 0), (1, 0)]
    return np.pad(events.astype(np.int32), edges).cumsum(-2, np.int32).cumsum(-1, np.int32)


def _in_squares(sums: Int[np.ndarray, "*lead _ _"], side: int) -> Int[np.ndarray, "*lead _ _"]:
    """How many events lie in each square, from `_rectangles`."""
    rows = sums[..., side:, :] - sums[..., :-side, :]
    return np.asarray(rows[..., side:] - rows[..., :-side])


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
    for band in spectra.BANDS_PIXELS:
        forecast, truth = (
            spectra.in_band(totals.power[:, which], band, rows=rows, cols=cols) for which in (0, 1)
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
