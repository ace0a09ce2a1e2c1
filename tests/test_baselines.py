"""What any network must beat, by hand."""

from collections.abc import Callable

import numpy as np
import pytest

from convlstm import baselines

CONTEXT = np.arange(24, dtype=np.float32).reshape(2, 3, 1, 2, 2)


def test_zeros_are_nothing_everywhere() -> None:
    np.testing.assert_array_equal(baselines.zeros(CONTEXT, 4), np.zeros((2, 4, 1, 2, 2)))


def test_persistence_repeats_the_last_frame() -> None:
    forecast = baselines.persistence(CONTEXT, 2)
    assert forecast.shape == (2, 2, 1, 2, 2)
    for lead in range(2):
        np.testing.assert_array_equal(forecast[0, lead, 0], [[8, 9], [10, 11]])
        np.testing.assert_array_equal(forecast[1, lead, 0], [[20, 21], [22, 23]])


@pytest.mark.parametrize("forecast", [baselines.zeros, baselines.persistence])
@pytest.mark.parametrize("leads", [1, 10])
def test_a_baseline_has_the_shape_and_type_of_what_follows(
    forecast: Callable[[np.ndarray, int], np.ndarray], leads: int
) -> None:
    context = np.ones((2, 3, 3, 5, 7), np.float32)
    following = forecast(context, leads)
    assert following.shape == (2, leads, 3, 5, 7)
    assert following.dtype == np.float32  # as the network's own
