"""The steps between the times of frames, the gaps of a sequence, and the times that follow it."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

import numpy as np
from jaxtyping import Int

from convlstm.ingest.time_format import EPOCH

GAP_STEPS = 1.5  # of the median step: half a step late is late, more is a missing frame


def step(times: Sequence[int] | Int[np.ndarray, " time"]) -> int:
    """Return the median time from one frame to the next, in microseconds; needs two times."""
    return int(np.median(np.diff(np.asarray(times))))


def runs(times: Int[np.ndarray, " time"] | None, count: int) -> list[tuple[int, int]]:
    """Return [start, stop) of the parts without a gap of a sequence of `count` frames, in order.

    A gap is a step of more than `GAP_STEPS` median steps. Without times there is none.
    """
    if times is None or count < 2:
        return [(0, count)]
    gaps = np.flatnonzero(np.diff(times) > GAP_STEPS * step(times)) + 1
    cuts = [0, *gaps.tolist(), count]
    return list(pairwise(cuts))


def following(times: Sequence[int] | None, count: int) -> tuple[int, ...] | None:
    """Return the next `count` times, a median step apart; None if the step is not known."""
    if times is None or len(times) < 2:
        return None
    return tuple(times[-1] + step(times) * number for number in range(1, count + 1))


def shown(time: int) -> str:
    """Return a time for messages and tables, such as 2021-02-03 20:05:00, UTC."""
    return (EPOCH + timedelta(microseconds=time)).strftime("%Y-%m-%d %H:%M:%S")
