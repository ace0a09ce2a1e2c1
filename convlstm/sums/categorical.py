"""Counts of events in 2 x 2 tables."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from convlstm.scores.categorical import COUNTS
from convlstm.sums.columns import columns


def counts(
    events: Bool[Tensor, "which *lead channel row col"], mask: Bool[Tensor, "*lead channel row col"]
) -> Float[Tensor, "forecast *lead count"]:
    """Return the `Counts` of each forecast as columns.

    Args:
        events: where the event is, in each forecast and, last, in the truth; False outside the
            mask.
        mask: the measured pixels; others are left out.
    """
    hits, forecast = _pixels(events[:-1] & events[-1]), _pixels(events[:-1])
    truth, total = _pixels(events[-1]), _pixels(mask)
    return columns(
        COUNTS,
        hits=hits,
        misses=truth - hits,
        false_alarms=forecast - hits,
        correct_negatives=total - forecast - truth + hits,
    )


def _pixels(chosen: Bool[Tensor, "*lead channel row col"]) -> Int[Tensor, "*lead"]:
    return chosen.sum((-3, -2, -1), dtype=torch.int32)
