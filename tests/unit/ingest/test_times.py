"""Gaps are found between times, and times go on after the last one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        ([0, 60, 65, 70], [(0, 1), (1, 4)]),
        ([0, 5, 10, 60, 120, 125, 130], [(0, 3), (3, 4), (4, 7)]),  # a frame between two gaps
        ([0, 5, 10, 12, 15, 20, 25], [(0, 3), (3, 7)]),  # one too many
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


@pytest.mark.parametrize(
    ("minutes", "runs"),
    [
        # 10 frames a minute apart, a pause, 12 an hour apart
        ([*range(10), *range(200, 920, 60)], [(0, 10), (10, 22)]),
        # without a pause, the frame between both belongs to the faster rate
        ([*range(10), *range(69, 489, 60)], [(0, 10), (10, 17)]),
        ([*range(0, 600, 60), *range(541, 560)], [(0, 9), (9, 29)]),
        ([0, 5, 10, 15, 25, 35, 45, 50, 55, 60], [(0, 4), (4, 6), (6, 10)]),
        ([0, 10, 20, 30, 31, 32, 33, 34, 35, 135, 235], [(0, 3), (3, 9), (9, 11)]),
    ],
)
def test_another_step_begins_another_run(minutes: list[int], runs: list[tuple[int, int]]) -> None:
    assert times.runs(np.array(minutes, np.int64) * MINUTE, len(minutes)) == runs


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60))
def test_every_frame_is_in_one_run_and_every_step_near_the_median_of_its_run(
    steps: list[int],
) -> None:
    moments = np.cumsum([0, *steps])
    found = times.runs(moments, len(moments))
    assert [start for start, _ in found] == [0, *(stop for _, stop in found[:-1])]
    assert found[-1][1] == len(moments)
    for start, stop in found:
        own = np.diff(moments[start:stop])
        if len(own):
            assert own.min() >= 0.5 * np.median(own)
            assert own.max() <= 1.5 * np.median(own)


@given(st.lists(st.integers(-10, 10), min_size=2, max_size=60))
def test_frames_late_or_early_by_a_tenth_of_a_step_are_one_run(late: list[int]) -> None:
    """Steps are then from 0.8 to 1.2, and so is their median."""
    moments = 100 * np.arange(len(late)) + np.array(late)
    assert times.runs(moments, len(moments)) == [(0, len(moments))]


def test_a_frame_may_be_late_by_half_a_step() -> None:
    moments = np.array([0, 100, 200, 350, 400, 500])
    assert times.runs(moments, 6) == [(0, 6)]
