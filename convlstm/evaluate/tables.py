"""Scores to rows of CSVs and to the summary, with intervals that tell a difference from luck."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import bootstrap

from convlstm.evaluate.matching import PICTURES
from convlstm.evaluate.scoring import ScoreConfig, Scores, SequenceSums
from convlstm.evaluate.totals import Totals
from convlstm.scores import (
    categorical,
    continuous,
    ensemble,
    families,
    frame,
    probability,
    ranks,
    spatial,
    spectral,
    temporal,
    variogram,
)
from convlstm.scores.categorical import Counts
from convlstm.scores.probability import Frequencies
from convlstm.scores.spectral import Spectra

RESAMPLES = 1000
CONFIDENCE = 0.95
DIGITS = 4  # of the headline
RESAMPLED = ("mse", "csi", "crps")
"""Scores whose differences from a reference get an interval."""

Row = dict[str, Any]


def of_quantities(
    results: Sequence[dict[str, Scores]], configs: Sequence[ScoreConfig]
) -> dict[str, list[Row]]:
    """Return the rows of each table, of several quantities with a column that names the channel."""
    found: dict[str, list[Row]] = {}
    for own, config in zip(results, configs, strict=True):
        label = {"channel": config.quantity.name} if len(configs) > 1 else {}
        for name, rows in all_of(own, config).items():
            found.setdefault(name, []).extend({**label, **row} for row in rows)
    return found


def summaries(
    results: Sequence[dict[str, Scores]], configs: Sequence[ScoreConfig]
) -> dict[str, Any]:
    """Return the summary, of several quantities one for each by the name of its channel."""
    found = [summary(own, config) for own, config in zip(results, configs, strict=True)]
    if len(found) == 1:
        return found[0]
    return {config.quantity.name: own for config, own in zip(configs, found, strict=True)}


def all_of(results: dict[str, Scores], config: ScoreConfig) -> dict[str, list[Row]]:
    """Return the rows of each table by its name.

    Args:
        results: the scores of each forecaster, the model first.
        config: how they were scored.
    """
    rows = {name: by_lead(scores, config) for name, scores in results.items()}
    return {
        "by_lead": rows.pop("model"),
        "baselines": [{"forecaster": name, **row} for name, table in rows.items() for row in table],
        "by_threshold": list(by_threshold(results, config)),
        "by_scale": list(by_scale(results, config)),
        "reliability": list(reliability(results, config)),
        "ranks": list(rank_counts(results)),
        "spectrum": list(spectrum(results, config)),
    }


def by_lead(scores: Scores, config: ScoreConfig) -> list[Row]:
    """Return a row per lead time: the frame scores, then what is pooled over windows first."""
    totals, columns = _totals(scores), frame.scores(scores.means.by_lead())
    columns |= continuous.scores(totals.moments, config.value_width)
    columns |= ensemble.scores(totals.ensemble, config.value_width)
    columns |= ranks.scores(totals.ranks)
    columns |= variogram.scores(totals.variogram, config.value_width)
    columns |= temporal.scores(totals.temporal)
    columns |= spectral.scores(Spectra(totals.power, totals.lattice, _wavelengths(config)))
    return [
        {"lead": lead + 1} | {name: float(column[lead]) for name, column in columns.items()}
        for lead in range(len(columns["mse"]))
    ]


def by_threshold(results: dict[str, Scores], config: ScoreConfig) -> Iterator[Row]:
    """Yield a row per forecaster, threshold and lead time: the 2 x 2 table and its scores.

    `events` are the pixels with a true event, on which the scores rest.
    """
    for name, scores in results.items():
        counts = Counts(*np.moveaxis(_totals(scores).events, -1, 0))
        table = _of_events(_totals(scores))
        for number, lead in np.ndindex(counts.hits.T.shape):
            yield {
                "forecaster": name,
                "threshold": config.thresholds[number],
                "lead": lead + 1,
                "events": int(counts.events[lead, number]),
                **{key: int(count[lead, number]) for key, count in counts._asdict().items()},
                **{key: float(value[lead, number]) for key, value in table.items()},
            }


def by_scale(results: dict[str, Scores], config: ScoreConfig) -> Iterator[Row]:
    """Yield a row per forecaster, threshold, scale and lead time: the scores of squares."""
    for name, scores in results.items():
        table = spatial.scores(_totals(scores).fractions)
        events = Counts(*np.moveaxis(_totals(scores).events, -1, 0)).events
        for lead, number, scale in np.ndindex(table["fss"].shape):
            yield {
                "forecaster": name,
                "threshold": config.thresholds[number],
                "scale": config.scales[scale],
                "lead": lead + 1,
                "events": int(events[lead, number]),
                **{key: float(values[lead, number, scale]) for key, values in table.items()},
            }


def reliability(results: dict[str, Scores], config: ScoreConfig) -> Iterator[Row]:
    """Yield a row per forecaster, threshold, lead time and probability that it can forecast.

    The row holds how many pixels had this forecast, and how many of them the event.
    """
    for name, scores in results.items():
        tables = Frequencies(*np.moveaxis(_totals(scores).probability, 2, 0))
        for lead, number, share in np.ndindex(tables.events.shape):
            yield {
                "forecaster": name,
                "threshold": config.thresholds[number],
                "lead": lead + 1,
                "probability": float(tables.probabilities[share]),
                "forecasts": int(tables.forecasts[lead, number, share]),
                "events": int(tables.events[lead, number, share]),
            }


def rank_counts(results: dict[str, Scores]) -> Iterator[Row]:
    """Yield a row per forecaster, lead time and rank: the number of pixels whose truth has it.

    One forecast has two ranks, below and above it.
    """
    for name, scores in results.items():
        counts = _totals(scores).ranks
        for lead, rank in np.ndindex(counts.shape):
            yield {
                "forecaster": name,
                "lead": lead + 1,
                "rank": rank,
                "pixels": float(counts[lead, rank]),
            }


def spectrum(results: dict[str, Scores], config: ScoreConfig) -> Iterator[Row]:
    """Yield a row per forecaster, drawn lead time and wavelength: the mean power of a frame.

    The truth stands among the forecasters.
    """
    length = _wavelengths(config)
    for name, scores in results.items():
        power = _totals(scores).power
        frames = frame.Values(*scores.means.counts.T).mse
        curves = {"truth": power[:, 1]} if name == "model" else {}
        for label, curve in {**curves, name: power[:, 0]}.items():
            for lead in _drawn_leads(len(power)):
                for number in range(1, len(length)):
                    mean = curve[lead, number] / max(1.0, frames[lead])
                    yield {
                        "forecaster": label,
                        "lead": lead + 1,
                        "wavelength_pixels": float(length[number]),
                        "power": float(mean),
                    }


def _drawn_leads(count: int) -> list[int]:
    """Return the first, the middle and the last lead time."""
    return sorted({0, (count - 1) // 2, count - 1})


def _of_events(totals: Totals) -> dict[str, Float[np.ndarray, "lead threshold"]]:
    """Return the scores of events by key, of yes and no and of probabilities."""
    return categorical.scores(totals.events) | probability.scores(totals.probability)


def _totals(scores: Scores) -> Totals:
    assert scores.totals is not None  # data/patches has at least one test window
    return scores.totals


def _wavelengths(config: ScoreConfig) -> Float[np.ndarray, " wavenumber"]:
    return spectral.wavelengths(config.geometry.rows, config.geometry.cols)


def summary(results: dict[str, Scores], config: ScoreConfig) -> dict[str, dict[str, object]]:
    """Return means over lead times, the model's skill against each baseline, and its certainty.

    The single pictures of an ensemble are no baselines; `events` are summed over lead times and
    thresholds.

    Skill is (score - reference) / (perfect - reference): 1 is perfect, 0 is no better than the
    reference. A difference is the model's score minus the reference's, with its 95 % interval.
    """
    perfect = {score.key: score.perfect for score in families.ALL if score.perfect is not None}
    means = {name: _means(scores, config) for name, scores in results.items()}
    content: dict[str, dict[str, object]] = {name: {**mean} for name, mean in means.items()}
    for name in results:
        if name not in ("model", *PICTURES):
            content[f"skill_against_{name}"] = {
                key: (means["model"][key] - means[name][key]) / (best - means[name][key])
                for key, best in perfect.items()
                if means[name][key] != best
            }
            pair = results["model"], results[name]
            content[f"difference_from_{name}"] = {**_differences(*pair, config)}
    return content


def headline(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the few numbers of a summary by which experiments are compared, as DVC's metrics.

    Their names are short, so that `dvc exp show` has them beside a changed param in 100 columns.
    They are rounded to `DIGITS`, since further ones are luck; what is not defined is left out.
    """
    if "model" not in content:  # a summary for each of several channels
        return {channel: headline(own) for channel, own in content.items()}
    model = content["model"]
    skills = (content[f"skill_against_{name}"] for name in ("advection", "persistence"))
    values = (
        *(model[key] for key in ("mse", "crps", "csi", "spread_skill")),
        *(skill.get("mse", float("nan")) for skill in skills),
    )
    numbers = zip(families.HEADLINE, values, strict=True)
    return {key: float(f"{value:.{DIGITS}g}") for key, value in numbers if isfinite(value)}


