"""No frame is in two splits, no window crosses a gap, and nothing is left without a split."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.patch.windows import (
    SPLITS,
    Span,
    split_by_name,
    split_by_sequence,
    split_by_time,
    too_short,
)
from convlstm.runtime.errors import BadInput

shares = st.tuples(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50)).map(
    lambda parts: tuple(part / sum(parts) for part in parts)
)


def owners(spans: list[Span]) -> dict[tuple[str, int], set[str]]:
    """Return for each frame of each sequence the splits that have it."""
    found: dict[tuple[str, int], set[str]] = {}
    for span in spans:
        for frame in range(span.start, span.stop):
            found.setdefault((span.sequence, frame), set()).add(span.split)
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=3, max_size=30), shares)
def test_whole_sequences_are_dealt_out_each_frame_once(
    lengths: list[int], parts: tuple[float, ...]
) -> None:
    named = {f"s{number}": length for number, length in enumerate(lengths)}
    spans = split_by_sequence(named, parts)
    splits = owners(spans)
    assert len(splits) == sum(lengths)
    assert all(len(split) == 1 for split in splits.values())
    assert {span.split for span in spans} == set(SPLITS)
    order = [SPLITS.index(span.split) for span in spans]
    assert order == sorted(order)  # the first train, the last test


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(15, 80), min_size=1, max_size=5), shares, st.integers(1, 5))
def test_early_middle_and_late_parts_share_no_frame(
    lengths: list[int], parts: tuple[float, ...], length: int
) -> None:
    named = {f"s{number}": frames for number, frames in enumerate(lengths)}
    spans = split_by_time(named, parts, length=length)
    splits = owners(spans)
    assert len(splits) == sum(lengths)
    assert all(len(split) == 1 for split in splits.values())
    assert all(span.stop - span.start >= length for span in spans)


def test_named_sequences_validate_and_test_and_the_others_train() -> None:
    spans = split_by_name({"a": 5, "b": 5, "c": 5}, valid=["c"], test=["a"])
    assert {span.sequence: span.split for span in spans} == {
        "a": "test",
        "b": "train",
        "c": "valid",
    }


@pytest.mark.parametrize(
    ("span", "stride", "starts"),
    [
        (Span("train", "a", 0, 20), 10, [0]),  # one window of 20 just fits
        (Span("train", "a", 0, 40), 10, [0, 10, 20]),
        (Span("test", "a", 7, 29), 1, [7, 8, 9]),
        (Span("test", "a", 0, 19), 1, []),
    ],
)
def test_windows_lie_inside_their_span(span: Span, stride: int, starts: list[int]) -> None:
    assert list(span.windows(20, stride)) == starts


def test_a_gap_cuts_a_span() -> None:
    span = Span("train", "a", 4, 20)
    assert span.without_gaps([(0, 10), (10, 12), (12, 30)]) == [
        Span("train", "a", 4, 10),
        Span("train", "a", 10, 12),
        Span("train", "a", 12, 20),
    ]


@pytest.mark.parametrize("runs", [{"a": [(0, 19)]}, {"a": [(0, 10), (10, 29)]}])
def test_a_sequence_without_a_whole_window_is_named(runs: dict[str, list[tuple[int, int]]]) -> None:
    (line,) = too_short(runs, length=20).values()
    assert line.startswith("a: 19 frames")
    assert too_short(runs, length=19) == {}


def test_too_few_sequences_are_told_to_split_by_time() -> None:
    with pytest.raises(BadInput, match="split_by to time"):
        split_by_sequence({"a": 5, "b": 5}, (0.5, 0.25, 0.25))


def test_too_short_a_sequence_cannot_be_split_by_time() -> None:
    with pytest.raises(BadInput, match="a: 59 frames are too few"):
        split_by_time({"a": 59}, (0.5, 0.25, 0.25), length=20)


def test_an_unknown_name_is_listed_beside_the_known_ones() -> None:
    with pytest.raises(BadInput, match=r"no sequence \['june'\]; there are \['may'\]"):
        split_by_name({"may": 5}, valid=["may"], test=["june"])
