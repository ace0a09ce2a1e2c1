"""The meaning of stored numbers, as the file that holds them tells it: units, scale, place.

Frames keep the numbers of their file, because they are small and exact. A `Meaning` travels with
them from the reader of the raw file to every table, picture and forecast in physical units.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Num

from convlstm.runtime.files import from_text, to_text


class Channel(NamedTuple):
    """One channel of a sequence; its physical value is `scale` times the number plus `offset`.

    `missing` are the numbers that mean that nothing was measured, and `undetected` those that mean
    a measurement of nothing: the low end of the value range. `valid_range` has the two ends of the
    physical values that the file calls valid, or is empty. `standard_name` is CF's name of the
    quantity. `palette` has the colours of class numbers from 0 on, six hexadecimal digits each
    (red, green, blue). `white` is the number of white in a picture, 0 if it has 8 bits.
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
    white: int = 0


BYTES = {("uint8", ()), ("int16", (-1.0,))}
"""The types and marks of pictures of 8 bits, without and with transparent pixels."""
WHITE_OF_BYTES = 255


def white_of(channel: Channel, dtype: str) -> int:
    """Return the number of white in a picture that is stored in `dtype`; 0 if it is none.

    Numbers with a unit, a scale or the colours of classes are not those of a picture.
    """
    if (channel.scale, channel.offset) != (1, 0) or channel.unit or channel.palette:
        return 0
    return channel.white or (WHITE_OF_BYTES if (dtype, channel.missing) in BYTES else 0)


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

    def of_each(self, count: int) -> tuple[Channel, ...]:
        """Return the channels, or `count` of which nothing is said if the file says nothing."""
        return self.channels or (Channel(),) * count

    @cached_property
    def text(self) -> str:
        """The channels as a text; equal channels have equal texts."""
        return to_text({"channels": [channel._asdict() for channel in self.channels]})

    @cached_property
    def as_stored(self) -> "Meaning":
        """The meaning if the stored numbers are taken as values: the marks and the grid remain."""
        plain = (Channel(missing=own.missing, undetected=own.undetected) for own in self.channels)
        return Meaning(tuple(plain), self.grid)

    def differences(self, other: "Meaning") -> list[str]:
        """Return the names of what differs, such as "scale" or "grid"; none if they agree."""
        if self is other:
            return []
        # who says nothing of its numbers says what a channel says by default
        mine = self.of_each(len(other.channels))
        others = other.of_each(len(self.channels))
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


@dataclass(frozen=True)
class Marks:
    """Stored numbers that mean one thing, such as missing, in the type of the frames."""

    numbers: tuple[float, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, numbers: Iterable[float], dtype: np.dtype[Any]) -> "Marks":
        """Keep the numbers that the type can hold; -999.9 is another one in float32."""
        found = dict.fromkeys(_held(number, dtype) for number in numbers)
        return cls(tuple(number for number in found if number is not None), dtype)

    def where(self, values: Num[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
        """Return where a value is one of them."""
        found: np.ndarray | None = None
        for number in self.numbers:
            is_mark = np.isnan(values) if np.isnan(number) else values == self.dtype.type(number)
            found = is_mark if found is None else np.logical_or(found, is_mark, out=found)
        return np.zeros(values.shape, bool) if found is None else np.asarray(found)


def _held(number: float, dtype: np.dtype[Any]) -> float | None:
    """Return the number as the type holds it; None if it cannot."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return float(dtype.type(number))
    limits = np.iinfo(dtype)
    whole = np.isfinite(number) and float(number).is_integer()
    return float(number) if whole and limits.min <= number <= limits.max else None


class Quantity(NamedTuple):
    """Channels `first` to `stop` of frames, which are scored and drawn together.

    It is a channel of its own unit and range, or the three colours of a picture. The name is empty
    where there is no need to tell it from others.
    """

    name: str = ""
    unit: str = ""
    value_range: tuple[float, float] = (0.0, 1.0)
    first: int = 0
    stop: int = 1

    @property
    def channels(self) -> slice:
        """Its place on the axis of channels."""
        return slice(self.first, self.stop)

    @property
    def label(self) -> str:
        """The name and the unit, as on an axis."""
        unit = f" ({self.unit})" if self.name and self.unit else self.unit
        return f"{self.name}{unit}" or "data units"


def names(channels: Sequence[Channel]) -> list[str]:
    """Return a name of each channel: its own, or its number among several."""
    said = [own.name for own in channels]
    if said == [""]:
        return ["values"]
    return [
        name if name and said.count(name) == 1 else f"{name or 'channel'} {number}"
        for number, name in enumerate(said, start=1)
    ]


def quantities(
    channels: Sequence[Channel], ranges: Sequence[tuple[float, float]], dtype: np.dtype[Any]
) -> tuple[Quantity, ...]:
    """Return the quantities of frames: each channel is one, but for the three bytes of a colour.

    Args:
        channels: of the frames.
        ranges: the value range of each channel.
        dtype: of the stored numbers.
    """
    plain = all(own[:4] == Channel()[:4] for own in channels)  # no name, unit, scale or offset
    if len(channels) == 3 and plain and dtype == np.uint8 and len(set(ranges)) == 1:
        return (Quantity("", "", ranges[0], 0, 3),)
    labels = [channels[0].name] if len(channels) == 1 else names(channels)
    parts = zip(labels, channels, ranges, strict=True)
    return tuple(
        Quantity(label, own.unit, pair, number, number + 1)
        for number, (label, own, pair) in enumerate(parts)
    )
