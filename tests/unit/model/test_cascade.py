"""The untrained readout is an extrapolation or the sum that its equation says; gradients; clip."""

import numpy as np
import pytest
import torch
from torch import Tensor

from convlstm.model import motion
from convlstm.model.basis import basis_of
from convlstm.model.grids import enlarge
from convlstm.model.network import Architecture, Network
from convlstm.model.noise import draw_noise
from convlstm.patch.folding import unfold

SCALES = (0.5, 3.0)
KNOWN, LEADS, PATCH = 4, 3, 2


def network_of(readout: str, cell: str = "convlstm", *, trained: bool = False) -> Network:
    """A network for frames of 2 x 24 x 20 pixels, with random weights if it is `trained`."""
    torch.manual_seed(0)
    scales = SCALES if readout == "cascade" else ()
    network = Network(
        Architecture(cell, (3,), 3, 8, 12, 10, readout, scales, PATCH)  # type: ignore[arg-type] # texts
    )
    if trained:
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.2)
    return network


def window(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Two windows of folded frames and the mask of their measured pixels, some of them missing."""
    generator = torch.Generator().manual_seed(1)
    frames = torch.rand(2, KNOWN, 8, 12, 10, generator=generator, dtype=dtype)
    mask = torch.ones_like(frames, dtype=torch.bool)
    mask[:, :, :, :3, :4] = False
    return frames, mask


def white(members: int = 2, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    (sky,) = draw_noise(members, (2, LEADS, 24, 20), generator, together=members)
    return sky.to(dtype)


def forecast_of(network: Network, frames: Tensor, mask: Tensor, sky: Tensor) -> Tensor:
    (members,) = network.ensemble(frames, mask, sky.shape[2], [sky])
    return members


@pytest.mark.parametrize("cell", ["convlstm", "peephole", "lstm"])
def test_the_untrained_motion_readout_carries_the_last_frame_on(cell: str) -> None:
    frames, mask = window()
    pixels, seen = unfold(frames, PATCH), unfold(mask, PATCH).all(dim=2).to(frames.dtype)
    ways = motion.paths(motion.motion(pixels.mean(dim=2), seen), LEADS)
    last = pixels[:, -1] * seen[:, -1, None]
    expected = [motion.carried(last, way, mode="bicubic") for way in ways.unbind(1)]
    forecast = forecast_of(network_of("motion", cell), frames, mask, white(1))
    # It forgets within a million frames.
    torch.testing.assert_close(forecast[0], torch.stack(expected, 1).clamp(0, 1), atol=1e-5, rtol=0)


def test_the_untrained_cascade_is_the_sum_that_its_equation_says() -> None:
    frames, mask = window()
    network, sky = network_of("cascade"), white()
    cascade = network.cascade
    assert cascade is not None
    basis = basis_of(unfold(frames, PATCH), unfold(mask, PATCH), LEADS, cascade.scales)
    noise = cascade.noise(sky, basis)
    assert basis.strength is not None
    assert basis.variation is not None
    assert basis.dry is not None
    forecast = forecast_of(network, frames, mask, sky)
    for lead in range(LEADS):
        # the constants are those of the module: lifetimes 1.5 and 2.1 times as much in each band
        kept = [np.exp(-(lead + 1) / (1.5 * 2.1**band)).item() for band in range(4)]
        loud = [np.sqrt(1 - own**2).item() for own in kept]
        floor = (0.004, 0.008, 0.016, 0.032)
        total = (-0.1 * basis.dry[:, lead]).expand(2, -1, -1, -1, -1)
        for band in (3, 2):
            share = 0.05 + 0.2 * basis.variation[:, lead, band]
            spread = loud[band] * (
                basis.strength[:, lead, band] + floor[band] + share * total.relu()
            )
            total = total + kept[band] * basis.coarse[:, lead, band - 2]
            total = total + spread * noise.coarse[:, :, lead, band - 2, None]
        frames = enlarge(total, PATCH)
        for band in (0, 1):  # below 0.5 pixels, and from there to 1.5
            share = 0.05 + 0.2 * basis.variation[:, lead, band]
            spread = loud[band] * (
                basis.strength[:, lead, band] + floor[band] + share * total.relu()
            )
            frames = frames + kept[band] * basis.fine[:, lead, band]
            frames = frames + enlarge(spread, PATCH) * noise.fine[:, :, lead, band, None]
        torch.testing.assert_close(forecast[:, :, lead], frames.clamp(0, 1), atol=2e-5, rtol=0)


@pytest.mark.parametrize("cell", ["convlstm", "peephole", "lstm"])
@pytest.mark.parametrize("readout", ["motion", "cascade"])
def test_the_fast_path_forecasts_as_the_plain_one_does(
    monkeypatch: pytest.MonkeyPatch, readout: str, cell: str
) -> None:
    network = network_of(readout, cell, trained=True).double()
    frames, mask = window(torch.float64)
    sky, fast = white(dtype=torch.float64), network.forward
    gradients = []
    for path in (lambda inputs, fed, _: network.plain(inputs, fed), fast):
        monkeypatch.setattr(network, "forward", path)
        forecast = forecast_of(network, frames, mask, sky)
        network.zero_grad()
        forecast.square().sum().backward()  # type: ignore[no-untyped-call] # torch ships no type for it
        gradients.append([forecast, *(weight.grad for weight in network.parameters())])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("readout", ["motion", "cascade"])
def test_every_weight_of_a_trained_readout_gets_a_gradient(readout: str) -> None:
    network, (frames, mask) = network_of(readout, trained=True), window()
    forecast_of(network, frames, mask, white()).square().sum().backward()  # type: ignore[no-untyped-call] # torch ships no type for it
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_the_readouts_gradient_is_that_of_finite_differences_also_where_it_is_clipped() -> None:
    network, (frames, mask) = network_of("cascade").double(), window(torch.float64)
    cascade = network.cascade
    assert cascade is not None
    basis = basis_of(unfold(frames, PATCH), unfold(mask, PATCH), LEADS, cascade.scales)
    sky = white(dtype=torch.float64)
    maps = torch.randn(2, LEADS, 20, 12, 10, dtype=torch.float64) * 0.1
    clipped = [(cascade(maps, basis, sky) == end).double().mean() for end in (0, 1)]
    assert min(clipped) > 0.01
    assert torch.autograd.gradcheck(
        lambda own: cascade(own, basis, sky)[..., 8:, 8:], maps.requires_grad_(), fast_mode=True
    )


def test_a_scale_that_parts_the_grids_anyway_leaves_the_noise() -> None:
    # 1.5 pixels are three quarters of a patch of 2: no band more, and members all the same
    network = Network(Architecture("convlstm", (3,), 3, 8, 12, 10, "cascade", (1.5,), PATCH))
    first, second = forecast_of(network, *window(), white())
    assert not torch.equal(first, second)


def test_a_forecast_of_another_size_has_that_size() -> None:
    frames, mask = torch.rand(1, KNOWN, 8, 7, 9), torch.ones(1, KNOWN, 8, 7, 9, dtype=torch.bool)
    sky = torch.randn(3, 1, 5, 14, 18)
    assert forecast_of(network_of("cascade"), frames, mask, sky).shape == (3, 1, 5, 2, 14, 18)
