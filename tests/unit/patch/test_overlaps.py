"""No moment is in two of train, validation and test, however sequences overlap in time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.ingest import times
from convlstm.patch import overlaps
from convlstm.patch.windows import SPLITS, Span, split_by_sequence
from convlstm.runtime.errors import BadInput
from tests.builders import MINUTE

Moments = dict[str, np.ndarray | None]
SHARES = (0.5, 0.25, 0.25)


def every(minutes: int, start: int, count: int) -> np.ndarray:
    """Return the times of frames from minute `start` on."""
    return (start + minutes * np.arange(count, dtype=np.int64)) * MINUTE


def whole(moments: Moments, *splits: str) -> list[Span]:
    """Return a span of each sequence, in these splits."""
    sizes = [0 if own is None else len(own) for own in moments.values()]
    return [
        Span(split, name, 0, size) for split, name, size in zip(splits, moments, sizes, strict=True)
    ]


def seen(spans: list[Span], moments: Moments) -> dict[str, set[int]]:
    """Return the times of each split."""
    found: dict[str, set[int]] = {split: set() for split in SPLITS}
    for span in spans:
        own = moments[span.sequence]
        assert own is not None
        found[span.split] |= set(own[span.start : span.stop].tolist())
    return found


def test_events_cut_from_one_archive_keep_their_own_times_only() -> None:
    """Four events of 30 frames, of which each begins 12 frames after the one before."""
    moments: Moments = {f"event{n}": every(5, 60 * n, 30) for n in range(4)}
    spans = whole(moments, "train", "train", "valid", "test")
    kept, lost = overlaps.apart(spans, moments, length=10)
    assert set(kept) == {
        Span("test", "event3", 0, 30),  # frames 36 to 65 of the archive
        Span("valid", "event2", 0, 12),  # 24 to 35 of 24 to 53
        Span("train", "event0", 0, 24),  # 0 to 23 of 0 to 29
        Span("train", "event1", 0, 12),  # 12 to 23 of 12 to 41
    }
    assert lost == {"train": 6 + 18, "valid": 18}


def test_what_is_too_short_for_a_window_takes_nothing_from_others() -> None:
    moments: Moments = {f"event{n}": every(5, 60 * n, 30) for n in range(4)}
    spans = whole(moments, "train", "train", "valid", "test")
    kept, lost = overlaps.apart(spans, moments, length=20)
    # 12 frames are left to valid, so event0 keeps all of its own and event1 all before event3
    assert set(kept) == {
        Span("test", "event3", 0, 30),
        Span("train", "event0", 0, 30),
        Span("train", "event1", 0, 24),
    }
    assert lost == {"train": 6, "valid": 18}


def test_a_time_in_the_middle_cuts_a_span_in_two() -> None:
    moments: Moments = {"long": every(5, 0, 40), "short": every(5, 50, 5)}
    kept, _ = overlaps.apart(whole(moments, "train", "test"), moments, length=5)
    assert set(kept) == {
        Span("test", "short", 0, 5),
        Span("train", "long", 0, 10),
        Span("train", "long", 15, 40),
    }


@pytest.mark.parametrize(
    ("late", "lost"), [(0, 10), (1, 10), (5, 10), (6, 9), (95, 1), (-95, 1), (96, 0), (-96, 0)]
)
def test_a_time_is_the_same_within_half_a_step(late: int, lost: int) -> None:
    """Ten frames every ten minutes, and ten such that begin later; nine steps are 90 minutes."""
    moments: Moments = {"a": every(10, 0, 10), "b": every(10, late, 10)}
    _, found = overlaps.apart(whole(moments, "train", "test"), moments, length=2)
    assert found == ({"train": lost} if lost else {})


def test_frames_between_those_of_a_slower_sequence_are_its_own_time() -> None:
    moments: Moments = {"fast": every(5, 0, 25), "slow": every(30, 30, 3)}
    kept, _ = overlaps.apart(whole(moments, "train", "test"), moments, length=2)
    # from 15 minutes before 00:30 to 15 minutes after 01:30
    assert Span("train", "fast", 0, 3) in kept
    assert Span("train", "fast", 22, 25) in kept


def test_sequences_without_times_lose_nothing_and_take_nothing() -> None:
    moments: Moments = {"a": None, "b": every(5, 0, 30), "c": None}
    spans = [Span("train", "a", 0, 30), Span("valid", "b", 0, 30), Span("test", "c", 0, 30)]
    kept, lost = overlaps.apart(spans, moments, length=20)
    assert set(kept) == set(spans)
    assert lost == {}
    assert overlaps.line(lost) == ""


def test_what_is_left_out_is_told_in_one_line() -> None:
    assert overlaps.line({"train": 24, "valid": 18}) == (
        "24 frames of train and 18 frames of valid are left out, because their times are in test "
        "or valid too"
    )


sequences = st.lists(
    st.tuples(st.integers(0, 60), st.integers(4, 30), st.sampled_from([1, 1, 1, 2, 5])),
    min_size=3,
    max_size=8,
)


@settings(max_examples=100, deadline=None)
@given(sequences, st.integers(2, 4), st.booleans())
def test_no_time_is_in_two_splits(
    events: list[tuple[int, int, int]], length: int, by_time: bool
) -> None:
    moments: Moments = {
        f"s{n}": every(step, start, count) for n, (start, count, step) in enumerate(events)
    }
    lengths = {name: len(own) for name, own in moments.items() if own is not None}
    if by_time:
        try:
            spans = overlaps.split_by_common_times(lengths, SHARES, moments, length=length)
        except BadInput:  # too few times for three windows
            return
    else:
        spans = split_by_sequence(lengths, SHARES)
    kept, lost = overlaps.apart(spans, moments, length=length)
    of = seen(kept, moments)
    assert not of["train"] & (of["valid"] | of["test"])
    assert not of["valid"] & of["test"]
    assert all(span.stop - span.start >= length for span in kept)
    assert lost.get("test", 0) == 0
    long = {span for span in spans if span.stop - span.start >= length}
    assert {span for span in kept if span.split == "test"} == {s for s in long if s.split == "test"}


def test_sequences_of_the_same_hours_are_cut_at_common_times_and_lose_nothing() -> None:
    moments: Moments = {"a": every(5, 0, 100), "b": every(5, 0, 100), "c": every(5, 100, 80)}
    lengths = {"a": 100, "b": 100, "c": 80}
    spans = overlaps.split_by_common_times(lengths, SHARES, moments, length=10)
    begins = {(span.split, span.sequence): span.start for span in spans}
    assert begins["valid", "a"] == begins["valid", "b"] == begins["valid", "c"] + 20
    assert begins["test", "a"] == begins["test", "b"] == begins["test", "c"] + 20
    train = sum(span.stop - span.start for span in spans if span.split == "train")
    assert abs(train - 140) <= 2  # of 280 frames, of which three are at one time
    kept, lost = overlaps.apart(spans, moments, length=10)
    assert lost == {}
    assert set(kept) == set(spans)


def test_sequences_of_other_hours_are_cut_each_by_itself() -> None:
    moments: Moments = {"b": every(5, 1000, 40), "a": every(5, 0, 40), "c": None}
    lengths = {"b": 40, "a": 40, "c": 40}
    spans = overlaps.split_by_common_times(lengths, SHARES, moments, length=5)
    assert {(span.sequence, span.split, span.start, span.stop) for span in spans} == {
        (name, split, *ends)
        for name in "abc"
        for split, ends in zip(SPLITS, ((0, 20), (20, 30), (30, 40)), strict=True)
    }


def test_overlapping_sequences_of_too_few_times_are_named() -> None:
    moments: Moments = {"a": every(5, 0, 20), "b": every(5, 10, 20)}
    with pytest.raises(BadInput, match="a, b: their 22 times together are too few"):
        overlaps.split_by_common_times({"a": 20, "b": 20}, SHARES, moments, length=8)


def test_the_step_of_a_sequence_is_that_of_its_span() -> None:
    """Ten frames a minute apart, and then ten an hour apart: half a step of the first is short."""
    own = np.concatenate([every(1, 0, 10), every(60, 60, 10)])
    moments: Moments = {"rates": own, "test": every(1, 11, 20)}
    assert times.runs(own, 20) == [(0, 10), (10, 20)]
    spans = [Span("train", "rates", 0, 10), Span("test", "test", 0, 20)]
    _, lost = overlaps.apart(spans, moments, length=5)
    assert lost == {}
