"""What is exported is what `predict` forecasts, and physical values are scaled as in NumPy."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch

from convlstm.export.graph import Carried, from_unit, to_unit
from convlstm.forecast.forecaster import Forecaster
from convlstm.model.model_file import Model
from convlstm.model.network import Network
from convlstm.patch.conversion import Conversion
from convlstm.patch.curves import Transform
from convlstm.patch.folding import Geometry
from convlstm.patch.scaling import OutOfRange, Scaling
from convlstm.storage.meaning import Channel
from tests.builders import model_of

Readout = Literal["motion", "cascade"]
GEOMETRY = Geometry(1, 22, 26, 4)


def random_frames(batch: int, channels: int, rows: int, cols: int) -> np.ndarray:
    """Three frames of -32 to 64 per sequence, of which a corner was not measured."""
    frames = np.random.default_rng(0).uniform(-32, 64, (batch, 3, channels, rows, cols))
    frames[..., :3, :5] = np.nan
    return frames.astype(np.float32)


def carried_model(readout: Readout, scales: tuple[float, ...]) -> Model:
    """An untrained network that carries frames on, with weights that are not 0."""
    torch.manual_seed(0)
    model = model_of("convlstm", GEOMETRY)
    a = replace(model.network.architecture, readout=readout, scales=scales, patch_size=4)
    network = Network(a)
    for weight in network.readout.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    return replace(model, network=network)


@pytest.mark.parametrize(("readout", "scales"), [("motion", ()), ("cascade", (1.0, 2.0, 6.0))])
def test_what_is_carried_on_is_the_forecast_without_noise(
    readout: Readout, scales: tuple[float, ...]
) -> None:
    model = carried_model(readout, scales)
    frames = random_frames(1, 1, 22, 26)
    expected = Forecaster(model, model.scaling).predict(frames, 4)
    with torch.no_grad():
        found = Carried(model, 4)(torch.from_numpy(frames)).numpy()
    assert np.ptp(expected) > 10
    np.testing.assert_allclose(found, expected, atol=1e-4 * 96)


@pytest.mark.parametrize(
    ("pair", "transform"),
    [
        ((0.0, 255.0), "none"),
        ((-32.0, 64.0), "none"),
        ((0.1, 150.0), "log"),
        ((0.0, 150.0), "log"),
        ((0.0, 150.0), "dbz"),
    ],
)
def test_values_are_scaled_as_those_of_training(
    pair: tuple[float, float], transform: Transform
) -> None:
    scaling = Scaling((pair,), (transform,), (), "clip")
    low, high = pair
    inside = np.random.default_rng(0).uniform(low, high, (2, 3, 1, 5, 6)).astype(np.float32)
    inside[0, 0, 0, 0] = (low, high, low + 1e-3, low - 9, high + 9, 1.0)
    conversion = Conversion(scaling, (Channel(),), inside.dtype)
    expected, _ = conversion.to_unit(inside)
    unit, _ = to_unit(torch.from_numpy(inside), scaling)
    np.testing.assert_allclose(unit.numpy(), expected, atol=1e-6)
    back = from_unit(unit, scaling).numpy()
    np.testing.assert_allclose(back, scaling.from_unit(expected), rtol=1e-5, atol=1e-6 * high)


@pytest.mark.parametrize(
    ("out_of_range", "missing"), [("clip", (True, True, False)), ("missing", (True, True, True))]
)
def test_what_is_missing_is_0_and_masked_in_each_channel(
    out_of_range: OutOfRange, missing: tuple[bool, ...]
) -> None:
    """By hand: of 0 to 10, NaN, the number 255 and one outside; 5 is a half, of 0 to 50 a tenth."""
    scaling = Scaling(((0.0, 10.0), (0.0, 50.0)), ("none", "none"), (255.0,), out_of_range)
    frames = torch.full((1, 1, 2, 1, 4), 5.0)
    frames[..., 0, 0, :3] = torch.tensor([float("nan"), 255.0, 20.0])
    unit, mask = to_unit(frames, scaling)
    assert (~mask[0, 0, 0, 0]).tolist() == [*missing, False]
    assert unit[0, 0, 0, 0].tolist() == [0, 0, 0 if missing[2] else 1, 0.5]
    assert unit[0, 0, 1, 0].tolist() == pytest.approx([0.1] * 4)
