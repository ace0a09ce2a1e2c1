"""The steps between the times of frames, the even parts of a sequence, and the times after it."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

import numpy as np
from jaxtyping import Int

from convlstm.ingest.time_format import EPOCH

SHORTEST_STEP, LONGEST_STEP = 0.5, 1.5  # of the usual one, which is the median


def step(times: Sequence[int] | Int[np.ndarray, " time"]) -> int:
    """Return the median time from one frame to the next, in microseconds; needs two times."""
    return int(np.median(np.diff(np.asarray(times))))


def runs(times: Int[np.ndarray, " time"] | None, count: int) -> list[tuple[int, int]]:
    """Return [start, stop) of the evenly spaced parts of a sequence of `count` frames, in order.

    Each step of a part is between `SHORTEST_STEP` and `LONGEST_STEP` median steps of the part: half
    a step late is late, more is a missing frame, and where one rate ends and another begins a new
    part begins. Without times there is one part.
    """
    if times is None or count < 2:
        return [(0, count)]
    steps = np.diff(times)
    parts, open_parts = [], [(0, count)]
    while open_parts:
        start, stop = open_parts.pop()
        cuts = _cuts(steps[start : stop - 1]) + start
        if len(cuts):
            open_parts += pairwise([start, *cuts.tolist(), stop])
        else:
            parts.append((start, stop))
    return sorted(parts)


def _cuts(steps: Int[np.ndarray, " step"]) -> Int[np.ndarray, " cut"]:
    """Return the frames, counted from the first, that cannot follow the frame before.

    Steps are short, usual or long. Where the kind changes, the longer one of both steps is cut: a
    lone gap is cut once, and the frame between two rates stays with the faster one.
    """
    if len(steps) == 0:
        return np.zeros(0, np.int64)
    usual = np.median(steps)
    kinds = (steps > LONGEST_STEP * usual).astype(int) - (steps < SHORTEST_STEP * usual)
    around = np.pad(kinds, 1)
    alone = (kinds == -1) & (around[:-2] == 0) & (around[2:] == 0)
    kinds[alone] = 1  # such as a frame stored twice: cut there, and not at the steps beside it
    changes = np.flatnonzero(np.diff(kinds))
    return np.unique(np.where(kinds[changes] > kinds[changes + 1], changes, changes + 1) + 1)


def following(times: Sequence[int] | None, count: int) -> tuple[int, ...] | None:
    """Return the next `count` times, a median step apart; None if the step is not known."""
    if times is None or len(times) < 2:
        return None
    return tuple(times[-1] + step(times) * number for number in range(1, count + 1))


def shown(time: int) -> str:
    """Return a time for messages and tables, such as 2021-02-03 20:05:00, UTC."""
    return (EPOCH + timedelta(microseconds=time)).strftime("%Y-%m-%d %H:%M:%S")
