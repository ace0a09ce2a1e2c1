"""Forecasts as torch modules that can be exported: what `predict` does, without its members.

Physical values go in and come out. In NumPy's place stands torch, in the place of the fast path
the plain cells, and where the number of steps is free a scan, which becomes a loop of ONNX.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan
from torch.nn.functional import pad

from convlstm.model.basis import Basis, basis_of
from convlstm.model.cascade import Cascade
from convlstm.model.model_file import Model
from convlstm.model.network import Network
from convlstm.model.noise import Noise
from convlstm.patch.curves import Z_EXPONENT, Z_FACTOR, Curve
from convlstm.patch.folding import fold, unfold
from convlstm.patch.scaling import Scaling

Frames = Float[Tensor, "batch time channel row col"]
Number = TypeVar("Number", float, Tensor)
States = Sequence[Tensor]
"""Hidden and cell state of each layer in turn."""


class Painted(nn.Module):
    """The forecast of a network with the readout `frame`, of any number of steps."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network, self.scaling = model.network, model.scaling
        self.patch_size = model.geometry.patch_size

    def forward(
        self, frames: Frames, lead: Float[Tensor, " lead"]
    ) -> Float[Tensor, "batch lead channel row col"]:
        """Return physical values for as many lead times as `lead` is long."""
        unit, _ = to_unit(_padded(frames, self.patch_size), self.scaling)
        seen = fold(unit, self.patch_size)
        states = _zero_states(self.network, seen)
        output = seen[:, 0]
        for frame in seen.unbind(1):
            output, states = _advanced(self.network, frame, states)
        _, outputs = scan(self._go_on, [output, *states], lead, dim=0)
        forecast = unfold(outputs.transpose(0, 1), self.patch_size)
        cropped = forecast[..., : frames.shape[-2], : frames.shape[-1]]
        return from_unit(cropped.clamp(0, 1), self.scaling)

    def _go_on(self, carry: States, _: Tensor) -> tuple[States, Tensor]:
        """Feed the network its own output; returns the output that was fed beside what it became.

        A scan may not return what it was given, hence the copy.
        """
        output, states = _advanced(self.network, carry[0], carry[1:])
        return [output, *states], carry[0].clone()


class Still(Cascade):
    """The cascade without noise, whose complex numbers no ONNX operator takes."""

    def noise(self, white: Tensor, basis: Basis) -> Noise:  # noqa: ARG002 - as its base has it
        """Return zeros in the place of the noise of each band."""
        parts = (basis.fine, basis.coarse)
        fine, coarse = (torch.zeros_like(part[None, :, :, :, 0]) for part in parts)
        return Noise(fine, coarse)


class Carried(nn.Module):
    """The forecast without noise of a network with the readout `motion` or `cascade`.

    Steps and size are those that it is exported with: the carrying takes a loop of Python for each
    step, and filters that are made for the size.
    """

    def __init__(self, model: Model, steps: int) -> None:
        super().__init__()
        self.network, self.scaling, self.steps = model.network, model.scaling, steps
        self.patch_size = model.geometry.patch_size
        assert model.network.cascade is not None
        self.cascade = Still(model.network.architecture.scales, self.patch_size)
        self.cascade.load_state_dict(model.network.cascade.state_dict())

    def forward(self, frames: Frames) -> Float[Tensor, "batch lead channel row col"]:
        """Return physical values."""
        unit, mask = to_unit(_padded(frames, self.patch_size), self.scaling)
        basis = basis_of(unit, mask, self.steps, self.cascade.scales)
        states = _zero_states(self.network, basis.inputs)
        maps = []
        for inputs in basis.inputs.unbind(1):
            output, states = _advanced(self.network, inputs, states)
            maps.append(output)
        white = torch.zeros_like(basis.ways[None, :, :, 0])
        forecast = self.cascade(torch.stack(maps[-self.steps :], dim=1), basis, white)[0]
        return from_unit(forecast[..., : frames.shape[-2], : frames.shape[-1]], self.scaling)


