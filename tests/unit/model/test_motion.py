"""Known shifts are found, missing pixels tell nothing, and maps are carried where they belong."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, map_coordinates, uniform_filter
from torch import Tensor

from convlstm.model.motion import blocks, carried, carried_maps, motion, paths


def moving(down: float, right: float, frames: int = 6) -> Tensor:
    """Blobs of 8 pixels that move by so much at each frame, cut out of a larger field."""
    field = gaussian_filter(np.random.default_rng(0).normal(size=(260, 260)), 4)
    field = np.clip(field / field.std(), 0, None) / 3
    row, col = np.mgrid[80:176, 80:160].astype(float)
    window = [
        map_coordinates(field, [row - down * time, col - right * time], order=1)
        for time in range(frames)
    ]
    return torch.tensor(np.stack(window), dtype=torch.float32)[None]


def everywhere(frames: Tensor) -> Tensor:
    return torch.ones_like(frames)


@pytest.mark.parametrize(("down", "right"), [(0.0, 0.0), (1.3, -2.2), (6.0, 5.0), (-9.0, 3.0)])
def test_a_known_motion_is_found_to_a_quarter_of_a_pixel(down: float, right: float) -> None:
    frames = moving(down, right)
    found = motion(frames, everywhere(frames))
    assert found.shape == (1, 2, 96, 80)
    error = (found - torch.tensor([down, right])[:, None, None]).abs()
    assert error.mean() < 0.25
    assert error.max() < 1.5


def test_what_lies_under_the_mask_tells_nothing() -> None:
    frames = moving(2.0, 1.0)
    mask = everywhere(frames)
    mask[:, :, :40] = 0
    other = torch.where(mask > 0, frames, torch.rand_like(frames))
    torch.testing.assert_close(motion(frames, mask), motion(other, mask))
    assert (motion(frames, mask) - motion(frames, everywhere(frames))).abs().max() > 0


def test_one_frame_or_an_empty_sky_does_not_move() -> None:
    frames = moving(2.0, 1.0)
    assert not motion(frames[:, :1], everywhere(frames[:, :1])).any()
    assert not motion(torch.zeros_like(frames), everywhere(frames)).any()


def test_each_window_of_a_batch_has_its_own_motion() -> None:
    windows = [moving(2.0, 1.0), moving(-3.0, 0.0)]
    both = torch.cat(windows)
    for number, window in enumerate(windows):
        alone = motion(window, everywhere(window))[0]
        torch.testing.assert_close(motion(both, everywhere(both))[number], alone)


def test_maps_are_carried_by_whole_pixels_as_a_shifted_array_is() -> None:
    maps = torch.rand(1, 3, 7, 9)
    way = torch.tensor([2.0, -3.0])[None, :, None, None].expand(1, 2, 7, 9)
    expected = torch.zeros_like(maps)
    expected[:, :, 2:, :-3] = maps[:, :, :-2, 3:]
    torch.testing.assert_close(carried(maps, way), expected)
    beyond = carried(maps, way, padding="border")[:, :, 2:, -3:]
    torch.testing.assert_close(beyond, maps[:, :, :-2, -1:].expand_as(beyond))


def test_the_path_of_a_uniform_motion_grows_by_it_at_each_lead_time() -> None:
    flow = torch.tensor([1.5, -0.5])[None, :, None, None].expand(1, 2, 6, 8)
    for lead, way in enumerate(paths(flow, 4).unbind(dim=1), start=1):
        torch.testing.assert_close(way, lead * flow)


def test_blocks_are_the_uniform_filter_of_scipy_away_from_the_edges() -> None:
    maps = torch.rand(1, 1, 12, 14)
    expected = uniform_filter(maps[0, 0].numpy(), 5)[2:-2, 2:-2]
    np.testing.assert_allclose(blocks(maps, 2)[0, 0, 2:-2, 2:-2], expected, rtol=1e-5)
    assert torch.allclose(blocks(torch.ones(1, 1, 5, 5), 9), torch.ones(1))  # edges count less


@pytest.mark.parametrize("size", [(6, 5), (1, 4), (1, 1)])
def test_maps_with_a_gradient_are_carried_as_by_torch(size: tuple[int, int]) -> None:
    maps = torch.rand(2, 3, 4, *size, dtype=torch.float64, requires_grad=True)
    ways = 4 * torch.randn(2, 3, 2, *size, dtype=torch.float64)
    moved = carried_maps(maps, ways)
    for lead in range(3):
        expected = carried(maps[:, lead], ways[:, lead], padding="border")
        if min(size) > 1:  # torch's own divides by the size less one
            torch.testing.assert_close(moved[:, lead], expected)
    assert torch.autograd.gradcheck(lambda own: carried_maps(own, ways), maps)
