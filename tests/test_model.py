"""A model file describes itself, forecasts the same when loaded, and nothing else is loaded."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import params_of
from safetensors import safe_open
from safetensors.torch import save_file

from convlstm import model
from convlstm.errors import BadInput
from convlstm.files import from_text
from convlstm.model import Model
from convlstm.network import Architecture, Network
from convlstm.params import Train
from convlstm.patches import Geometry
from convlstm.scaling import Scaling

CPU = torch.device("cpu")


def small_model() -> Model:
    torch.manual_seed(0)
    geometry = Geometry(channels=2, rows=10, cols=9, patch_size=4)
    channels, rows, cols = geometry.folded_shape
    architecture = Architecture("peephole", (3,), 3, channels=channels, rows=rows, cols=cols)
    return Model(
        Network(architecture),
        geometry,
        Scaling((-32.0, 64.0), (255.0, float("nan"))),
        context_frames=3,
        forecast_frames=2,
        params=params_of(Train).model_dump(),
    )


def test_a_saved_model_forecasts_the_same_when_loaded(tmp_path: Path) -> None:
    before = small_model()
    model.save(tmp_path / "model.safetensors", before)
    after = model.load(tmp_path / "model.safetensors", CPU)
    context = np.random.default_rng(0).random((2, 3, 2, 10, 9), np.float32)
    np.testing.assert_array_equal(after.rollout(context, 4), before.rollout(context, 4))
    assert (after.geometry, after.context_frames, after.forecast_frames) == (before.geometry, 3, 2)
    assert after.params == before.params
    assert repr(after.scaling) == repr(before.scaling)  # NaN is not equal to itself


def test_a_forecast_has_the_size_of_the_frames_not_of_the_padded_patches() -> None:
    context = np.zeros((1, 3, 2, 10, 9), np.float32)
    assert small_model().rollout(context, 5).shape == (1, 5, 2, 10, 9)


def test_the_metadata_tell_architecture_scaling_and_params(tmp_path: Path) -> None:
    model.save(tmp_path / "model.safetensors", small_model())
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        facts = from_text(file.metadata()["description"])
    assert facts["architecture"]["hidden_channels"] == (3,)
    assert facts["scaling"]["value_range"] == (-32.0, 64.0)
    assert facts["params"]["lr"] == params_of(Train).lr


def test_the_same_model_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        model.save(tmp_path / f"{name}.safetensors", small_model())
    assert (tmp_path / "one.safetensors").read_bytes() == (
        tmp_path / "two.safetensors"
    ).read_bytes()


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"not a model at all, only text", bytes(64)]
)
def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"model\.safetensors: no model of this project") as caught:
        model.load(path, CPU)
    assert "\n" not in str(caught.value)


def test_weights_without_a_description_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(BadInput, match="no model of this project"):
        model.load(path, CPU)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model.save(path, small_model())
    with safe_open(path, framework="pt") as file:
        description = file.metadata()
    save_file({"readout.bias": torch.zeros(2)}, path, metadata=description)
    with pytest.raises(BadInput, match="Missing key"):
        model.load(path, CPU)


def test_a_missing_model_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="dvc repro"):
        model.load(tmp_path / "model.safetensors", CPU)
