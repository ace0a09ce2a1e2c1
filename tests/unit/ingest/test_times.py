"""Gaps are found between times, and times go on after the last one."""

import numpy as np
import pytest

from convlstm.ingest import times
from tests.builders import MINUTE


@pytest.mark.parametrize(
    ("minutes", "runs"),
    [
        ([0, 5, 10, 15], [(0, 4)]),
        ([0, 5, 10, 20, 25], [(0, 3), (3, 5)]),  # a step of 10, the median is 5
        ([0, 5, 12, 17, 22], [(0, 5)]),  # 7 of 5 minutes is late, not missing
        ([0, 5, 60, 65, 70, 300], [(0, 2), (2, 5), (5, 6)]),
        ([0], [(0, 1)]),
    ],
)
def test_a_gap_is_more_than_one_and_a_half_steps(
    minutes: list[int], runs: list[tuple[int, int]]
) -> None:
    moments = np.array(minutes, np.int64) * MINUTE
    assert times.runs(moments, len(minutes)) == runs


def test_without_times_there_is_no_gap_and_no_next_time() -> None:
    assert times.runs(None, 7) == [(0, 7)]
    assert times.following(None, 3) is None


def test_one_time_alone_has_no_next_one() -> None:
    assert times.following((5 * MINUTE,), 3) is None


def test_the_times_go_on_by_the_median_step() -> None:
    known = (0, 5 * MINUTE, 10 * MINUTE, 16 * MINUTE)
    assert times.following(known, 2) == (21 * MINUTE, 26 * MINUTE)