def to_unit(
    frames: Frames, scaling: Scaling
) -> tuple[Frames, Bool[Tensor, "batch time channel row col"]]:
    """Return numbers in [0, 1], 0 where missing, and the mask of measured pixels.

    Values outside the range are clipped to it, or missing, if the scaling says so.
    """
    units, masks = [], []
    for values, curve in zip(frames.unbind(2), scaling.curves, strict=True):
        low, high = curve.pair
        missing = values.isnan()
        for number in scaling.missing_value:
            missing = missing | (values == number)
        if scaling.out_of_range == "missing":
            missing = missing | (values < low) | (values > high)
        known = torch.where(missing, low, values).clamp(max(low, curve.floor), high)
        units.append(torch.where(missing, 0.0, _curved(known, curve)))
        masks.append(~missing)
    return torch.stack(units, dim=2), torch.stack(masks, dim=2)


def from_unit(units: Frames, scaling: Scaling) -> Frames:
    """Return physical values of numbers in [0, 1]."""
    parts = zip(units.unbind(2), scaling.curves, strict=True)
    return torch.stack([_straightened(unit, curve) for unit, curve in parts], dim=2)


def _curved(values: Tensor, curve: Curve) -> Tensor:
    low, high = curve.pair
    if curve.transform == "none":
        return (values - low) / (high - low)
    first, last = _ends(curve)
    unit = ((_logarithm(values.double(), curve) - first) / (last - first)).float()
    return torch.where(values <= curve.floor, 0.0, unit)  # a rounded 0 would not be the low end


def _straightened(unit: Tensor, curve: Curve) -> Tensor:
    low, high = curve.pair
    if curve.transform == "none":
        return unit * (high - low) + low
    first, last = _ends(curve)
    power = 10 ** ((unit.double() * (last - first) + first) / (10 if _is_dbz(curve) else 1))
    values = (power / Z_FACTOR) ** (1 / Z_EXPONENT) if _is_dbz(curve) else power
    return torch.where(unit <= 0, low, values.float().clamp(max=high))


def _ends(curve: Curve) -> tuple[float, float]:
    """Return the logarithms of both ends of a range, as numbers of the graph."""
    first, last = (math.log10(end) for end in (curve.floor, curve.pair[1]))
    if not _is_dbz(curve):
        return first, last
    return _reflectivity(first), _reflectivity(last)


def _logarithm(values: Tensor, curve: Curve) -> Tensor:
    logarithms = torch.log10(values)
    return _reflectivity(logarithms) if _is_dbz(curve) else logarithms


def _reflectivity(logarithm: Number) -> Number:
    """Return the reflectivity in dBZ of rain, of which the logarithm is given."""
    return 10 * (math.log10(Z_FACTOR) + Z_EXPONENT * logarithm)


def _is_dbz(curve: Curve) -> bool:
    return curve.transform == "dbz"


def _padded(frames: Tensor, patch_size: int) -> Tensor:
    """Return frames with what was not measured at the bottom and right, to whole patches."""
    rows, cols = frames.shape[-2:]
    return pad(frames, (0, -cols % patch_size, 0, -rows % patch_size), value=float("nan"))


def _zero_states(network: Network, frames: Tensor) -> list[Tensor]:
    grid = frames.shape[-2:] if network.grid else ()
    hidden = network.architecture.hidden_channels
    return [frames.new_zeros(len(frames), own, *grid) for own in hidden for _ in range(2)]


def _advanced(network: Network, frame: Tensor, states: States) -> tuple[Tensor, list[Tensor]]:
    """Advance all layers one step, as `Network.plain` does."""
    x, following = network.entry(frame), []
    for layer, cell in enumerate(network.cells):
        following += [*cell(x, (states[2 * layer], states[2 * layer + 1]))]
        x = following[2 * layer]
    return network.readout(x), following
