"""Noise has the variance, the memory and the motion that it is told, and comes from a seed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from convlstm.model.noise import Scales, bands_of, draw_noise

SCALES = Scales.of((1.0, 4.0), 4)
LIFETIMES = torch.tensor([1.5, 3.0, 6.0, 12.0])


def test_scales_below_three_quarters_of_a_patch_are_of_the_grid_of_pixels() -> None:
    assert Scales((1.0,), (4.0,), 4, noisy=True) == SCALES
    assert (SCALES.fine_bands, SCALES.coarse_bands, SCALES.tops) == (2, 2, (1.0, 3.0, 4.0, 4.0))
    assert Scales.of((1.0, 3.0, 4.0), 4) == SCALES  # 3 is there anyway
    whole = Scales.of((1.0, 4.0), 1)  # a patch of one pixel has nothing finer
    assert (whole.fine, whole.fine_bands, whole.coarse_bands) == ((), 0, 3)


def test_noise_has_variance_1_and_forgets_as_its_band_does() -> None:
    sky = torch.randn(40, 2, 6, 96, 80, generator=torch.Generator().manual_seed(0))
    fine, coarse = bands_of(sky, torch.zeros(2, 6, 2, 96, 80), SCALES, LIFETIMES)
    assert fine.shape == (40, 2, 6, 2, 96, 80)
    assert coarse.shape == (40, 2, 6, 2, 24, 20)
    for own, lifetime in zip((*fine.unbind(3), *coarse.unbind(3)), LIFETIMES, strict=True):
        assert own.var().item() == pytest.approx(1, rel=0.05)
        remembered = (own[:, :, 1:] * own[:, :, :-1]).mean() / own.var()
        assert remembered.item() == pytest.approx(np.exp(-1 / lifetime.item()), abs=0.03)


def test_within_a_band_power_falls_with_the_third_power_of_the_wavenumber() -> None:
    # of the finest band, by NumPy, where its Gaussian, 1 - exp(-2 (pi k)^2), is divided out
    sky = torch.randn(200, 1, 1, 96, 96, generator=torch.Generator().manual_seed(0))
    fine = bands_of(sky, torch.zeros(1, 1, 2, 96, 96), SCALES, LIFETIMES).fine
    line = np.abs(np.fft.fft2(fine[:, 0, 0, 0].numpy())[:, 0]) ** 2
    wavenumber = np.fft.fftfreq(96)[24:48]
    power = line.mean(axis=0)[24:48] / (1 - np.exp(-2 * (np.pi * wavenumber) ** 2)) ** 2
    slope, _ = np.polyfit(np.log(wavenumber), np.log(power), 1)
    assert slope == pytest.approx(-3, abs=0.3)


def test_noise_moves_with_the_rain_and_comes_back_at_the_other_edge() -> None:
    sky = torch.randn(2, 1, 2, 24, 20)
    still = bands_of(sky, torch.zeros(1, 2, 2, 24, 20), SCALES, LIFETIMES)
    way = torch.tensor([8.0, -12.0])[:, None, None].expand(1, 2, 2, 24, 20)
    moved = bands_of(sky, way, SCALES, LIFETIMES)
    assert torch.equal(moved.fine, still.fine.roll((8, -12), dims=(4, 5)))
    torch.testing.assert_close(moved.coarse, still.coarse.roll((2, -3), dims=(4, 5)))


def test_coarse_noise_between_patches_keeps_its_variance() -> None:
    sky = torch.randn(30, 1, 1, 96, 96, generator=torch.Generator().manual_seed(0))
    way = torch.full((1, 1, 2, 96, 96), 2.0)  # half a patch, where an interpolation blurs most
    scales = Scales.of((1.0, 6.0), 4)
    coarse = bands_of(sky, way, scales, LIFETIMES).coarse
    assert coarse[:, :, :, 1].var().item() == pytest.approx(1, rel=0.1)


def test_a_seed_decides_every_member_and_their_number_does_not() -> None:
    few, many, other = (
        torch.cat([*draw_noise(members, (2, 3, 6, 5), torch.Generator().manual_seed(seed), 2)])
        for members, seed in ((2, 7), (5, 7), (2, 8))
    )
    assert many.shape == (5, 2, 3, 6, 5)
    assert torch.equal(few, many[:2])
    assert not torch.equal(few, other)
    assert not torch.equal(many[0], many[1])
    assert many[4].any()  # the fifth comes alone, and has noise all the same


def test_one_member_has_no_noise_but_takes_its_numbers() -> None:
    first, second = (torch.Generator().manual_seed(7) for _ in range(2))
    (silent,) = draw_noise(1, (2, 3, 6, 5), first, 4)
    assert not silent.any()
    torch.randn(2, 3, 6, 5, generator=second)
    assert torch.equal(first.get_state(), second.get_state())


def test_noise_is_drawn_on_one_thread() -> None:
    """Threads of a second team make those of a step sleep at each of its operations."""

    def threads_after(draw: Callable[[], object]) -> int:
        torch.set_num_threads(2)  # of this thread
        tasks = Path("/proc/self/task")
        before = len([*tasks.iterdir()])
        draw()
        return len([*tasks.iterdir()]) - before

    def noise(members: int) -> list[torch.Tensor]:
        return list(draw_noise(members, (4, 10, 96, 96), torch.Generator(), together=members))

    usual = torch.get_num_threads()
    for draw, more in ((lambda: noise(2), 0), (lambda: noise(1), 0), (lambda: noise(2)[0] * 2, 1)):
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(threads_after, draw).result() == more
    torch.set_num_threads(usual)
