"""The test windows that are drawn, chosen by rule, not by hand."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from convlstm.evaluate.scoring import Scores
from convlstm.model.batches import Batches
from convlstm.model.model_file import Model


@dataclass(frozen=True)
class Sample:
    """A window to be looked at, in data units; missing pixels are NaN."""

    label: str
    context: Float[np.ndarray, "known channel row col"]
    truth: Float[np.ndarray, "lead channel row col"]
    forecast: Float[np.ndarray, "lead channel row col"]


def samples(
    model: Model, batches: Batches, scores: dict[str, Scores], count: int
) -> Iterator[Sample]:
    """The windows that are drawn, by rule: spread evenly from the most to the least skilful.

    Windows in which nothing moves (persistence is perfect) are left out, unless there are no
    others. The first of the samples is the median one.
    """
    ranked = _by_skill(scores)
    middle = (len(ranked) - 1) / 2
    places = np.linspace(0, len(ranked) - 1, count) if count > 1 else np.array([middle])
    ranks = sorted({int(place) for place in places}, key=lambda rank: abs(rank - middle))
    for rank in ranks:
        window = batches.index["test"][ranked[rank]]
        frames, valid = batches.pixels(batches.take("test", [ranked[rank]]))
        context = frames[:, : batches.context_frames]
        forecast = np.clip(model.rollout(context, batches.forecast_frames), 0, 1)
        seen = batches.scaling.from_unit(np.where(valid, frames, np.nan))[0]
        place = f"{batches.sequences[window['sequence']]}, pixel {window['row']} {window['col']}"
        yield Sample(
            f"{place}: rank {rank + 1} of {len(ranked)} by skill",
            context=seen[: batches.context_frames],
            truth=seen[batches.context_frames :],
            forecast=batches.scaling.from_unit(forecast)[0],
        )


def _by_skill(scores: dict[str, Scores]) -> list[int]:
    """Numbers of the test windows in which something moves (else all), the most skilful first."""
    model, persistence = (np.array(scores[name].window_mse) for name in ("model", "persistence"))
    moving = np.flatnonzero(persistence > 0)
    if not len(moving):
        return list(range(len(model)))
    ratio = model[moving] / persistence[moving]
    return [int(number) for number in moving[np.argsort(ratio, kind="stable")]]
