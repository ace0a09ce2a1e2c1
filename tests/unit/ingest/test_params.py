"""Axes are named by known letters, and a frame has at most `max_pixels` pixels."""

from pathlib import Path

import pytest

from convlstm.ingest.params import Ingest, Reading
from convlstm.runtime.errors import BadInput
from tests.builders import faults_of, reading_of


@pytest.mark.parametrize("raw_axes", [None, "HW", "WH", "THW", "TNHW", "NTCHW"])
def test_axes_that_name_row_and_col_are_taken(raw_axes: str | None) -> None:
    assert reading_of(raw_axes=raw_axes).raw_axes == raw_axes


@pytest.mark.parametrize("raw_axes", ["TT", "XHW", "THH", "TCH", "HWHW", "", "hw"])
def test_axes_that_are_unknown_twice_or_without_row_or_col_are_refused(raw_axes: str) -> None:
    assert faults_of(Reading, raw_axes=raw_axes) == [
        f"here: raw_axes = '{raw_axes}': must name each axis once, with H and W among N T C H W"
    ]


def test_a_place_of_the_raw_frames_must_be_given() -> None:
    (line,) = faults_of(Ingest, raw="")
    assert line.startswith("here: raw = '': ")


def test_a_frame_of_max_pixels_is_not_too_large() -> None:
    reading = reading_of(max_pixels=12)
    reading.check_pixels(Path("a.png"), 12)
    with pytest.raises(BadInput, match=r"a\.png: has more pixels than max_pixels = 12; raise it"):
        reading.check_pixels(Path("a.png"), 13)
