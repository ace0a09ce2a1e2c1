"""The score of change in time: whether a forecast moves on as the truth does, or freezes.

A forecast that keeps its last frame, as a network does that is unsure of the motion, scores well
for an hour of light rain. A score of this family computes an array by lead time from `Changes`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from convlstm.scores.score import Score, ratio

Frames = Float[np.ndarray, "lead channel row col"]
ByLead = Float[np.ndarray, " lead"]


class Changes(NamedTuple):
    """Sums by lead time of |difference from the frame before|, at pixels measured in both."""

    forecast: ByLead
    truth: ByLead


def changes(
    forecast: Frames,
    truth: Frames,
    mask: Bool[np.ndarray, "lead channel row col"],
    last: Float[np.ndarray, "channel row col"] | None = None,
) -> Float[np.ndarray, "lead which"]:
    """Return the `Changes` of one window as columns; frames hold 0 where the mask is False.

    Args:
        forecast: the forecast frames.
        truth: the true frames.
        mask: of measured pixels.
        last: the frame before the first one, NaN where nothing was measured; without it the first
            lead time has no change.
    """
    before = np.full_like(truth[0], np.nan) if last is None else last
    measured = mask & np.concatenate([~np.isnan(before)[None], mask[:-1]])
    steps = (np.diff(frames, axis=0, prepend=before[None]) for frames in (forecast, truth))
    sums = [np.where(measured, np.abs(step), 0).sum((1, 2, 3), np.float64) for step in steps]
    return np.stack(sums, axis=1)


def temporal_change(c: Changes) -> ByLead:
    """Return the forecast's change over the truth's."""
    return ratio(c.forecast, c.truth)


SCORES = (
    Score(
        "temporal_change",
        "change in time",
        "over the truth's",
        "near 1",
        "mean |difference of successive frames|, over the truth's; below 1 the forecast freezes, "
        "above it flickers",
        "this project",
        temporal_change,
    ),
)


def scores(sums: Float[np.ndarray, "lead which"]) -> dict[str, ByLead]:
    """Return each of `SCORES` by lead time, of `changes` that were added up over windows."""
    c = Changes(*sums.T)
    return {score.key: score.compute(c) for score in SCORES}
