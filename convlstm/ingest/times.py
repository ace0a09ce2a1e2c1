"""The times that names of frames carry, and the gaps of a sequence."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
from jaxtyping import Int

GAP_STEPS = 1.5  # of the median step: half a step late is late, more is a missing frame
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEFT_OVER = "unconverted data remains: "


def parse(name: str, time_format: str) -> int:
    """Return the time with which a name begins, in microseconds since 1970, UTC.

    Args:
        name: of a file.
        time_format: of `datetime.strptime`, literal text included; the rest of the name after the
            time is ignored.

    Raises:
        ValueError: the name does not begin like that.
    """
    try:
        time = datetime.strptime(name, time_format)
    except ValueError as error:
        # The standard library offers no other way to learn where the time ends.
        _, found, rest = str(error).partition(_LEFT_OVER)
        if not found:
            raise
        time = datetime.strptime(name.removesuffix(rest), time_format)
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return round((aware - EPOCH).total_seconds() * 1e6)


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


def name(time: int, time_format: str) -> str:
    """Return the name that `parse` reads as this time."""
    return (EPOCH + timedelta(microseconds=time)).strftime(time_format)
