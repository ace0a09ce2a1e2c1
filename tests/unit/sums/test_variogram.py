"""The variogram score as loops over pairs have it, and who wins by it."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from convlstm.scores import variogram
from convlstm.sums import variogram as variogram_sums

SHAPE = (2, 2, 20, 9)  # lead, channel, row, col; no pair of a row is 16 pixels apart


def drawn(members: int) -> tuple[np.ndarray, np.ndarray]:
    numbers = np.random.default_rng(0).random((members + 1, *SHAPE), np.float32)
    return numbers[:-1], numbers[-1]


def whole(truth: np.ndarray) -> np.ndarray:
    return np.ones(truth.shape, bool)


def sums(members: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """The sums of each of several forecasts, by ensembles of (member, forecast, ...)."""
    measured = whole(truth) if mask is None else mask
    return variogram_sums.sums(*map(torch.from_numpy, (members, truth, measured))).numpy()


def score(members: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    (own,) = sums(members[:, None], truth, mask)
    return variogram.scores(own, value_width=50.0)["variogram"]


def looped(members: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> list[float]:
    """Scheuerer and Hamill's equation 5 with p = 0.5, pair by pair, over the sum of weights."""
    found = []
    rows, cols = truth.shape[-2:]
    for lead, frame in enumerate(truth):
        total = weights = 0.0
        for channel, row, col in np.ndindex(*frame.shape):
            for distance, (down, right) in product((1, 4, 16), ((1, 0), (0, 1))):
                other = (channel, row + distance * down, col + distance * right)
                if other[1] >= rows or other[2] >= cols:
                    continue
                here = (channel, row, col)
                if not (mask[(lead, *here)] and mask[(lead, *other)]):
                    continue
                true = abs(float(frame[here]) - float(frame[other])) ** 0.5
                roots = [
                    abs(float(member[lead][here]) - float(member[lead][other])) ** 0.5
                    for member in members
                ]
                total += (true - sum(roots) / len(roots)) ** 2 / distance
                weights += 1 / distance
        found.append(50 * total / weights)
    return found


@pytest.mark.parametrize("count", [1, 3])
def test_the_score_is_that_of_loops_over_pairs(count: int) -> None:
    members, truth = drawn(count)
    mask = np.random.default_rng(1).random(SHAPE) < 0.7
    np.testing.assert_allclose(score(members, truth, mask), looped(members, truth, mask), rtol=1e-5)


def test_the_score_by_hand() -> None:
    truth = np.array([[[[0, 1]]]], np.float32)
    members = np.array([[[[[0.5, 0.25]]]], [[[[0, 0]]]]], np.float32)
    # one pair: 1 - (1/2 + 0) / 2, squared, of 50
    assert score(members, truth) == pytest.approx([50 * 0.75**2])


def test_forecasts_are_scored_as_if_each_came_alone_and_a_perfect_one_scores_zero() -> None:
    members, truth = drawn(3)
    for alone, own in zip(members, sums(members[None], truth), strict=True):
        np.testing.assert_array_equal(own, sums(alone[None, None], truth)[0])
    assert score(truth[None], truth).tolist() == [0, 0]


def test_a_frame_without_a_pair_has_no_score() -> None:
    truth = np.zeros((1, 1, 1, 1), np.float32)
    assert np.isnan(score(truth[None], truth)).all()
    members, truth = drawn(2)
    assert np.isnan(score(members, truth, whole(truth) & False)).all()


def test_members_that_vary_as_the_truth_does_beat_blurred_and_noisy_ones() -> None:
    random = np.random.default_rng(1)
    fields = gaussian_filter(random.normal(size=(9, 1, 1, 90, 90)), (0, 0, 0, 2, 2))
    fields = (fields / fields.std()).astype(np.float32)
    truth, members = fields[0], fields[1:]
    alike = score(members, truth)
    assert score(gaussian_filter(members, (0, 0, 0, 2, 2)), truth) > 1.1 * alike
    noise = random.normal(size=members.shape).astype(np.float32)
    assert score(members + noise, truth) > 1.1 * alike


def test_missing_pixels_count_nowhere() -> None:
    members, truth = drawn(3)
    mask = np.random.default_rng(2).random(SHAPE) < 0.6
    before = score(members, truth, mask)
    np.testing.assert_array_equal(score(members, np.where(mask, truth, 9), mask), before)
