"""The table of what was read has the numbers that are counted by hand here."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.ingest import summary
from convlstm.ingest.summary import Summary, Tally
from convlstm.storage.meaning import Channel
from tests.builders import MINUTE

NAN = float("nan")


def test_a_tally_has_physical_ends_and_counts_what_is_missing() -> None:
    channels = (
        Channel("DBZH", "dBZ", 0.5, -32.0, missing=(255.0,), undetected=(0.0,)),
        Channel("falling", "", -2.0, 1.0),
    )
    tally = Tally(channels, np.dtype(np.uint8))
    tally.add(np.array([[[[0, 92, 255]], [[1, 2, 3]]]], np.uint8))
    tally.add(np.array([[[[100, 255, 255]], [[9, 2, 3]]]], np.uint8))
    # 92 is 14, 100 is 18; 9 is -17, 1 is -1
    assert tally.ranges == [(14, 18), (-17, -1)]
    assert tally.missing.tolist() == [3, 0]
    assert tally.pixels == 6


def test_a_tally_passes_over_nan_whether_or_not_it_is_missing() -> None:
    frames = np.array([NAN, -5.0, 3.0], np.float32).reshape(1, 1, 1, 3)
    for missing in ((), (NAN,)):
        tally = Tally((Channel(missing=missing),), np.dtype(np.float32))
        tally.add(frames)
        assert tally.ranges == [(-5, 3)]
        assert tally.missing.tolist() == [len(missing)]


@settings(max_examples=100, deadline=None)
@given(
    dtype=st.sampled_from(["u1", "i1", "u2", "i2", "i4", "u4", "i8", "f4", "f8"]),
    seed=st.integers(0, 1000),
    marks=st.lists(st.integers(0, 100), max_size=3, unique=True),
)
def test_the_ends_are_numpys_of_what_is_left(dtype: str, seed: int, marks: list[int]) -> None:
    frames = np.random.default_rng(seed).integers(-100, 101, (2, 1, 3, 3)).astype(dtype)
    missing, undetected = tuple(map(float, marks[:1])), tuple(map(float, marks[1:]))
    tally = Tally((Channel(missing=missing, undetected=undetected),), np.dtype(dtype))
    tally.add(frames)
    left = frames[~np.isin(frames, marks)]
    assert tally.missing.tolist() == [np.isin(frames, marks[:1]).sum()]
    assert tally.ranges == [(left.min(), left.max())]


def of_rain(name: str, minutes: tuple[int, ...] | None, *values: int) -> Summary:
    """Return what is read of a sequence of frames of one pixel."""
    tally = Tally((Channel("rain", "mm/h", 0.1, missing=(255.0,)),), np.dtype(np.uint8))
    tally.add(np.array(values, np.uint8).reshape(-1, 1, 1, 1))
    moments = None if minutes is None else np.array(minutes, np.int64) * MINUTE
    return summary.of_sequence(name, (len(values), 1, 1, 1), moments, tally)


def test_the_table_tells_times_step_gaps_and_values() -> None:
    known = [of_rain("may", (0, 5, 20), 10, 255, 30), of_rain("june", None, 255)]
    lines = [line.split() for line in summary.table(known)]
    assert lines[0][:4] == ["sequence", "frames", "first", "last"]
    assert lines[1] == [
        *("may", "3", "1970-01-01", "00:00:00", "1970-01-01", "00:20:00", "600", "s", "0"),
        *("1", "x", "1", "rain", "mm/h", "1", "3", "33.33"),
    ]
    assert lines[2][:6] == ["june", "1", "-", "-", "-", "0"]
    assert lines[2][-3:] == ["-", "-", "100"]
    assert lines[3][:2] == ["all", "2"]
    assert lines[3][-3:] == ["1", "3", "50"]


def test_of_many_sequences_the_first_are_listed_and_all_are_summed_up() -> None:
    many = [of_rain(f"s{number}", None, number) for number in range(100)]
    lines = summary.table(many)
    assert len(lines) == 1 + summary.SHOWN + 1
    assert lines[-1].split()[:3] == ["all", "100", "100"]
    assert lines[-1].split()[-3:] == ["0", "9.9", "0"]
