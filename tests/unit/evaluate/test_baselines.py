"""Baselines are what their names say, by hand; advection follows blobs of known motion."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from convlstm.evaluate import baselines
from convlstm.model import motion

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


def test_climatology_is_the_same_whatever_the_context() -> None:
    mean = np.full((1, 2, 2), 0.25, np.float32)
    np.testing.assert_array_equal(
        baselines.climatology(mean, CONTEXT, 3), np.full((2, 3, 1, 2, 2), 0.25)
    )


def blobs(velocity: tuple[float, float], frames: int = 14, size: int = 72) -> np.ndarray:
    """Soft spots of several sizes that all move by `velocity` pixels per frame, down and right."""
    rows, cols = np.mgrid[:size, :size]
    drawn = np.zeros((frames, size, size), np.float32)
    for row, col, width in ((20, 20, 6), (50, 30, 4), (30, 52, 5), (52, 55, 7)):
        for time, frame in enumerate(drawn):
            away = (rows - row - velocity[0] * time) ** 2 + (cols - col - velocity[1] * time) ** 2
            frame += np.exp(-away / (2 * width**2))
    return np.asarray(drawn[None, :, None] / drawn.max())


@pytest.mark.parametrize("velocity", [(0.0, 1.5), (1.5, 0.0), (-1.0, 1.0), (0.5, -2.0)])
def test_motion_has_the_sign_and_the_speed_of_the_shift(velocity: tuple[float, float]) -> None:
    frames = torch.from_numpy(blobs(velocity)[:, :10, 0])
    flow = motion.motion(frames, torch.ones_like(frames, dtype=torch.bool))[0].numpy()
    middle = flow[:, 20:52, 20:52].mean(axis=(1, 2))
    np.testing.assert_allclose(middle, velocity, atol=0.25)


@pytest.mark.parametrize("velocity", [(0.0, 1.5), (-1.0, 1.0)])
def test_advection_carries_the_last_frame_on(velocity: tuple[float, float]) -> None:
    film = blobs(velocity)
    context, truth = film[:, :10], film[:, 10:]
    forecast = baselines.advection(context, 4)
    stays = baselines.persistence(context, 4)
    inner = np.s_[..., 12:60, 12:60]
    for lead in range(4):
        moved = ((forecast[0, lead] - truth[0, lead])[inner] ** 2).mean()
        still = ((stays[0, lead] - truth[0, lead])[inner] ** 2).mean()
        assert moved < still / 4


def test_what_stands_still_stays() -> None:
    film = blobs((0.0, 0.0))
    np.testing.assert_allclose(baselines.advection(film[:, :10], 4), film[:, 10:], atol=1e-3)


def test_advection_of_nothing_is_nothing() -> None:
    dry = np.zeros((1, 3, 2, 20, 30), np.float32)
    np.testing.assert_array_equal(baselines.advection(dry, 2), dry[:, :2])


@pytest.mark.parametrize("shape", [(1, 1, 7, 7), (2, 1, 8, 9), (10, 3, 15, 31)])
def test_any_context_of_any_size_can_be_carried_on(shape: tuple[int, ...]) -> None:
    context = np.random.default_rng(0).random((2, *shape), np.float32)
    forecast = baselines.advection(context, 3)
    assert forecast.shape == (2, 3, *shape[1:])
    assert np.isfinite(forecast).all()
    if shape[0] == 1:  # from one frame nobody can tell its motion
        np.testing.assert_array_equal(forecast, baselines.persistence(context, 3))
