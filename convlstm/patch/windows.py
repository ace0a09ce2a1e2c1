"""Index arithmetic of windows: which frames train, validate and test, and where windows start.

The split is made between sequences, or between the early, middle and late part of each. Windows are
laid inside these spans afterwards, so no frame is in two splits, whatever the stride. That no time
is in two, `overlaps` sees to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from convlstm.runtime.errors import BadInput

SPLITS = ("train", "valid", "test")

Runs = Mapping[str, Sequence[tuple[int, int]]]
"""For each sequence, by name, its parts without a gap: [start, stop) in order."""


@dataclass(frozen=True)
class Span:
    """Frames [start, stop) of one sequence, all in one split."""

    split: str
    sequence: str
    start: int
    stop: int

    def windows(self, length: int, stride: int) -> range:
        """Return the first frames of windows of `length` frames, `stride` frames apart."""
        return range(self.start, self.stop - length + 1, stride)

    def without_gaps(self, runs: Sequence[tuple[int, int]]) -> list["Span"]:
        """Return the parts of the span that lie in one run, so that no window crosses a gap."""
        cuts = [(max(self.start, start), min(self.stop, stop)) for start, stop in runs]
        return [replace(self, start=start, stop=stop) for start, stop in cuts if start < stop]


def split_by_sequence(lengths: Mapping[str, int], shares: Sequence[float]) -> list[Span]:
    """Split between sequences: the first ones train, the next validate, the last test.

    Args:
        lengths: frames of each sequence, by name, in order.
        shares: of train, valid and test, adding up to 1; each part gets at least one sequence.

    Raises:
        BadInput: fewer than three sequences.
    """
    names = list(lengths)
    if len(names) < len(SPLITS):
        raise BadInput(
            f"split_by = 'sequence': there are {len(names)} sequences, but training, validation "
            f"and test need one each; set split_by to time"
        )
    first, second = _cuts(len(names), shares, least=1)
    held_out = {"valid": names[first:second], "test": names[second:]}
    return split_by_name(lengths, valid=held_out["valid"], test=held_out["test"])


def split_by_name(
    lengths: Mapping[str, int], *, valid: Sequence[str], test: Sequence[str]
) -> list[Span]:
    """Split between sequences: the named ones validate and test, the others train.

    Raises:
        BadInput: a name is not among the sequences.
    """
    unknown = [name for name in (*valid, *test) if name not in lengths]
    if unknown:
        raise BadInput(
            f"valid_sequences, test_sequences: no sequence {unknown}; "
            f"there are {list(lengths)[:20]}"
        )
    split = dict.fromkeys(valid, "valid") | dict.fromkeys(test, "test")
    return [Span(split.get(name, "train"), name, 0, length) for name, length in lengths.items()]


def split_by_time(
    lengths: Mapping[str, int], shares: Sequence[float], *, length: int
) -> list[Span]:
    """Split each sequence: its early part trains, the next part validates, the last part tests.

    Args:
        lengths: frames of each sequence, by name.
        shares: of train, valid and test, adding up to 1.
        length: frames of a window; each part holds at least one.

    Raises:
        BadInput: a sequence is shorter than three windows.
    """
    spans = []
    for name, frames in lengths.items():
        if frames < len(SPLITS) * length:
            raise BadInput(
                f"{name}: {frames} frames are too few for split_by = 'time', which takes "
                f"three windows, {len(SPLITS) * length}; lower context_frames or forecast_frames"
            )
        cuts = [0, *_cuts(frames, shares, least=length), frames]
        spans += [Span(split, name, cuts[i], cuts[i + 1]) for i, split in enumerate(SPLITS)]
    return spans


def _cuts(total: int, shares: Sequence[float], *, least: int) -> tuple[int, int]:
    """Return the two cuts of `total` things into shares, no part smaller than `least`."""
    ends = [round(total * share) for share in (shares[0], shares[0] + shares[1])]
    return clipped(ends[0], ends[1], total, least=least)


def clipped(first: int, second: int, total: int, *, least: int) -> tuple[int, int]:
    """Return the two cuts of `total` things, moved so that no part is smaller than `least`."""
    first = min(max(first, least), total - 2 * least)
    return first, min(max(second, first + least), total - least)


def too_short(runs: Runs, *, length: int) -> dict[str, str]:
    """Return a line for each sequence that holds no window of `length` frames without a gap."""
    found = {}
    for name, parts in runs.items():
        longest = max(stop - start for start, stop in parts)
        if longest < length:
            between = " between gaps" if len(parts) > 1 else ""
            found[name] = (
                f"{name}: {longest} frames{between}, fewer than context_frames + forecast_frames "
                f"= {length}; lower one of them, or set short_sequences to skip"
            )
    return found
