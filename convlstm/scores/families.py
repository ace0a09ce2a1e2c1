"""The families of scores together, in the order of the tables' columns."""

from collections.abc import Mapping
from typing import Any

from convlstm.scores import (
    categorical,
    continuous,
    ensemble,
    frame,
    probability,
    ranks,
    spatial,
    spectral,
    temporal,
    variogram,
)
from convlstm.scores.score import Better, Score

BY_LEAD: tuple[Score, ...] = (
    *frame.SCORES,
    *continuous.SCORES,
    *ensemble.SCORES,
    *ranks.SCORES,
    *variogram.SCORES,
    *temporal.SCORES,
    *spectral.SCORES,
)
BY_THRESHOLD: tuple[Score, ...] = (*categorical.SCORES, *probability.SCORES)
BY_SCALE: tuple[Score, ...] = spatial.SCORES
ALL: tuple[Score, ...] = (*BY_LEAD, *BY_THRESHOLD, *BY_SCALE)
HEADLINE: Mapping[str, Better] = {
    "mse": "low",
    "crps": "low",
    "csi": "high",
    "spread": "near 1",
    "vs_adv": "high",
    "vs_pers": "high",
}
"""The numbers by which experiments are compared, DVC's metrics, and what is better of each.

`spread` is the spread over the skill; the last two are the skill of the MSE against baselines.
"""


def flat(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headline by key; the scores of several channels have keys as "rain.mse"."""
    found: dict[str, Any] = {}
    for key, own in scores.items():
        inner = flat(own) if isinstance(own, dict) else None
        found |= {key: own} if inner is None else {f"{key}.{name}": inner[name] for name in inner}
    return found
