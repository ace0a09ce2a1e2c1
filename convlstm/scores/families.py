"""The families of scores together, in the order of the tables' columns."""

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
from convlstm.scores.score import Score

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
