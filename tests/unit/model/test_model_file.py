"""A model file describes itself, forecasts the same when loaded, and nothing else is loaded."""

import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from convlstm.model import model_file
from convlstm.model.model_file import Model
from convlstm.params.groups import Train
from convlstm.patch.folding import Geometry
from convlstm.runtime.errors import BadInput, NoRoom
from convlstm.runtime.files import from_text, to_text
from tests.builders import model_of, params_of

CPU = torch.device("cpu")


def peephole_model() -> Model:
    return model_of("peephole", Geometry(channels=2, rows=10, cols=9, patch_size=4))


def test_a_saved_model_forecasts_the_same_when_loaded(tmp_path: Path) -> None:
    before = peephole_model()
    model_file.save(tmp_path / "model.safetensors", before)
    after = model_file.load(tmp_path / "model.safetensors", CPU)
    context = np.random.default_rng(0).random((2, 3, 2, 10, 9), np.float32)
    np.testing.assert_array_equal(after.rollout(context, 4), before.rollout(context, 4))
    assert (after.geometry, after.context_frames, after.forecast_frames) == (before.geometry, 3, 2)
    assert after.params == before.params
    assert repr(after.scaling) == repr(before.scaling)  # NaN is not equal to itself
    assert after.reading == before.reading


def test_a_forecast_has_the_size_of_the_frames_not_of_the_padded_patches() -> None:
    context = np.zeros((1, 3, 2, 10, 9), np.float32)
    assert peephole_model().rollout(context, 5).shape == (1, 5, 2, 10, 9)


@pytest.mark.parametrize(
    ("precision", "rounded"), [("auto", False), ("float32", False), ("bfloat16", True)]
)
def test_a_forecast_is_in_float32_unless_bfloat16_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, precision: str, rounded: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    trained = model_of("convlstm", Geometry(1, 8, 8, 2))
    context = np.random.default_rng(0).random((2, 3, 1, 8, 8), np.float32)
    folded = torch.from_numpy(trained.geometry.fold(context))
    exact = trained.geometry.unfold(trained.network.rollout(folded, 2).detach().numpy())
    asked = replace(trained, params={**trained.params, "precision": precision})
    difference = np.abs(asked.rollout(context, 2) - exact).max()
    assert (difference > 0) == rounded
    assert difference <= 2 * 2**-8 * np.abs(exact).max()  # a rounding is 2^-8 at most


def test_the_metadata_tell_architecture_scaling_and_params(tmp_path: Path) -> None:
    model_file.save(tmp_path / "model.safetensors", peephole_model())
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        facts = from_text(file.metadata()["description"])
    assert facts["architecture"]["hidden_channels"] == (3,)
    assert facts["scaling"]["value_range"] == (-32.0, 64.0)
    assert facts["params"]["lr"] == params_of(Train).lr


def test_the_same_model_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        model_file.save(tmp_path / f"{name}.safetensors", peephole_model())
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
        model_file.load(path, CPU)
    assert "\n" not in str(caught.value)


def test_weights_without_a_description_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(BadInput, match="no model of this project"):
        model_file.load(path, CPU)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model_file.save(path, peephole_model())
    with safe_open(path, framework="pt") as file:
        description = file.metadata()
    save_file({"readout.bias": torch.zeros(2)}, path, metadata=description)
    with pytest.raises(BadInput, match="do not belong together"):
        model_file.load(path, CPU)


def test_a_missing_model_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="dvc repro"):
        model_file.load(tmp_path / "model.safetensors", CPU)


def changed(path: Path, group: str, **changes: object) -> None:
    """A model file whose metadata say something else."""
    model_file.save(path, peephole_model())
    with safe_open(path, framework="pt") as file:
        facts: dict[str, Any] = from_text(file.metadata()["description"])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    facts[group] = {**facts[group], **changes} if group in facts and changes else None
    save_file(weights, path, metadata={"description": to_text(facts)})


@pytest.mark.parametrize(
    ("group", "changes"),
    [
        ("architecture", {"hidden_channels": (2**40,)}),
        ("architecture", {"hidden_channels": (3,) * 10**4}),
        ("architecture", {"hidden_channels": ()}),
        ("architecture", {"kernel_size": 4}),
        ("architecture", {"kernel_size": "3"}),
        ("architecture", {"cell": "__import__('os')"}),
        ("architecture", {"rows": 2**40}),
        ("architecture", {"extra": 1}),
        ("geometry", {"patch_size": 0}),
        ("geometry", {"rows": 2**40}),
        ("geometry", {"rows": -10}),
        ("scaling", {"value_range": (1.0, 0.0)}),
        ("scaling", {"value_range": (0.0, float("inf"))}),
        ("scaling", {"out_of_range": "ignore"}),
        ("reading", {"pixel_values": "guess"}),
        ("reading", {"raw_axes": "ABC"}),
        ("context_frames", {}),
        ("architecture", {}),
    ],
)
def test_impossible_metadata_are_refused_in_little_memory(
    tmp_path: Path, group: str, changes: dict[str, object]
) -> None:
    path = tmp_path / "model.safetensors"
    changed(path, group, **changes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadInput, match=r"model\.safetensors: no model of this project"):
        model_file.load(path, CPU)
    # kilobytes; 10,000 layers would take long, and a wide one take gigabytes
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_a_pickle_under_the_models_name_is_not_run(tmp_path: Path) -> None:
    path, proof = tmp_path / "model.safetensors", tmp_path / "it ran"
    # protocol 0: call os.mkdir on the path of the proof
    path.write_bytes(f"cos\nmkdir\n(S'{proof}'\ntR.".encode())
    with pytest.raises(BadInput, match="no model of this project"):
        model_file.load(path, CPU)
    assert not proof.exists()


def test_a_full_memory_says_what_was_asked_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = model_of("convlstm", Geometry(1, 8, 8, 2))

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trained.network, "rollout", full)
    with pytest.raises(NoRoom) as told:
        trained.rollout(np.zeros((2, 3, 1, 12, 10), np.float32), 2)
    line = str(told.value)
    assert line.startswith("2 windows of 12 x 10 pixels do not fit into the memory of the cpu")
    assert line.endswith("; lower tile_size or hidden_channels")  # no batch_size acts here
