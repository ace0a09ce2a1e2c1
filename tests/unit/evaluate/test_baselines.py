"""Baselines are what their names say, by hand; advection follows blobs of known motion."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from convlstm.evaluate import baselines
from convlstm.evaluate.baselines import Context
from convlstm.model import motion
from convlstm.model.batches import Batches
from tests.builders import open_patches, patches_of

CONTEXT = np.arange(24, dtype=np.float32).reshape(2, 3, 1, 2, 2)
CPU = torch.device("cpu")


def forecast_by(
    baseline: Callable[[Context], torch.Tensor], context: np.ndarray, leads: int
) -> np.ndarray:
    return baseline(Context(torch.from_numpy(context), leads)).numpy()


def test_zeros_are_nothing_everywhere() -> None:
    np.testing.assert_array_equal(
        forecast_by(baselines.zeros, CONTEXT, 4), np.zeros((2, 4, 1, 2, 2))
    )


def test_persistence_repeats_the_last_frame() -> None:
    forecast = forecast_by(baselines.persistence, CONTEXT, 2)
    assert forecast.shape == (2, 2, 1, 2, 2)
    for lead in range(2):
        np.testing.assert_array_equal(forecast[0, lead, 0], [[8, 9], [10, 11]])
        np.testing.assert_array_equal(forecast[1, lead, 0], [[20, 21], [22, 23]])


@pytest.mark.parametrize("forecast", [baselines.zeros, baselines.persistence])
@pytest.mark.parametrize("leads", [1, 10])
def test_a_baseline_has_the_shape_and_type_of_what_follows(
    forecast: Callable[[Context], torch.Tensor], leads: int
) -> None:
    context = np.ones((2, 3, 3, 5, 7), np.float32)
    following = forecast_by(forecast, context, leads)
    assert following.shape == (2, leads, 3, 5, 7)
    assert following.dtype == np.float32  # as the network's own


def test_climatology_is_the_same_whatever_the_context() -> None:
    climatology = partial(baselines.climatology, torch.full((1, 2, 2), 0.25))
    found = forecast_by(climatology, CONTEXT, 3)
    np.testing.assert_array_equal(found, np.full((2, 3, 1, 2, 2), 0.25))


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
    flow = motion.motion(frames, torch.ones_like(frames))[0].numpy()
    middle = flow[:, 20:52, 20:52].mean(axis=(1, 2))
    np.testing.assert_allclose(middle, velocity, atol=0.25)


@pytest.mark.parametrize("velocity", [(0.0, 1.5), (-1.0, 1.0)])
def test_advection_carries_the_last_frame_on(velocity: tuple[float, float]) -> None:
    film = blobs(velocity)
    context, truth = film[:, :10], film[:, 10:]
    forecast = forecast_by(baselines.advection, context, 4)
    stays = forecast_by(baselines.persistence, context, 4)
    inner = np.s_[..., 12:60, 12:60]
    for lead in range(4):
        moved = ((forecast[0, lead] - truth[0, lead])[inner] ** 2).mean()
        still = ((stays[0, lead] - truth[0, lead])[inner] ** 2).mean()
        assert moved < still / 4


def test_what_stands_still_stays() -> None:
    film = blobs((0.0, 0.0))
    np.testing.assert_allclose(
        forecast_by(baselines.advection, film[:, :10], 4), film[:, 10:], atol=1e-3
    )


def test_advection_of_nothing_is_nothing() -> None:
    dry = np.zeros((1, 3, 2, 20, 30), np.float32)
    np.testing.assert_array_equal(forecast_by(baselines.advection, dry, 2), dry[:, :2])


@pytest.mark.parametrize("shape", [(1, 1, 7, 7), (2, 1, 8, 9), (10, 3, 15, 31)])
def test_any_context_of_any_size_can_be_carried_on(shape: tuple[int, ...]) -> None:
    context = np.random.default_rng(0).random((2, *shape), np.float32)
    forecast = forecast_by(baselines.advection, context, 3)
    assert forecast.shape == (2, 3, *shape[1:])
    assert np.isfinite(forecast).all()
    if shape[0] == 1:  # from one frame nobody can tell its motion
        np.testing.assert_array_equal(forecast, forecast_by(baselines.persistence, context, 3))


NOISE = np.random.default_rng(3).random((1, 20, 20), np.float32)


def smoothed_by(fit: baselines.Smoothing) -> np.ndarray:
    """The forecast of two lead times from three frames that stand still."""
    smoothed = partial(baselines.smoothed, [(slice(None), fit)])
    return forecast_by(smoothed, np.stack([NOISE] * 3)[None], 2)


def smoothing_of(folder: Path, *following: np.ndarray) -> baselines.Smoothing:
    """The fit to three sequences that stand still for three frames, and then become `following`."""
    film = np.stack([NOISE, NOISE, NOISE, *following])
    path = patches_of(
        folder,
        {"a": film, "b": 1 - film, "c": film},  # only the first one trains
        context_frames=3,
        forecast_frames=2,
        stride=5,
        split=(0.34, 0.33, 0.33),
        value_range=(0.0, 1.0),
        missing_value=(-1.0,),
        out_of_range="clip",
    )
    with open_patches(path) as stored:
        return baselines.fit_smoothing(Batches(stored, repeated=False), CPU)


def test_the_smoothing_finds_the_line_that_made_the_truth_of_each_lead_time(
    tmp_path: Path,
) -> None:
    fit = smoothing_of(tmp_path, 0.5 * NOISE + 0.1, 0.2 * NOISE + 0.3)
    np.testing.assert_array_equal(fit.width, [0, 0])
    np.testing.assert_allclose(fit.factor, [0.5, 0.2], atol=1e-5)
    np.testing.assert_allclose(fit.offset, [0.1, 0.3], atol=1e-5)


def test_the_smoothing_finds_the_blur_that_made_the_truth(tmp_path: Path) -> None:
    blurred = [gaussian_filter(NOISE, (0, width, width), mode="nearest") for width in (1.5, 4)]
    fit = smoothing_of(tmp_path, *blurred)
    np.testing.assert_array_equal(fit.width, [1.5, 4])
    np.testing.assert_allclose(fit.factor, 1, atol=1e-4)
    forecast = smoothed_by(fit)
    np.testing.assert_allclose(forecast[0], blurred, atol=1e-4)
    assert forecast.dtype == np.float32


def test_a_missing_pixel_of_the_truth_does_not_shape_the_smoothing(tmp_path: Path) -> None:
    holed = 0.5 * NOISE
    holed[:, 5:9, :] = -1
    fit = smoothing_of(tmp_path, holed, holed)
    np.testing.assert_allclose(fit.factor, 0.5, atol=1e-5)
    np.testing.assert_allclose(fit.offset, 0, atol=1e-5)


def test_what_tells_nothing_is_shrunk_to_the_mean_of_the_truth(tmp_path: Path) -> None:
    flat = np.full_like(NOISE, 0.25)
    fit = smoothing_of(tmp_path, flat, flat)
    forecast = smoothed_by(fit)
    np.testing.assert_allclose(forecast, 0.25, atol=1e-5)


def test_the_smoothing_of_a_dry_training_is_zero(tmp_path: Path) -> None:
    dry = np.zeros((5, 1, 20, 20), np.float32)
    path = patches_of(
        tmp_path,
        {"a": dry, "b": dry, "c": dry},
        context_frames=3,
        forecast_frames=2,
        split=(0.34, 0.33, 0.33),
    )
    with open_patches(path) as stored:
        fit = baselines.fit_smoothing(Batches(stored, repeated=False), CPU)
    assert fit.factor.tolist() == fit.offset.tolist() == [0, 0]


@pytest.mark.parametrize("width", [0.0, 0.7, 4.0, 14.0])
def test_a_blur_is_scipys_with_the_nearest_pixel_outside(width: float) -> None:
    frames = np.random.default_rng(0).random((2, 3, 17, 31), np.float32)
    expected = gaussian_filter(frames, (0, 0, width, width), mode="nearest")
    found = baselines.blurred(torch.from_numpy(frames), width)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_motion_of_a_context_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def spy(*given: torch.Tensor) -> torch.Tensor:
        calls.append(len(given))
        return motion.motion(*given)

    monkeypatch.setattr(baselines, "motion", spy)
    context = Context(torch.from_numpy(CONTEXT), 2)
    fit = baselines.Smoothing(*(np.full(2, value) for value in (1.0, 0.5, 0.0)))
    first = baselines.advection(context).clone()
    baselines.smoothed([(slice(None), fit)], context)
    assert torch.equal(baselines.advection(context), first)  # which no smoothing has changed
    assert len(calls) == 1
