"""Params of the plot stage that no film can have are refused."""

import pytest
from pydantic import ValidationError

from convlstm.plot.params import Plot
from tests.builders import params_of


@pytest.mark.parametrize("rate", [1, 4, 50])
def test_a_rate_that_a_gif_can_have_is_taken(rate: int) -> None:
    assert params_of(Plot, gif_frames_per_second=rate).gif_frames_per_second == rate


@pytest.mark.parametrize("rate", [0, 51, -4, 4.0, "4", True, None])
def test_any_other_rate_is_refused(rate: object) -> None:
    # browsers show a GIF of more than 50 frames per second at 10
    with pytest.raises(ValidationError, match="gif_frames_per_second"):
        params_of(Plot, gif_frames_per_second=rate)


def test_the_rate_has_no_default() -> None:
    with pytest.raises(ValidationError, match="gif_frames_per_second"):
        Plot.model_validate({})
