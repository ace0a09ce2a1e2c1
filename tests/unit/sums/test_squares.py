"""Sums over squares are those of SciPy's convolution, exact, for any side."""

import pytest
import torch
from scipy.signal import convolve2d

from convlstm.sums.squares import in_squares


@pytest.mark.parametrize("side", range(1, 13))
def test_sums_are_those_of_a_convolution_with_ones(side: int) -> None:
    frames = torch.randint(0, 255, (2, 12, 17), generator=torch.Generator().manual_seed(0))
    found = in_squares(frames, side)
    ones = torch.ones(side, side, dtype=torch.int64)
    for frame, own in zip(frames, found, strict=True):
        assert own.tolist() == convolve2d(frame, ones, mode="valid").tolist()


def test_a_frame_that_is_smaller_than_the_square_has_none() -> None:
    assert in_squares(torch.ones(3, 5, 9), 6).shape == (3, 0, 4)
