"""Sums over all squares of one size, which are exact for whole numbers."""

from jaxtyping import Shaped
from torch import Tensor


def in_squares(frames: Shaped[Tensor, "*lead row col"], side: int) -> Shaped[Tensor, "*lead _ _"]:
    """Return the sum over each square of `side` x `side` pixels, by its upper left corner.

    There is none if the frame is smaller.
    """
    return _in_runs(_in_runs(frames, side, -2), side, -1)


def _in_runs(frames: Shaped[Tensor, "..."], length: int, axis: int) -> Shaped[Tensor, "..."]:
    """Return the sums of so many successive values, which are added up from runs of 1, 2, 4, ...

    A run of 7 is one of 1, one of 2 and one of 4 that follow each other.
    """
    count = max(0, frames.shape[axis] - length + 1)
    if not count:
        return frames.narrow(axis, 0, 0)
    sums, done, run = None, 0, frames
    for own in (2**power for power in range(length.bit_length())):
        if own > 1:
            rest = run.shape[axis] - own // 2
            run = run.narrow(axis, 0, rest) + run.narrow(axis, own // 2, rest)
        if length & own:
            part = run.narrow(axis, done, count)
            sums, done = part if sums is None else sums + part, done + own
    assert sums is not None  # for the length has a bit
    return sums
