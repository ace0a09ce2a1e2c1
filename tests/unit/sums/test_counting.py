"""Counts of members and of numbers, by hand and by NumPy."""

import numpy as np
import pytest
import torch

from convlstm.sums.counting import chosen_by, histogram


@pytest.mark.parametrize("members", [1, 255, 256, 300])
def test_any_number_of_members_is_counted(members: int) -> None:
    choices = torch.ones(members, 2, 3, dtype=torch.bool)
    choices[0, 0, 0] = False
    assert chosen_by(choices).tolist() == [[members - 1, members, members], [members] * 3]


def test_the_histogram_of_each_frame_is_numpys_of_its_measured_pixels() -> None:
    random = np.random.default_rng(0)
    numbers, mask = random.integers(0, 5, (3, 2, 1, 6, 7)), random.random((2, 1, 6, 7)) < 0.7
    found = histogram(torch.from_numpy(numbers), torch.from_numpy(mask), 5).tolist()
    for forecast, frame in np.ndindex(3, 2):
        expected = np.bincount(numbers[forecast, frame][mask[frame]], minlength=5)
        assert found[forecast][frame] == expected.tolist()