def in_words(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each channel of a summary: the main scores beside the baselines'."""
    if "model" not in content:
        for channel, own in content.items():
            yield from (f"{channel}: {line}" for line in in_words(own))
        return
    baselines = ("advection", "persistence")
    yield "; ".join(
        f"{key.upper()} {content['model'][key]:.4g} ("
        + ", ".join(f"{name} {content[name][key]:.4g}" for name in baselines)
        + ")"
        for key in RESAMPLED
    )


def _means(scores: Scores, config: ScoreConfig) -> dict[str, float]:
    rows = by_lead(scores, config)
    means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0] if key != "lead"}
    totals = _totals(scores)
    pooled = _of_events(totals) | spatial.scores(totals.fractions)
    events = Counts(*np.moveaxis(totals.events, -1, 0)).events
    return (
        means
        | {"events": int(events.sum())}
        | {
            score.key: _mean_of_defined(pooled[score.key])
            for score in (*families.BY_THRESHOLD, *families.BY_SCALE)
            if score.perfect is not None
        }
    )


def _differences(
    model: Scores, reference: Scores, config: ScoreConfig
) -> dict[str, dict[str, float]]:
    """Return differences of `RESAMPLED`, with intervals from resampled test sequences."""
    pairs = [(sums, reference.by_sequence[key]) for key, sums in model.by_sequence.items()]

    def differences(picked: Int[np.ndarray, " sequence"]) -> tuple[float, ...]:
        mine, theirs = (
            _resampled([pairs[number][which] for number in picked], config) for which in (0, 1)
        )
        return tuple(np.subtract(mine, theirs).tolist())

    everything = np.arange(len(pairs))
    values = differences(everything)
    low = high = tuple(float("nan") for _ in RESAMPLED)
    if len(pairs) > 1:
        interval = bootstrap(
            (everything,),
            differences,
            vectorized=False,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        low, high = interval.low, interval.high
    return {
        key: {"value": float(values[n]), "low": float(low[n]), "high": float(high[n])}
        for n, key in enumerate(RESAMPLED)
    }


def _resampled(sums: list[SequenceSums], config: ScoreConfig) -> tuple[float, ...]:
    """Return the `RESAMPLED` scores; CSI is the mean over lead times and thresholds."""
    frames = sum(part.frames for part in sums)
    mse = sum(part.mse for part in sums) / frames if frames else float("nan")
    events = np.sum([part.events for part in sums], axis=0)
    members = ensemble.Sums(*np.sum([part.ensemble for part in sums], axis=0).T)
    crps = float(ensemble.crps(members, config.value_width).mean())
    return mse, _mean_of_defined(categorical.scores(events)["csi"]), crps


def _mean_of_defined(values: Float[np.ndarray, "*cell"]) -> float:
    """Return the mean without NaNs; NaN, without NumPy's warning, if all are."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
