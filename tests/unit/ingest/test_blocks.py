"""Blocks of several arrays are joined, ordered and matched without a silent loss."""

from pathlib import Path

import numpy as np
import pytest

from convlstm.ingest import blocks
from convlstm.ingest.blocks import Content, Variable
from convlstm.runtime.errors import BadInput
from tests.builders import reading_of

HERE = Path("a.nc")


def test_channels_of_two_types_are_joined_in_one_that_holds_both() -> None:
    first, second = np.full((2, 1, 3, 3), 70000, "u4"), np.full((2, 1, 3, 3), 0.5, "f4")
    block = blocks.joined([first, second])
    assert block.dtype == np.float64
    np.testing.assert_array_equal(block[0, :, 0, 0], [70000, 0.5])


def test_numbers_that_no_common_type_holds_are_an_error() -> None:
    first, second = np.full((1, 1, 2, 2), 2**53 + 1, "i8"), np.zeros((1, 1, 2, 2))
    with pytest.raises(ValueError, match="int64 and float64 fit into no type"):
        blocks.joined([first, second])


def test_frames_come_in_the_order_of_their_times() -> None:
    content = Content((Variable(np.arange(12).reshape(3, 2, 2), "THW"),))
    ordered = blocks.in_order(content, np.array([20, 30, 10]), HERE)
    frames = list(ordered.frames(0))
    assert [frame.time for frame in frames] == [10, 20, 30]
    assert [frame.values[0, 0, 0] for frame in frames] == [8, 0, 4]


@pytest.mark.parametrize(("dated", "shown"), [(True, "1970-01-01 00:00:20"), (False, "20000000")])
def test_a_time_that_is_there_twice_is_named(dated: bool, shown: str) -> None:
    content = Content((Variable(np.zeros((3, 2, 2)), "THW"),))
    moments = np.array([20_000_000, 0, 20_000_000])
    with pytest.raises(BadInput, match=rf"a.nc: holds the time {shown} twice, .* 1 and 3; remove"):
        blocks.in_order(content, moments, HERE, dated=dated)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("a/t2", ["a/t2"]),
        ("a/t*", ["a/t1", "a/t2", "a/t10"]),  # in natural order, and no deeper
        ("*/t1", ["a/t1", "b/t1"]),
        ("v/*", ["v/t0.25", "v/t0.5", "v/t0.75", "v/t1.0"]),  # as names of files do
        ("t*", []),
        ("[x]", ["[x]"]),  # a name comes before a pattern
    ],
)
def test_a_pattern_names_datasets_in_natural_order(wanted: str, found: list[str]) -> None:
    names = ["a/t1", "a/t10", "a/t2", "a/c/t1", "b/t1", "[x]"]
    names += ["v/t0.5", "v/t0.25", "v/t1.0", "v/t0.75"]
    assert blocks.matching(wanted, names) == found


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_last_axis_of_few_is_not_taken_for_columns(channels: int) -> None:
    with pytest.raises(BadInput, match=r"set raw_axes=HWC .* 64 x"):
        blocks.axes_of((48, 64, channels), HERE, reading_of())
    assert blocks.axes_of((48, 64, channels), HERE, reading_of(raw_axes="HWC")) == "HWC"


def test_a_frame_of_too_many_channels_is_refused_before_it_is_read() -> None:
    array = np.lib.stride_tricks.as_strided(np.zeros(1), (10**6, 10, 10), (0, 0, 0))
    with pytest.raises(BadInput, match="max_pixels = 1000"):
        Variable(array, "CHW").check(HERE, reading_of(max_pixels=1000))
