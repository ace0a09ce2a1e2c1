"""What a file says of its numbers survives data/frames, and what differs is named."""

from pathlib import Path

import numpy as np
import pytest

from convlstm.storage import frames as frames_h5
from convlstm.storage import hdf5
from convlstm.storage.frames import Frame
from convlstm.storage.meaning import (
    NOTHING_SAID,
    Channel,
    Coordinate,
    Grid,
    Marks,
    Meaning,
    Quantity,
    quantities,
)
from tests.builders import stored_frames

RATE = Channel("rain", "mm h-1", 0.5, -32.0, missing=(255.0,), undetected=(0.0,))
VALUES = np.ones((1, 2, 3), np.uint8)


def grid_of(first: float = 0.0) -> Grid:
    y = Coordinate(("y",), np.array([first, 2.0]), {"units": "m"})
    lon = Coordinate(("y", "x"), np.arange(6.0).reshape(2, 3), {"units": "degrees_east"})
    return Grid({"y": y, "lon": lon}, {"grid_mapping_name": "polar_stereographic", "k": 0.93})


def stored(path: Path, *frames: Frame) -> frames_h5.Sequence:
    """Write frames, and read the sequence as long as its file is open."""
    with hdf5.create(path) as file:
        frames_h5.append_sequence(file, "a", frames)
    with stored_frames(path) as sequences:
        return sequences["a"]


@pytest.mark.parametrize(
    "channels", [(), (RATE,), (Channel(), RATE), (Channel(missing=(float("nan"), -1.0)),)]
)
@pytest.mark.parametrize("grid", [None, grid_of()])
def test_the_meaning_comes_back(
    tmp_path: Path, channels: tuple[Channel, ...], grid: Grid | None
) -> None:
    meaning = Meaning(channels, grid)
    found = stored(tmp_path / "frames.h5", Frame(VALUES, meaning)).meaning
    assert found.text == meaning.text
    assert found.differences(meaning) == []
    assert (found.grid is None) == (grid is None)
    if found.grid is not None:
        assert grid is not None
        assert dict(found.grid.mapping) == dict(grid.mapping)
        for name, coordinate in grid.coordinates.items():
            np.testing.assert_array_equal(found.grid.coordinates[name].values, coordinate.values)
            assert found.grid.coordinates[name].axes == coordinate.axes
            assert dict(found.grid.coordinates[name].attributes) == dict(coordinate.attributes)


@pytest.mark.parametrize(
    ("other", "names"),
    [
        (Meaning((RATE,), grid_of()), []),
        (Meaning((RATE._replace(scale=0.25, unit="dBZ"),), grid_of()), ["unit", "scale"]),
        (Meaning((RATE._replace(missing=(float("nan"),)),), grid_of()), ["missing"]),
        (Meaning((RATE, RATE), grid_of()), ["channels"]),
        (Meaning((RATE,), grid_of(1.0)), ["grid"]),
        (Meaning((RATE,)), ["grid"]),
    ],
)
def test_what_differs_is_named(other: Meaning, names: list[str]) -> None:
    assert Meaning((RATE,), grid_of()).differences(other) == names


def test_two_missing_values_that_are_not_numbers_agree() -> None:
    marks = (Meaning((Channel(missing=(float("nan"),)),)) for _ in range(2))
    assert next(marks).differences(next(marks)) == []


def test_each_grid_is_stored_once(tmp_path: Path) -> None:
    with hdf5.create(tmp_path / "frames.h5") as file:
        for name, first in (("a", 0.0), ("b", 1.0), ("c", 0.0)):
            frames_h5.append_sequence(file, name, [Frame(VALUES, Meaning((), grid_of(first)))])
    with stored_frames(tmp_path / "frames.h5") as sequences:
        with hdf5.open_complete(tmp_path / "index.h5") as index:
            assert len(index["grids"]) == 2
        found = sequences
        firsts = {
            name: sequence.meaning.grid.coordinates["y"].values[0]
            for name, sequence in found.items()
            if sequence.meaning.grid
        }
    assert firsts == {"a": 0.0, "b": 1.0, "c": 0.0}


def test_times_inside_the_files_are_kept_if_all_are_known(tmp_path: Path) -> None:
    frames = [Frame(VALUES, NOTHING_SAID, time) for time in (5, 7)]
    times = stored(tmp_path / "a.h5", *frames).times
    assert times is not None
    assert times.tolist() == [5, 7]
    assert stored(tmp_path / "b.h5", *frames, Frame(VALUES)).times is None


def test_who_says_nothing_says_the_default() -> None:
    assert NOTHING_SAID.differences(Meaning((Channel(), Channel()))) == []
    assert NOTHING_SAID.differences(Meaning((Channel(unit="K"),))) == ["unit"]
    assert Meaning((Channel(unit="K"),)).differences(NOTHING_SAID) == ["unit"]


def test_three_bytes_of_which_nothing_is_said_are_one_picture() -> None:
    nothing, ranges = (
        (Channel(missing=(255.0,), valid_range=(0.0, 255.0)),) * 3,
        ((0.0, 255.0),) * 3,
    )
    assert quantities(nothing, ranges, np.dtype(np.uint8)) == (
        Quantity("", "", (0.0, 255.0), 0, 3),
    )
    assert len(quantities(nothing, ranges, np.dtype(np.float32))) == 3
    winds = (Channel("u", "m/s"), Channel("v", "m/s"), Channel("t", "K"))
    assert len(quantities(winds, ranges, np.dtype(np.uint8))) == 3


def test_each_channel_is_a_quantity_with_its_name_or_its_number() -> None:
    two = (Channel("t2m", "K"), Channel("", "kg/kg"))
    found = quantities(two, ((200.0, 320.0), (0.0, 0.03)), np.dtype(np.int16))
    assert found == (
        Quantity("t2m", "K", (200.0, 320.0), 0, 1),
        Quantity("channel 2", "kg/kg", (0.0, 0.03), 1, 2),
    )
    assert [own.label for own in found] == ["t2m (K)", "channel 2 (kg/kg)"]
    assert Quantity().label == "data units"
    assert Quantity(unit="mm/h").label == "mm/h"


def test_marks_are_those_that_the_type_can_hold() -> None:
    nan = float("nan")
    assert Marks.of((255.0, 256.0, -1.0, 3.5, nan), np.dtype(np.uint8)).numbers == (255.0,)
    marks = Marks.of((-999.9, nan), np.dtype(np.float32))
    values = np.array([-999.9, np.nan, 0], np.float32)
    assert marks.where(values).tolist() == [True, True, False]
    assert marks.where(values.astype(np.float64)).tolist() == [True, True, False]


def test_taken_as_stored_only_marks_and_grid_remain() -> None:
    said = Channel("rain", "mm/h", 0.5, -32.0, (255.0,), (0.0,), (0.0, 100.0), "rainfall_rate")
    grid = Grid({}, {"grid_mapping_name": "mercator"})
    plain = Channel(missing=(255.0,), undetected=(0.0,))
    assert Meaning((said,), grid).as_stored == Meaning((plain,), grid)
