"""Times are read from names and continued, and gaps are found between them."""

from datetime import UTC, datetime

import numpy as np
import pytest

from convlstm.ingest import times
from tests.builders import MINUTE


def microseconds(*moment: int) -> int:
    return round(datetime(*moment, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[misc, arg-type] # ints


@pytest.mark.parametrize(
    ("name", "time_format", "moment"),
    [
        ("RAD_NL25_RAP_5min_201008260035.h5", "RAD_NL25_RAP_5min_%Y%m%d%H%M", (2010, 8, 26, 0, 35)),
        # 2015, day 135 = 15 May, 15:45; a flag follows
        ("AQC151351545F_00005.801.gif", "AQC%y%j%H%M", (2015, 5, 15, 15, 45)),
        ("2020-01-02T03:04:05.png", "%Y-%m-%dT%H:%M:%S.png", (2020, 1, 2, 3, 4, 5)),
        ("2020-01-02 03+0200.png", "%Y-%m-%d %H%z", (2020, 1, 2, 1)),
        ("cloud_7.png", "cloud_%m", (1900, 7, 1)),
    ],
)
def test_the_time_with_which_a_name_begins_is_read(
    name: str, time_format: str, moment: tuple[int, ...]
) -> None:
    assert times.parse(name, time_format) == microseconds(*moment)


@pytest.mark.parametrize("name", ["frame.png", "RAD_20100826.h5", "AQC.gif", ""])
def test_another_name_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="match"):
        times.parse(name, "AQC%y%j%H%M")


def test_the_name_of_a_time_is_read_as_that_time() -> None:
    moment = microseconds(2015, 5, 15, 15, 45)
    name = times.name(moment, "AQC%y%j%H%M")
    assert name == "AQC151351545"
    assert times.parse(name, "AQC%y%j%H%M") == moment


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
