"""Sequences that show different things are refused, and the line names two of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from convlstm.ingest import readers
from convlstm.patch import agreement
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Sequence
from convlstm.storage.meaning import NOTHING_SAID, Channel, Coordinate, Grid, Meaning
from tests.builders import MINUTE, reading_of

RAIN = Channel("rain", "mm/h", 0.5)
POLAR = {"grid_mapping_name": "polar_stereographic", "straight_vertical_longitude_from_pole": 0.0}


def in_memory(frames: np.ndarray) -> Any:
    """Stand in for a dataset, of which only shape and type are asked."""
    return frames


def sequence(
    *channels: Channel, grid: Grid | None = None, minutes: tuple[int, ...] | None = None
) -> Sequence:
    """Return a sequence of which this is said."""
    times = None if minutes is None else np.array(minutes, np.int64) * MINUTE
    frames = np.zeros((3, max(1, len(channels)), 8, 8), np.uint8)
    return Sequence(in_memory(frames), None, times, Meaning(channels, grid), "")


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


PALETTE = "ffffff" + "0000ff" + "00ff00"


def test_a_class_number_has_one_colour() -> None:
    """A longer palette, as of GIF, whose lengths are powers of two, names no number otherwise."""
    agreed = [PALETTE, PALETTE[:12], PALETTE + "ff0000", ""]
    named = {str(n): sequence(Channel(palette=own)) for n, own in enumerate(agreed)}
    agreement.check(named)
    other = sequence(Channel(palette=PALETTE + "00ffff"))
    with pytest.raises(BadInput, match=r"^b: its colour of class 3 is '00ffff', but that of 2 is "):
        agreement.check(named | {"b": other})


def pictures(path: Path, pixels: np.ndarray, dtype: str) -> Sequence:
    """Return what is read of a picture of these pixels."""
    Image.fromarray(pixels.astype(dtype)).save(path)
    (frame,) = readers.frames(path, reading_of())
    return Sequence(in_memory(frame.values[None]), None, None, frame.meaning, "")


def test_pictures_of_two_depths_are_refused(tmp_path: Path) -> None:
    """The grey 9 of 8 bits is the grey 9 * 257 of 16."""
    half = np.full((8, 9), 9)
    bytes_ = pictures(tmp_path / "8.png", half, "u1")
    wide = pictures(tmp_path / "16.png", half * 257, "u2")
    clear = Image.fromarray(np.full((8, 9, 2), 255, np.uint8))
    clear.putpixel((0, 0), (0, 0))
    clear.save(tmp_path / "alpha.png")
    (frame,) = readers.frames(tmp_path / "alpha.png", reading_of())
    widened = in_memory(frame.values[None])  # for its mark
    alpha = Sequence(widened, None, None, frame.meaning, "")
    agreement.check({"a": bytes_, "b": alpha, "c": bytes_})
    agreement.check({"a": wide, "b": wide})
    for first, white in (({"a": bytes_}, 255), ({"a": alpha}, 255)):
        with pytest.raises(BadInput, match=f"b: its white is 65535, but that of a is {white}; "):
            agreement.check({**first, "b": wide})
    numbers = sequence()._replace(frames=in_memory(np.zeros((3, 1, 8, 8), np.uint16)))
    agreement.check({"a": wide, "b": numbers})  # of .npy, which says nothing


@pytest.mark.parametrize(("dtype", "white"), [("u1", 15), ("u2", 4095)])
def test_pictures_of_an_odd_depth_are_refused_beside_others(
    tmp_path: Path, dtype: str, white: int
) -> None:
    (tmp_path / "odd.pgm").write_bytes(
        f"P5 9 8 {white}\n".encode() + np.full((8, 9), 9, f">{dtype}").tobytes()
    )
    (frame,) = readers.frames(tmp_path / "odd.pgm", reading_of())
    odd = Sequence(in_memory(frame.values[None]), None, None, frame.meaning, "")
    plain = pictures(tmp_path / "a.png", np.zeros((8, 9)), dtype)
    with pytest.raises(BadInput, match=f"b: its white is {white}, but that of a is "):
        agreement.check({"a": plain, "b": odd})
    agreement.check({"a": plain, "b": odd._replace(meaning=odd.meaning.as_stored)})


def test_numbers_as_stored_agree() -> None:
    """With apply_scale: false, which the remedy names."""
    meanings = [
        Meaning((RAIN._replace(unit=unit, missing=(255.0,)),)).as_stored for unit in ("K", "dBZ")
    ]
    assert meanings[0].channels == (Channel(missing=(255.0,)),)
    stored = [replace(NOTHING_SAID, channels=meaning.channels) for meaning in meanings]
    agreement.check({str(n): sequence(*own.channels) for n, own in enumerate(stored)})
