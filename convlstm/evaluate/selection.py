"""The choice of the test windows that are drawn: by a rule, never by hand."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from math import floor, log2
from typing import Any

import numpy as np
from jaxtyping import Float

from convlstm.evaluate.scoring import KEPT_MEMBERS, Evaluation
from convlstm.model.batches import Batches
from convlstm.patch.curves import Pair
from convlstm.patch.scaling import Scaling, by_channel
from convlstm.storage.forecasts import DrawnWindow, Ensemble

LEVELS = 256  # of the values that are drawn, at least
KEPT_BYTES = 2**26  # of forecasts that wait in memory until the ranking of their windows is known


def candidates(batches: Batches, count: int, *, members: int) -> set[int]:
    """Return the numbers of the test windows among which the drawn ones are chosen.

    All test windows if their forecasts of so many members fit into `KEPT_BYTES`; otherwise as many
    as fit, at least `count`, spread evenly.
    """
    windows = batches.count("test")
    # of an ensemble the mean, the first members and the probability
    kept = 1 if members == 1 else 1 + min(members, KEPT_MEMBERS) + 1
    kept_bytes = 4 * kept * batches.forecast_frames * batches.geometry.pixels
    most = max(count, KEPT_BYTES // kept_bytes)
    return set(np.linspace(0, windows - 1, min(windows, most)).astype(int).tolist())


def drawn_windows(evaluation: Evaluation, batches: Batches, count: int) -> Iterator[DrawnWindow]:
    """Yield `count` windows, spread evenly from the most to the least skilful candidate.

    Windows in which nothing moves (persistence is perfect) are left out, unless there are no
    others. The first of the drawn windows is the median one.
    """
    ranked = _ranked_by_skill(evaluation)
    middle = (len(ranked) - 1) / 2
    places = np.linspace(0, len(ranked) - 1, count) if count > 1 else np.array([middle])
    ranks = sorted({int(place) for place in places}, key=lambda rank: abs(rank - middle))
    for rank in ranks:
        number, known = ranked[rank], batches.context_frames
        window = batches.index["test"][number]
        place = f"tile at ({window['row']}, {window['col']})"
        position = f"rank {rank + 1}" if rank != ranks[0] else "the median"
        frames, mask = batches.pixels(batches.take("test", [number]))
        scaling = batches.scaling
        seen = scaling.from_unit(np.where(mask, frames, np.nan))[0]
        yield DrawnWindow(
            f"sequence {batches.sequences[window['sequence']]}, {place}: {position} of "
            f"{len(ranked)} test windows",
            context=seen[:known],
            truth=seen[known:],
            forecast=_physical(evaluation.kept[number], scaling),
            quantities=batches.quantities,
            ensemble=_physical_ensemble(evaluation.ensembles[number], scaling),
        )


def _physical(shares: Float[np.ndarray, "*lead channel row col"], scaling: Scaling) -> Any:
    """Return physical values of places in the value range, which are clipped to it."""
    values = scaling.from_unit(scaling.from_share(np.clip(shares, 0, 1)))
    return by_channel([partial(_coarse, pair) for pair in scaling.value_range], values)


def _coarse(pair: Pair, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Round to a power of two that the range of a channel holds `LEVELS` times, or up to twice.

    Pictures have 256 colours, and rounded values need half the bytes.
    """
    step = 2.0 ** floor(log2((pair[1] - pair[0]) / LEVELS))
    return np.clip(np.round(values / step) * step, *pair).astype(np.float32)


def _physical_ensemble(ensemble: Ensemble | None, scaling: Scaling) -> Ensemble | None:
    if ensemble is None:
        return None
    return replace(ensemble, members=_physical(ensemble.members, scaling))


def _ranked_by_skill(evaluation: Evaluation) -> list[int]:
    """Return the numbers of the candidates in which something moves, the most skilful first.

    They are ranked by the ratio of the model's MSE to that of persistence, of several quantities by
    its mean. If nothing moves in any of them, all are returned.
    """
    kept = np.array(sorted(evaluation.kept))
    model, persistence = (
        np.array([scores[name].window_mse for scores in evaluation.scores])[:, kept]
        for name in ("model", "persistence")
    )
    moving = np.flatnonzero((persistence > 0).all(axis=0))
    if not len(moving):
        return [int(number) for number in kept]
    order = np.argsort((model[:, moving] / persistence[:, moving]).mean(axis=0), kind="stable")
    return [int(number) for number in kept[moving[order]]]
