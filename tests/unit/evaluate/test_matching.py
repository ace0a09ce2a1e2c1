"""The probability-matched mean: the members' values at the places that the mean ranks."""

import numpy as np
import pytest
import torch

from convlstm.evaluate import matching
from convlstm.evaluate.matching import PICTURES


def probability_matched_mean(members: np.ndarray) -> np.ndarray:
    return matching.probability_matched_mean(torch.from_numpy(members)).numpy()


def drawn(members: int) -> np.ndarray:
    """Members of two lead times and two channels, of which a half is exactly 0."""
    numbers = np.random.default_rng(0).random((members, 2, 2, 12, 10), np.float32)
    return np.maximum(2 * numbers - 1, 0)


def test_the_picture_of_three_members_by_hand() -> None:
    members = np.array([[0, 9, 0, 3], [2, 6, 0, 1], [1, 3, 0, 8]], np.float32)
    found = probability_matched_mean(members.reshape(3, 1, 1, 2, 2))
    # the mean is 1, 6, 0, 4; pooled 0 0 0, 0 1 1, 2 3 3, 6 8 9: of each three the middle one
    assert found.ravel().tolist() == [1, 8, 0, 3]


@pytest.mark.parametrize("count", [2, 3, 8])
def test_the_picture_ranks_as_the_mean_and_has_values_of_the_members_frame_by_frame(
    count: int,
) -> None:
    members = drawn(count)
    found, mean = probability_matched_mean(members), members.mean(axis=0)
    for lead, channel in np.ndindex(2, 2):
        ours, ranked = found[lead, channel].ravel(), mean[lead, channel].ravel()
        assert (np.diff(ours[np.argsort(ranked)]) >= 0).all()
        pooled = np.sort(members[:, lead, channel].ravel())
        np.testing.assert_array_equal(np.sort(ours), pooled[count // 2 :: count])


def test_what_all_members_have_dry_stays_dry_and_the_picture_is_as_strong_as_a_member() -> None:
    members = drawn(8)
    members[..., :4, :] = 0
    found = probability_matched_mean(members)
    assert not found[..., :4, :].any()
    assert members.mean(axis=0).std() < 0.6 * members[0].std()
    assert found.std() == pytest.approx(members[0].std(), rel=0.1)


def test_of_equal_members_the_picture_is_each_of_them() -> None:
    member = np.random.default_rng(0).random((2, 1, 7, 5), np.float32)
    np.testing.assert_array_equal(probability_matched_mean(np.stack([member] * 4)), member)


def test_the_pictures_are_of_one_forecast() -> None:
    members = torch.from_numpy(drawn(3))
    assert list(PICTURES) == ["pm_mean", "member"]
    assert torch.equal(matching.first_member(members), members[0])
    assert all(draw(members).shape == members.shape[1:] for draw in PICTURES.values())


def test_windows_of_a_batch_are_drawn_as_each_alone() -> None:
    members = np.stack([drawn(3), drawn(3)[:, ::-1]], axis=1)
    together = probability_matched_mean(members)
    for number in range(2):
        alone = probability_matched_mean(np.ascontiguousarray(members[:, number]))
        np.testing.assert_array_equal(together[number], alone)
