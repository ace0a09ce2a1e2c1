"""Scores to rows of CSVs and to the summary, with intervals that tell a difference from luck."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import bootstrap

from convlstm.evaluate.scoring import Scores, SequenceSums, Setting
from convlstm.scores import spectral
from convlstm.scores.frame import COLUMNS
from convlstm.scores.totals import (
    EVENTS,
    event_scores,
    fss,
    moments_scores,
    spectral_scores,
)

PERFECT = {"mse": 0.0, "fmae": 0.0, "ssim": 1.0, "csi": 1.0}
"""The scores that have a skill: PSNR has no finite best."""

RESAMPLES = 1000
CONFIDENCE = 0.95

Row = dict[str, Any]


def by_lead(scores: Scores, asked: Setting) -> list[Row]:
    """A row a lead: the means of `metrics.COLUMNS`, then what is pooled over windows first."""
    columns: dict[str, Float[np.ndarray, " lead"]] = dict(
        zip(COLUMNS, scores.means.by_lead().T, strict=True)
    )
    geometry = asked.geometry
    if scores.totals is not None:
        columns |= moments_scores(scores.totals, asked.value_width)
        columns |= spectral_scores(scores.totals, rows=geometry.rows, cols=geometry.cols)
    return [
        {"lead": lead + 1} | {name: float(column[lead]) for name, column in columns.items()}
        for lead in range(len(columns["mse"]))
    ]


def by_threshold(results: dict[str, Scores], asked: Setting) -> Iterator[Row]:
    """A row for each forecaster, threshold and lead: the 2 x 2 table and its scores."""
    for name, scores in results.items():
        assert scores.totals is not None
        table = event_scores(scores.totals.events)
        for number, threshold in enumerate(asked.thresholds):
            for lead, events in enumerate(scores.totals.events[:, number]):
                yield (
                    {"forecaster": name, "threshold": threshold, "lead": lead + 1}
                    | dict(zip(EVENTS, events.astype(int).tolist(), strict=True))
                    | {key: float(value[lead, number]) for key, value in table.items()}
                )


def by_scale(results: dict[str, Scores], asked: Setting) -> Iterator[Row]:
    """A row for each forecaster, threshold, scale and lead: the fractions skill score."""
    for name, scores in results.items():
        assert scores.totals is not None
        table = fss(scores.totals.fractions)
        for lead, number, which in np.ndindex(table.shape):
            yield {
                "forecaster": name,
                "threshold": asked.thresholds[number],
                "scale": asked.scales[which],
                "lead": lead + 1,
                "fss": float(table[lead, number, which]),
            }


def spectrum(results: dict[str, Scores], asked: Setting) -> Iterator[Row]:
    """A row for each forecaster (and the truth), wavelength and drawn lead: mean power a frame."""
    length = spectral.wavelengths(asked.geometry.rows, asked.geometry.cols)
    for name, scores in results.items():
        assert scores.totals is not None
        power, frames = scores.totals.power, scores.means.counts[:, COLUMNS.index("mse")]
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
    """The first, the middle and the last."""
    return sorted({0, (count - 1) // 2, count - 1})


def summary(results: dict[str, Scores], asked: Setting) -> dict[str, dict[str, object]]:
    """Means over leads, the model's skill against each baseline, and how sure a difference is.

    Skill is (score - reference) / (perfect - reference): 1 is perfect, 0 is no better than the
    reference. A difference is the model's score minus the reference's, with its 95 % interval.
    """
    means = {name: _means(scores, asked) for name, scores in results.items()}
    facts: dict[str, dict[str, object]] = {name: {**mean} for name, mean in means.items()}
    for name in results:
        if name != "model":
            facts[f"skill_against_{name}"] = {
                key: (means["model"][key] - means[name][key]) / (perfect - means[name][key])
                for key, perfect in PERFECT.items()
                if means[name][key] != perfect
            }
            facts[f"difference_from_{name}"] = {**_differences(results["model"], results[name])}
    return facts


def _means(scores: Scores, asked: Setting) -> dict[str, float]:
    rows = by_lead(scores, asked)
    means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0] if key != "lead"}
    assert scores.totals is not None
    csi = event_scores(scores.totals.events)["csi"]
    return means | {"csi": _mean_of_defined(csi)}


def _differences(model: Scores, reference: Scores) -> dict[str, dict[str, float]]:
    """MSE and CSI (mean over leads and thresholds) with an interval from resampled sequences."""
    pairs = [(sums, reference.by_sequence[key]) for key, sums in model.by_sequence.items()]

    def differences(picked: Int[np.ndarray, " sequence"]) -> tuple[float, float]:
        mine, theirs = (
            _mse_and_csi([pairs[number][which] for number in picked]) for which in (0, 1)
        )
        return mine[0] - theirs[0], mine[1] - theirs[1]

    everything = np.arange(len(pairs))
    values = differences(everything)
    low = high = (float("nan"), float("nan"))
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
        for n, key in enumerate(("mse", "csi"))
    }


def _mse_and_csi(sums: list[SequenceSums]) -> tuple[float, float]:
    events = np.sum([part.events for part in sums], axis=0)
    mse = sum(part.mse for part in sums) / sum(part.frames for part in sums)
    return mse, _mean_of_defined(event_scores(events)["csi"])


def _mean_of_defined(values: Float[np.ndarray, "*cell"]) -> float:
    """NaN if none is defined; without NumPy's warning."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
