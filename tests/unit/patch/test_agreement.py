"""Sequences that show different things are refused, and the line names two of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from convlstm.patch import agreement
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Sequence
from convlstm.storage.meaning import NOTHING_SAID, Channel, Coordinate, Grid, Meaning
from tests.builders import MINUTE

RAIN = Channel("rain", "mm/h", 0.5)
POLAR = {"grid_mapping_name": "polar_stereographic", "straight_vertical_longitude_from_pole": 0.0}


def sequence(
    *channels: Channel, grid: Grid | None = None, minutes: tuple[int, ...] | None = None
) -> Sequence:
    """Return a sequence of which this is said."""
    times = None if minutes is None else np.array(minutes, np.int64) * MINUTE
    frames = np.zeros((3, max(1, len(channels)), 8, 8), np.uint8)
    return Sequence(frames, None, times, Meaning(channels, grid), "")


def grid_of(step: float, **mapping: Any) -> Grid:
    """Return a grid of pixels of this size."""
    places = {
        axis: Coordinate((axis,), start + step * np.arange(8), {"units": "m"})
        for axis, start in (("y", 0.0), ("x", 5000.0))
    }
    return Grid(places, {**POLAR, **mapping})


def test_another_scale_or_place_is_no_difference() -> None:
    agreement.check(
        {
            "may": sequence(RAIN, grid=grid_of(1000), minutes=(0, 5, 10)),
            "june": sequence(RAIN._replace(scale=0.1, missing=(255.0,)), minutes=(0, 5, 11)),
            "july": sequence(RAIN, grid=grid_of(1000, straight_vertical_longitude_from_pole=9.0)),
        }
    )


def test_a_file_that_says_nothing_agrees_with_another_one() -> None:
    both = sequence(), sequence(Channel(missing=(255.0,)))
    agreement.check(dict(zip("ab", both, strict=True)))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (sequence(RAIN._replace(unit="dBZ")), "b: its unit is 'dBZ', but that of a is 'mm/h'; "),
        (sequence(RAIN._replace(name="snow")), "b: its channel is 'snow', but that of a is 'rain'"),
        (sequence(), "b: its unit is '', but that of a is 'mm/h'"),
        (
            sequence(RAIN, grid=grid_of(1000, grid_mapping_name="mercator")),
            "b: its projection is 'mercator', but that of a is 'polar_stereographic'",
        ),
        (
            sequence(RAIN, grid=grid_of(2000)),
            "b: its pixel size is 2000, 2000, but that of a is 1000, 1000; ",
        ),
        (
            sequence(RAIN, grid=grid_of(1000), minutes=(0, 6, 12)),
            "b: its time step in seconds is 360, but that of a is 300; ",
        ),
    ],
)
def test_two_sequences_that_differ_are_named_with_what_differs(other: Sequence, words: str) -> None:
    first = sequence(RAIN, grid=grid_of(1000), minutes=(0, 5, 10))
    with pytest.raises(BadInput) as raised:
        agreement.check({"a": first, "b": other})
    (line,) = str(raised.value).splitlines()
    assert line.startswith(words)


def test_numbers_as_stored_agree() -> None:
    """With apply_scale: false, which the remedy names."""
    meanings = [
        Meaning((RAIN._replace(unit=unit, missing=(255.0,)),)).as_stored for unit in ("K", "dBZ")
    ]
    assert meanings[0].channels == (Channel(missing=(255.0,)),)
    stored = [replace(NOTHING_SAID, channels=meaning.channels) for meaning in meanings]
    agreement.check({str(n): sequence(*own.channels) for n, own in enumerate(stored)})
