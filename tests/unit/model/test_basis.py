"""The basis: bands that add up to the carried frame, whatever is missing, and what enters."""

import pytest
import torch
from torch import Tensor

from convlstm.model import motion
from convlstm.model.basis import Basis, basis_of, inputs_of
from convlstm.model.grids import blur, enlarge
from convlstm.model.noise import Scales
from convlstm.patch.folding import fold

KNOWN, LEADS, PATCH = 4, 3, 2
SCALES = Scales.of((0.5, 3.0), PATCH)


def window() -> tuple[Tensor, Tensor]:
    """Two windows of two channels, in pixels, some of which are missing."""
    frames = torch.rand(2, KNOWN, 2, 24, 20, generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(frames, dtype=torch.bool)
    mask[..., :6, :8] = False
    return frames, mask


def basis(scales: Scales = SCALES) -> Basis:
    return basis_of(*window(), LEADS, scales)


@pytest.mark.parametrize("scales", [(), (0.5,), (3.0,), (0.5, 3.0)])
def test_inside_the_bands_add_up_to_the_frame_carried_on(scales: tuple[float, ...]) -> None:
    frames, mask = window()
    own = basis(Scales.of(scales, PATCH))
    total = own.fine.sum(dim=2) + enlarge(own.coarse.sum(dim=2), PATCH)
    for lead, way in enumerate(own.ways.unbind(1)):
        seen = mask[:, -1, :1].float()
        expected = motion.carried(frames[:, -1] * mask[:, -1], way, mode="bicubic")
        # A bicubic interpolation sees two pixels to each side.
        whole = motion.carried(torch.nn.functional.max_pool2d(1 - seen, 5, 1, 2), way) == 0
        whole &= motion.carried(torch.ones_like(seen), way) == 1
        whole = whole.expand_as(expected)
        torch.testing.assert_close(total[:, lead][whole], expected[whole], atol=1e-5, rtol=0)


def test_whatever_stands_in_a_missing_pixel_changes_nothing() -> None:
    frames, mask = window()
    ones, zeros = (
        vars(basis_of(torch.where(mask, frames, fill), mask, LEADS, SCALES)).values()
        for fill in (torch.ones(()), torch.zeros(()))
    )
    for one, other in zip(ones, zeros, strict=True):
        assert torch.equal(one, other)


def test_with_noise_nothing_ends_at_the_edge_of_the_frame() -> None:
    """A frame that moves goes on beyond its edge; for the readout motion nothing is there."""
    row, col = torch.meshgrid(torch.arange(24.0), torch.arange(20.0), indexing="ij")
    times = torch.arange(KNOWN)[:, None, None]
    waves = 0.5 + 0.05 * torch.sin((row - 2 * times) / 3) * torch.cos(col / 3)
    frames = waves[None, :, None]
    mask = torch.ones_like(frames, dtype=torch.bool)
    last = LEADS - 1
    with_noise, without = (
        basis_of(frames, mask, LEADS, scales) for scales in (SCALES, Scales.of((), PATCH))
    )
    assert with_noise.inside[0, last].min() < 0.5 < with_noise.inside[0, last].max()
    assert with_noise.coarse.sum(dim=2)[0, last].min() > 0.4
    assert without.coarse.sum(dim=2)[0, last].min() < 0.1


def test_dry_is_the_part_nearby_where_nothing_falls() -> None:
    frames = torch.zeros(1, KNOWN, 1, 48, 48)
    frames[..., :24] = 0.5
    own = basis_of(frames, torch.ones_like(frames, dtype=torch.bool), LEADS, SCALES)
    assert own.dry is not None
    assert own.dry[0, 0, 0, 12, 0].item() == pytest.approx(0, abs=1e-6)
    assert own.dry[0, 0, 0, 12, -1].item() == pytest.approx(1, abs=1e-6)


def test_the_network_sees_rain_that_only_moves_standing_still() -> None:
    field = blur(torch.rand(1, 1, 100, 100, generator=torch.Generator().manual_seed(0)), 6.0)[0, 0]
    field = (field - field.min()) / (field.max() - field.min())
    views = [field[30 - 2 * time :, 10 + time :][:64, :64] for time in range(8)]
    frames = torch.stack(views)[None, :, None]
    own = basis_of(frames, torch.ones_like(frames, dtype=torch.bool), LEADS, SCALES)
    assert own.inputs.shape == (1, 8 + LEADS, inputs_of(PATCH**2), 32, 32)
    seen = own.inputs[0, :8, : PATCH**2, 12:20, 12:20]  # away from the edges
    moving = fold(frames, PATCH)[0, :, :, 12:20, 12:20]
    stands, moves = ((own[0] - own[-1]).square().mean().sqrt() for own in (seen, moving))
    assert stands < 0.7 * moves  # carried the wrong way, it would be twice as much


def test_nothing_enters_the_network_where_nothing_falls_moves_or_is_missing() -> None:
    frames = torch.zeros(1, KNOWN, 1, 24, 20)
    mask = torch.ones_like(frames, dtype=torch.bool)
    mask[..., :6, :] = False
    own = basis_of(frames, mask, LEADS, SCALES)
    assert not own.inputs[:, :KNOWN, :, 4:].any()
    assert own.inputs[:, :KNOWN, PATCH**2, 1].eq(1).all()  # patches that are missing


def test_the_distance_beyond_the_frame_is_that_of_the_paths() -> None:
    row, col = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    times = torch.arange(8)[:, None, None]
    frames = (0.5 + 0.3 * torch.sin((row - 2 * times) / 5) * torch.cos(col / 5))[None, :, None]
    own = basis_of(frames, torch.ones_like(frames, dtype=torch.bool), LEADS, SCALES)
    # 2 pixels per frame downwards, in units of 32: the air of the first patch comes from above it
    assert own.beyond[0, -1, 0, 10].item() == pytest.approx(2 * LEADS / 32, abs=0.03)
    assert own.beyond[0, -1, -1, 10].item() == 0
