"""Means, interpolation and blurs, by torch's and SciPy's own."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate

from convlstm.model.grids import blur, blur_measured, enlarge, shrink
from convlstm.patch.folding import fold, unfold


def test_shrinking_takes_the_means_of_patches() -> None:
    maps = torch.rand(2, 3, 8, 6)
    expected = maps.reshape(2, 3, 4, 2, 3, 2).mean(dim=(3, 5))
    torch.testing.assert_close(shrink(maps, 2), expected)


@pytest.mark.parametrize("patch_size", [1, 2, 4])
def test_enlarging_is_the_bilinear_interpolation_of_torch(patch_size: int) -> None:
    maps = torch.rand(2, 3, 5, 7)
    expected = interpolate(maps, scale_factor=patch_size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(enlarge(maps, patch_size), expected)


@pytest.mark.parametrize("scale", [0.8, 3.0])
def test_blur_is_the_gaussian_filter_of_scipy(scale: float) -> None:
    maps = torch.rand(2, 1, 30, 26, dtype=torch.float64)
    reach = round(3 * scale)
    for own, result in zip(maps[:, 0], blur(maps, scale)[:, 0], strict=True):
        expected = gaussian_filter(own.numpy(), scale, mode="nearest", radius=reach)
        np.testing.assert_allclose(result, expected, rtol=1e-9)


def test_a_blur_of_what_is_measured_does_not_see_the_rest() -> None:
    maps, measured = torch.full((1, 1, 20, 20), 0.7), torch.ones(1, 1, 20, 20)
    measured[..., :8, :] = 0
    result = blur_measured(maps * measured, measured, 2.0)
    torch.testing.assert_close(result[..., 4:, :], maps[..., 4:, :])  # reached from row 8
    assert not result[..., 0, :].any()  # farther than three deviations from all that is measured


def test_folding_on_a_device_is_the_folding_of_the_patch_stage() -> None:
    folded = torch.rand(3, 2, 18, 4, 5)
    pixels = unfold(folded, 3)
    np.testing.assert_array_equal(pixels, unfold(folded.numpy(), 3))
    assert torch.equal(fold(pixels, 3), folded)
