"""The agreement of sequences that one network shall learn from: channels, units, grid and step.

Another scale or offset of the same unit is no difference, for physical values are compared. The
numbers of pictures have no unit: they agree if white has one number, and each class one colour.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from convlstm.ingest import times
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Sequence
from convlstm.storage.meaning import Channel, Grid, white_of

STEP_PART = 0.1  # by which the time steps of two sequences may differ
SPACING_PART = 0.01  # by which their pixels may
PROJECTION = ("grid_mapping_name", "standard_parallel")
"""What must be alike in a grid mapping; where it is centred may differ, as each radar has it."""
DIGITS_OF_A_COLOUR = 6
SCALES = ("xscale", "yscale")  # the size of a pixel in radar files of the ODIM convention


class Fact(NamedTuple):
    """A fact that must agree: kind, value, the part by which numbers may differ, and a remedy."""

    kind: str
    value: tuple[Any, ...]
    part: float
    remedy: str

    def fits(self, other: "Fact") -> bool:
        """Whether texts are equal and numbers near each other."""
        return len(self.value) == len(other.value) and all(
            abs(mine - its) <= self.part * abs(its)
            if isinstance(mine, float) and isinstance(its, float)
            else mine == its
            for mine, its in zip(self.value, other.value, strict=True)
        )

    @property
    def shown(self) -> str:
        """The value, for a message."""
        return ", ".join(
            f"{part:g}" if isinstance(part, float) else repr(part) for part in self.value
        )


def check(sequences: Mapping[str, Sequence]) -> None:
    """Check that all sequences show one thing on one kind of grid in one rhythm.

    Raises:
        BadInput: two of them do not; the line names both.
    """
    first: dict[str, tuple[str, Fact]] = {}
    seen: set[tuple[tuple[Channel, ...], str]] = set()
    for name, sequence in sequences.items():
        channels = sequence.meaning.of_each(sequence.frames.shape[1])
        said = channels, str(sequence.frames.dtype)
        known_facts = () if said in seen else _facts_of_channels(*said)
        seen.add(said)
        for fact in (*known_facts, *_facts(sequence)):
            other, known = first.setdefault(fact.kind, (name, fact))
            if not fact.fits(known):
                raise BadInput(
                    f"{name}: its {fact.kind} is {fact.shown}, but that of {other} is "
                    f"{known.shown}; {fact.remedy}"
                )


def _facts(sequence: Sequence) -> Iterator[Fact]:
    """Yield what must agree of the places and times of a sequence; nothing for what is unknown."""
    if sequence.meaning.grid is not None:
        apart = "train on one of them, or bring them to one grid"
        yield from _facts_of_grid(sequence.meaning.grid, apart)
    if sequence.times is not None and len(sequence.times) > 1:
        step = times.step(sequence.times) / 1e6
        yield Fact("time step in seconds", (step,), STEP_PART, "train on one of them, or thin one")


def _facts_of_channels(channels: tuple[Channel, ...], dtype: str) -> Iterator[Fact]:
    """Yield what must agree of the numbers of a sequence, which are stored in `dtype`."""
    stored = "train on one of them, or set apply_scale to false, which takes numbers as stored"
    yield Fact("unit", tuple(own.unit for own in channels), 0, stored)
    yield Fact("channel", tuple(own.name for own in channels), 0, stored)
    own = channels[0]
    for number, at in enumerate(range(0, len(own.palette), DIGITS_OF_A_COLOUR)):
        colour = own.palette[at : at + DIGITS_OF_A_COLOUR]
        yield Fact(f"colour of class {number}", (colour,), 0, stored)
    if white := white_of(own, dtype):
        yield Fact("white", (white,), 0, stored)


def _facts_of_grid(grid: Grid, remedy: str) -> Iterator[Fact]:
    kind = [grid.mapping[key] for key in PROJECTION if key in grid.mapping]
    if kind:
        yield Fact("projection", tuple(map(_plain, kind)), SPACING_PART, remedy)
    axes = [own for own in grid.coordinates.values() if len(own.axes) == 1 and len(own.values) > 1]
    steps = {own.axes[0]: float(np.abs(np.median(np.diff(own.values)))) for own in axes}
    if len(steps) < 2:
        steps = {key: float(grid.mapping[key]) for key in SCALES if key in grid.mapping}
    if steps:
        sizes = tuple(size for _, size in sorted(steps.items()))
        yield Fact("pixel size", sizes, SPACING_PART, remedy)


def _plain(value: Any) -> Any:
    """Return a number as a float, several as a text, all else as it is."""
    if isinstance(value, int | float):
        return float(value)
    return value if isinstance(value, str) else str(value)
