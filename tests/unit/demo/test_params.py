"""The demo is of a kind that is drawn, and not smaller than the frames that are scored."""

import pytest

from convlstm.demo.params import Demo
from tests.builders import faults_of, params_of


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"demo_kind": "snow"}, "here: demo_kind = 'snow': should be 'rain' or 'digits'"),
        ({"demo_size": 6}, "here: demo_size = 6: should be greater than or equal to 7"),
        ({"demo_seed": -1}, "here: demo_seed = -1: should be greater than or equal to 0"),
        ({"demo_sequences": 0}, "here: demo_sequences = 0: should be greater than or equal to 1"),
        ({"demo_digits": ""}, "here: demo_digits = '': should not be empty"),
    ],
)
def test_a_demo_that_cannot_be_drawn_is_refused(changes: dict[str, object], line: str) -> None:
    assert faults_of(Demo, **changes) == [line]


def test_the_smallest_demo_is_one_frame_of_7_x_7() -> None:
    params_of(Demo, demo_sequences=1, demo_frames=1, demo_size=7, demo_seed=0)
