"""Which frames a window sees, and which windows train, validate and test: index arithmetic.

The split is made between sequences, or between the early, middle and late part of each; windows are
laid inside these spans afterwards. So no frame can be in two splits, whatever the stride.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from convlstm.runtime.errors import BadInput, Faults

SPLITS = ("train", "valid", "test")

Runs = Mapping[str, Sequence[tuple[int, int]]]
"""Of each sequence, by name, where it has no gap: [start, stop) of its parts, in order."""


@dataclass(frozen=True)
class Span:
    """Frames [start, stop) of one sequence, all in one split."""

    split: str
    sequence: str
    start: int
    stop: int

    def windows(self, length: int, stride: int) -> range:
        """First frames of the windows of `length` frames, `stride` frames apart."""
        return range(self.start, self.stop - length + 1, stride)

    def without_gaps(self, runs: Sequence[tuple[int, int]]) -> list["Span"]:
        """Its parts that lie in a run each, so that no window crosses a gap."""
        cuts = [(max(self.start, start), min(self.stop, stop)) for start, stop in runs]
        return [replace(self, start=start, stop=stop) for start, stop in cuts if start < stop]


def split_by_sequence(lengths: Mapping[str, int], shares: Sequence[float]) -> list[Span]:
    """Whole sequences: in their order, the first part trains, the next validates, the last tests.

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
    """Whole sequences: the named ones validate and test, the others train.

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
    """Each sequence: its early part trains, the next validates, the last tests.

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
    """Where `total` things are cut into three by shares, no part smaller than `least`."""
    first = min(max(round(total * shares[0]), least), total - 2 * least)
    second = min(max(round(total * (shares[0] + shares[1])), first + least), total - least)
    return first, second


def check_lengths(runs: Runs, *, length: int) -> None:
    """Every sequence holds at least one window of `length` frames without a gap.

    Raises:
        BadInput: one does not; those that are too short are named.
    """
    faults = Faults()
    for name, parts in runs.items():
        longest = max(stop - start for start, stop in parts)
        if longest < length:
            between = " between gaps" if len(parts) > 1 else ""
            faults.add(
                f"{name}: {longest} frames{between}, fewer than context_frames + forecast_frames "
                f"= {length}; remove it, or lower one of them"
            )
    faults.check()
