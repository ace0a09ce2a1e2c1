"""Bands add up, noise is as told, and the untrained readout is an extrapolation or STEPS."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from convlstm.model import motion
from convlstm.model.cascade import Cascade, Clip, blur, draw_noise
from convlstm.model.network import Architecture, Network
from convlstm.patch.folding import fold, unfold

SCALES = (1.0, 3.0)
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


def carried_last_frame(frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The last frame, 0 where missing, along its path, and the paths; by `motion`."""
    pixels, seen = unfold(frames, PATCH), unfold(mask, PATCH).all(dim=2)
    ways = motion.paths(motion.motion(pixels.mean(dim=2), seen), LEADS)
    last = pixels[:, -1] * seen[:, -1, None]
    return torch.stack([motion.carried(last, way) for way in ways.unbind(1)], dim=1), ways


def test_folding_on_a_device_is_the_folding_of_the_patch_stage() -> None:
    folded = torch.rand(3, 2, 18, 4, 5)
    pixels = unfold(folded, 3)
    np.testing.assert_array_equal(pixels, unfold(folded.numpy(), 3))
    assert torch.equal(fold(pixels, 3), folded)


@pytest.mark.parametrize("scale", [0.8, 3.0])
def test_blur_is_the_gaussian_filter_of_scipy(scale: float) -> None:
    maps = torch.rand(2, 1, 30, 26, dtype=torch.float64)
    reach = round(3 * scale)
    for own, result in zip(maps[:, 0], blur(maps, scale)[:, 0], strict=True):
        expected = gaussian_filter(own.numpy(), scale, mode="nearest", radius=reach)
        np.testing.assert_allclose(result, expected, rtol=1e-9)


def test_the_bands_add_up_to_the_frame() -> None:
    frames = torch.rand(2, 3, 24, 20)
    bands = Cascade(SCALES).split(frames)
    assert bands.shape == (2, 3, 3, 24, 20)
    torch.testing.assert_close(bands.sum(dim=1), frames)


def test_noise_has_variance_1_and_forgets_as_its_band_does() -> None:
    cascade = Cascade(SCALES)
    sky = torch.randn(40, 2, 6, 48, 40, generator=torch.Generator().manual_seed(0))
    noise = cascade.noise(sky, torch.zeros(2, 6, 2, 48, 40)).detach()
    for band, lifetime in enumerate((1.5, 1.5 * 2.5, 1.5 * 2.5**2)):  # as the constants say
        own = noise[:, :, :, band]
        assert own.var().item() == pytest.approx(1, rel=0.05)
        remembered = (own[:, :, 1:] * own[:, :, :-1]).mean() / own.var()
        assert remembered.item() == pytest.approx(np.exp(-1 / lifetime), abs=0.03)
    assert (noise[:, :, :, 0] * noise[:, :, :, 2]).mean().abs() < 0.05


def test_noise_moves_with_the_rain_and_comes_back_at_the_other_edge() -> None:
    cascade, sky = Cascade(SCALES), torch.randn(2, 1, 2, 12, 10)
    still = cascade.noise(sky, torch.zeros(1, 2, 2, 12, 10))
    way = torch.tensor([5.0, -13.0])[:, None, None].expand(1, 2, 2, 12, 10)
    assert torch.equal(cascade.noise(sky, way), still.roll((5, -13), dims=(4, 5)))


@pytest.mark.parametrize("cell", ["convlstm", "peephole", "lstm"])
def test_the_untrained_motion_readout_carries_the_last_frame_on(cell: str) -> None:
    frames, mask = window()
    expected, _ = carried_last_frame(frames, mask)
    forecast = forecast_of(network_of("motion", cell), frames, mask, white(1))
    # It forgets within a million frames.
    torch.testing.assert_close(forecast[0], expected, atol=1e-5, rtol=0)


