"""Splits that know the times: no moment is in two of train, validation and test.

Sequences may show the same hours: events cut from one archive, several radars, tiles of one region.
They share the weather, so what a test has seen, training must not.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int

from convlstm.ingest import times
from convlstm.patch.windows import SPLITS, Span, clipped, split_by_time
from convlstm.runtime.errors import BadInput

Times = Mapping[str, Int[np.ndarray, " time"] | None]
"""The times of the frames of each sequence, ascending; None where they are not known."""

UNDATED_BEFORE = 365 * 86_400_000_000
"""The beginning of 1971, in microseconds since 1970."""

Extents = Int[np.ndarray, "span 4"]
"""The number of the sequence of each span, its first and last time, and half a step."""


def is_dated(moments: Int[np.ndarray, " time"] | None) -> bool:
    """Return whether times are those of a calendar: a film without a date counts from 1970 on."""
    return moments is not None and len(moments) > 0 and int(moments[0]) >= UNDATED_BEFORE


def apart(
    spans: Iterable[Span], moments: Times, *, length: int
) -> tuple[list[Span], dict[str, int]]:
    """Cut from spans the frames whose times are in a split that comes first: test, then validation.

    A time counts as the same within half a step, and as inside a span of another sequence from the
    first of its frames to the last. Spans that are shorter than a window hold nothing, and nothing
    is held against them.

    Args:
        spans: evenly spaced parts of sequences.
        moments: of all sequences.
        length: frames of a window.

    Returns:
        The spans that are left, and how many frames each split has lost.
    """
    kept: list[Span] = []
    lost: Counter[str] = Counter()
    whole = [span for span in spans if span.stop - span.start >= length]
    for split in reversed(SPLITS):
        held = _extents(kept, moments)
        for span in [span for span in whole if span.split == split]:
            taken = _taken(span, moments, held)
            lost[split] += int(taken.sum())
            parts = _free(span, taken)
            kept += [part for part in parts if part.stop - part.start >= length]
    return kept, {split: lost[split] for split in SPLITS if lost[split]}


def split_by_common_times(
    lengths: Mapping[str, int], shares: Sequence[float], moments: Times, *, length: int
) -> list[Span]:
    """Split each sequence into an early, a middle and a late part, as `split_by_time` does.

    Sequences that overlap in time are cut at common times, so that no moment is in two parts.

    Args:
        lengths: frames of each sequence, by name.
        shares: of train, valid and test, adding up to 1.
        moments: of all sequences.
        length: frames of a window; each part holds at least as many times.

    Raises:
        BadInput: there are too few times for three windows.
    """
    spans: list[Span] = []
    for names in _together(lengths, moments):
        own = {name: lengths[name] for name in names}
        if len(names) == 1:
            spans += split_by_time(own, shares, length=length)
            continue
        known = {name: some for name in names if (some := moments[name]) is not None}
        first, second = _common_cuts(known, shares, length=length)
        for name, some in known.items():
            edges = [0, *np.searchsorted(some, (first, second)).tolist(), len(some)]
            ends = zip(SPLITS, pairwise(edges), strict=True)
            spans += [Span(split, name, a, b) for split, (a, b) in ends if a < b]
    return spans


def line(lost: Mapping[str, int]) -> str:
    """Return a line on the frames that splits have lost; empty if there are none."""
    if not lost:
        return ""
    parts = " and ".join(f"{count} frames of {split}" for split, count in lost.items())
    return f"{parts} are left out, because their times are in test or valid too"


def _extents(spans: Iterable[Span], moments: Times) -> Extents:
    """Return the extents of those spans whose times are known."""
    numbers = {name: number for number, name in enumerate(moments)}
    rows = []
    for span in spans:
        known = moments[span.sequence]
        if known is not None:
            own = known[span.start : span.stop]
            rows.append((numbers[span.sequence], own[0], own[-1], times.step(own) // 2))
    return np.array(rows, np.int64).reshape(-1, 4)


def _taken(span: Span, moments: Times, held: Extents) -> Bool[np.ndarray, " frame"]:
    """Return which frames of a span have times that spans of other sequences hold."""
    taken = np.zeros(span.stop - span.start, bool)
    for sequence, first, last, half in _extents([span], moments):
        own = moments[span.sequence]
        assert own is not None
        margins = np.maximum(half, held[:, 3])
        begins, ends = held[:, 1] - margins, held[:, 2] + margins
        near = (held[:, 0] != sequence) & (begins <= last) & (ends >= first)
        for begin, end in zip(begins[near], ends[near], strict=True):
            taken |= (own[span.start : span.stop] >= begin) & (own[span.start : span.stop] <= end)
    return taken


def _free(span: Span, taken: Bool[np.ndarray, " frame"]) -> list[Span]:
    """Return the parts of a span that are not taken."""
    edges = np.flatnonzero(np.diff(np.pad(~taken, 1).astype(int))) + span.start
    return [replace(span, start=a, stop=b) for a, b in edges.reshape(-1, 2).tolist()]


def _together(lengths: Mapping[str, int], moments: Times) -> list[list[str]]:
    """Return the names of sequences in groups that overlap in time, each in its order."""
    known = [
        (int(some[0]), int(some[-1]), name)
        for name in lengths
        if (some := moments[name]) is not None
    ]
    groups: list[list[str]] = [[name] for name in lengths if moments[name] is None]
    latest = None
    for first, last, name in sorted(known):
        if latest is not None and first <= latest:
            groups[-1].append(name)
            latest = max(latest, last)
        else:
            groups.append([name])
            latest = last
    return groups


def _common_cuts(
    moments: Mapping[str, Int[np.ndarray, " time"]], shares: Sequence[float], *, length: int
) -> tuple[int, int]:
    """Return the first times of validation and of test, for sequences that overlap.

    The shares are of all frames; frames within half a step of each other are at one time.

    Raises:
        BadInput: there are too few times for three windows.
    """
    pooled = np.sort(np.concatenate(list(moments.values())))
    half = max(map(times.step, moments.values())) // 2
    apart = [int(pooled[0])]
    for time in np.unique(pooled).tolist():
        if time - apart[-1] > half:
            apart.append(time)
    if len(apart) < len(SPLITS) * length:
        raise BadInput(
            f"{', '.join(list(moments)[:3])}: their {len(apart)} times together are too few for "
            f"split_by = 'time', which takes three windows, {len(SPLITS) * length}; lower "
            f"context_frames or forecast_frames"
        )
    wanted = pooled[[round(len(pooled) * share) for share in (shares[0], shares[0] + shares[1])]]
    at = (np.searchsorted(apart, wanted, side="right") - 1).tolist()
    first, second = clipped(at[0], at[1], len(apart), least=length)
    return apart[first], apart[second]
