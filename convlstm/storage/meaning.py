"""The meaning of stored numbers, as the file that holds them tells it: units, scale, place.

Frames keep the numbers of their file, because they are small and exact. A `Meaning` travels with
them from the reader of the raw file to every table, picture and forecast in physical units.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np

from convlstm.runtime.files import from_text, to_text


class Channel(NamedTuple):
    """One channel of a sequence; its physical value is `scale` times the number plus `offset`.

    `missing` are the numbers that mean that nothing was measured, and `undetected` those that mean
    a measurement of nothing: the low end of the value range. `valid_range` has the two ends of the
    physical values that the file calls valid, or is empty. `standard_name` is CF's name of the
    quantity. `palette` has the colours of class numbers from 0 on, six hexadecimal digits each
    (red, green, blue).
    """

    name: str = ""
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    missing: tuple[float, ...] = ()
    undetected: tuple[float, ...] = ()
    valid_range: tuple[float, ...] = ()
    standard_name: str = ""
    palette: str = ""


class Coordinate(NamedTuple):
    """The values of a coordinate, such as `x`, `lat` or a two-dimensional `longitude`.

    `axes` are "y" (rows) and "x" (columns), as many as `values` has; `attributes` are those of CF,
    texts and numbers.
    """

    axes: tuple[str, ...]
    values: np.ndarray
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Grid:
    """The place of the pixels: coordinates by name, and the attributes of CF's grid mapping."""

    coordinates: Mapping[str, Coordinate] = field(default_factory=dict)
    mapping: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """A hash of all of it; equal grids have equal keys."""
        said = {
            name: (coordinate.axes, coordinate.values.shape, dict(coordinate.attributes))
            for name, coordinate in self.coordinates.items()
        }
        digest = sha256(to_text({"coordinates": said, "mapping": dict(self.mapping)}).encode())
        for _, coordinate in sorted(self.coordinates.items()):
            digest.update(np.ascontiguousarray(coordinate.values).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Meaning:
    """The channels and the grid of a frame; a file that says nothing has no `channels`."""

    channels: tuple[Channel, ...] = ()
    grid: Grid | None = None

    @cached_property
    def text(self) -> str:
        """The channels as a text; equal channels have equal texts."""
        return to_text({"channels": [channel._asdict() for channel in self.channels]})

    def differences(self, other: "Meaning") -> list[str]:
        """Return the names of what differs, such as "scale" or "grid"; none if they agree."""
        if self is other:
            return []
        # who says nothing of its numbers says what a channel says by default
        mine = self.channels or (Channel(),) * len(other.channels)
        others = other.channels or (Channel(),) * len(self.channels)
        if len(mine) != len(others):
            return ["channels"]
        different = [
            name
            for name in Channel._fields
            if any(
                to_text({"": getattr(a, name)}) != to_text({"": getattr(b, name)})
                for a, b in zip(mine, others, strict=True)
            )
        ]
        grids = [None if each.grid is None else each.grid.key for each in (self, other)]
        return [*different, *(["grid"] if grids[0] != grids[1] else [])]


def channels_from_text(text: str) -> tuple[Channel, ...]:
    """Return the channels whose `Meaning.text` this is."""
    return tuple(Channel(**channel) for channel in from_text(text)["channels"])


NOTHING_SAID = Meaning()
"""Of files that hold numbers only."""