def test_the_untrained_cascade_is_the_sum_that_its_equation_says() -> None:
    frames, mask = window()
    cascade = network_of("cascade").cascade
    assert cascade is not None
    pixels, seen = unfold(frames, PATCH), unfold(mask, PATCH)
    last, sky = pixels[:, -1] * seen[:, -1], white()
    _, ways = carried_last_frame(frames, mask)
    noise = cascade.noise(sky, ways)
    smooth = [last, *(blur(last, scale) for scale in SCALES)]
    bands = [smooth[0] - smooth[1], smooth[1] - smooth[2], smooth[2]]
    inside = seen[:, -1, :1].float()
    forecast = forecast_of(network_of("cascade"), frames, mask, sky)
    for lead, way in enumerate(ways.unbind(1)):
        total = torch.zeros(2, 2, 2, 24, 20)
        flown_in = 1 - motion.carried(inside, way)
        for band, lifetime in enumerate((1.5, 1.5 * 2.5, 1.5 * 2.5**2)):
            kept = np.exp(-(lead + 1) / lifetime)
            strength = motion.carried(blur(bands[band] ** 2, 2 * SCALES[-1]).sqrt(), way)
            drawn = noise[:, :, lead, band, None] * (strength + 0.03 * flown_in)
            total += kept * motion.carried(bands[band], way) + np.sqrt(1 - kept**2) * drawn
        torch.testing.assert_close(forecast[:, :, lead], total.clamp(0, 1), atol=2e-5, rtol=0)


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


def test_the_readouts_gradient_is_that_of_finite_differences() -> None:
    network, (frames, mask) = network_of("cascade").double(), window(torch.float64)
    cascade = network.cascade
    assert cascade is not None
    frames = frames * 0.2 + 0.4  # nothing is clipped, where the gradient is not that of the value
    basis = cascade.basis(unfold(frames, PATCH), unfold(mask, PATCH), LEADS)
    noise = cascade.noise(white(dtype=torch.float64) * 0.1, basis.ways)
    maps = torch.randn(4, LEADS, 14, 12, 10, dtype=torch.float64) * 0.1
    assert torch.autograd.gradcheck(
        lambda own: cascade(own, basis, noise)[..., 8:, 8:], maps.requires_grad_(), fast_mode=True
    )


@pytest.mark.parametrize("readout", ["motion", "cascade"])
def test_no_rain_comes_out_of_missing_pixels(readout: str) -> None:
    network, (frames, mask) = network_of(readout, trained=True), window()
    # A missing pixel is 0 in a batch; whatever stands there does not reach the readout.
    basis = [
        network.cascade.basis(
            unfold(torch.where(mask, frames, fill), PATCH), unfold(mask, PATCH), LEADS
        )
        for fill in (torch.zeros(()), torch.ones(()))
        if network.cascade is not None
    ]
    for zeros, ones in zip(*(vars(one).values() for one in basis), strict=True):
        assert zeros is ones is None or torch.equal(zeros, ones)


def test_a_forecast_of_another_size_has_that_size() -> None:
    frames, mask = torch.rand(1, KNOWN, 8, 7, 9), torch.ones(1, KNOWN, 8, 7, 9, dtype=torch.bool)
    sky = torch.randn(3, 1, 5, 14, 18)
    assert forecast_of(network_of("cascade"), frames, mask, sky).shape == (3, 1, 5, 2, 14, 18)


def test_clipping_lets_back_in_and_not_farther_out() -> None:
    frames = torch.tensor([-1.0, -1.0, 0.5, 0.5, 2.0, 2.0], requires_grad=True)
    clipped = Clip.apply(frames)  # type: ignore[no-untyped-call] # torch ships no type for it
    assert clipped.tolist() == [0, 0, 0.5, 0.5, 1, 1]
    clipped.backward(torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0]))
    assert frames.grad is not None
    # A descent moves against the gradient: -1 may rise (gradient -1), and must not fall.
    assert frames.grad.tolist() == [0, -1, 1, -1, 1, 0]


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
