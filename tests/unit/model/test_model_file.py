"""A model file describes itself, forecasts the same when loaded, and nothing else is loaded."""

import re
import struct
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from convlstm.model import model_file
from convlstm.model.model_file import Model
from convlstm.patch.folding import Geometry
from convlstm.runtime.errors import BadInput, NonFinite, NoRoom
from convlstm.runtime.files import from_text, to_text
from convlstm.train.params import Train
from convlstm.version import VERSION
from tests.builders import model_of, params_of

CPU = torch.device("cpu")
GEOMETRY = Geometry(channels=2, rows=10, cols=9, patch_size=4)


def peephole_model() -> Model:
    return model_of("peephole", GEOMETRY)


def folded_context(geometry: Geometry) -> Tensor:
    """Two windows of three frames."""
    shape = (2, 3, geometry.channels, geometry.rows, geometry.cols)
    return torch.from_numpy(geometry.fold(np.random.default_rng(0).random(shape, np.float32)))


def everything(context: Tensor) -> Tensor:
    """The mask of a context in which all is measured."""
    return torch.ones_like(context, dtype=torch.bool)


def test_a_saved_model_forecasts_the_same_when_loaded(tmp_path: Path) -> None:
    before = peephole_model()
    model_file.save(tmp_path / "model.safetensors", before)
    after = model_file.load(tmp_path / "model.safetensors", CPU)
    context = folded_context(GEOMETRY)
    mask = everything(context)
    assert torch.equal(after.rollout(context, mask, 4), before.rollout(context, mask, 4))
    assert (after.geometry, after.context_frames, after.forecast_frames) == (before.geometry, 3, 2)
    assert after.params == before.params
    assert repr(after.scaling) == repr(before.scaling)  # NaN is not equal to itself
    assert after.reading == before.reading


def test_a_model_forecasts_folded_frames_as_its_network_does() -> None:
    made, context = peephole_model(), folded_context(GEOMETRY)
    forecast = made.rollout(context, everything(context), 5)[0]
    assert torch.equal(forecast, made.network.rollout(context, 5))
    assert forecast.shape == (2, 5, 32, 3, 3)  # 4 x 4 x 2 channels; 10 x 9 padded to 12 x 12
    assert not forecast.requires_grad
    pixels = made.geometry.unfold(forecast.numpy())
    assert pixels.shape == (2, 5, 2, 10, 9)
    np.testing.assert_array_equal(
        pixels, made.geometry.unfold(made.network.rollout(context, 5).detach().numpy())
    )


@pytest.mark.parametrize(
    ("precision", "rounded"), [("auto", False), ("float32", False), ("bfloat16", True)]
)
def test_a_forecast_is_in_float32_unless_bfloat16_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, precision: str, rounded: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    trained = model_of("convlstm", Geometry(1, 8, 8, 2))
    context = folded_context(trained.geometry)
    exact = trained.network.rollout(context, 2)
    asked = replace(trained, params={**trained.params, "precision": precision})
    difference = (asked.rollout(context, everything(context), 2)[0] - exact).abs().max()
    assert (difference > 0) == rounded
    assert difference <= 2 * 2**-8 * exact.abs().max()  # a rounding is 2^-8 at most


def test_the_metadata_tell_architecture_scaling_and_params(tmp_path: Path) -> None:
    model_file.save(tmp_path / "model.safetensors", peephole_model())
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        about = from_text(file.metadata()["description"])
    assert about["version"] == VERSION
    assert about["architecture"]["hidden_channels"] == (3,)
    assert about["scaling"]["value_range"][0] == (-32.0, 64.0)
    assert about["params"]["lr"] == params_of(Train).lr


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


def test_a_header_that_claims_to_be_huge_is_refused_by_its_length(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 2**20 + 1) + b"{}")
    with pytest.raises(BadInput, match=r"no model of this project \(its header is 1,048,577 bytes"):
        model_file.load(path, CPU)


class Allocations(TorchFunctionMode):
    """Notes the size of the largest tensor that torch makes, but for those on no device."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_function__(
        self, function: Callable[..., Any], _: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call `function`; a tensor that is too large to be made is the largest of all."""
        options = kwargs or {}
        try:
            result = function(*args, **options)
        except RuntimeError:
            if str(options.get("device")) != "meta":
                self.largest = 2**63
            raise
        if isinstance(result, Tensor) and result.device.type != "meta":
            self.largest = max(self.largest, result.nbytes)
        return result


def test_a_sound_model_is_loaded_in_tensors_of_its_own_size(tmp_path: Path) -> None:
    path, made = tmp_path / "model.safetensors", peephole_model()
    model_file.save(path, made)
    with Allocations() as taken:
        model_file.load(path, CPU)
    assert taken.largest == max(weight.nbytes for weight in made.network.parameters())


def with_metadata(path: Path, group: str, changes: object) -> None:
    """Write a model file whose metadata say something else, and whose checksum is right.

    Args:
        path: where to write.
        group: an entry of the description.
        changes: the entry, or changes to an entry that is a mapping.
    """
    model_file.save(path, peephole_model())
    with safe_open(path, framework="pt") as file:
        about: dict[str, Any] = from_text(file.metadata()["description"])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    about[group] = {**about[group], **changes} if isinstance(changes, dict) else changes
    del about["sha256"]
    checksum = sha256(to_text(about).encode())
    for name in sorted(weights):
        checksum.update(weights[name].numpy().tobytes())
    about["sha256"] = checksum.hexdigest()
    save_file(weights, path, metadata={"description": to_text(about)})


def test_the_checksum_is_the_sha256_of_the_metadata_and_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with_metadata(path, "params", {"lr": 0.125})
    assert model_file.load(path, CPU).params["lr"] == 0.125


@pytest.mark.parametrize(
    ("group", "changes", "reason"),
    [
        ("architecture", {"hidden_channels": (2**40,)}, ""),  # torch's own words
        ("architecture", {"hidden_channels": (10**6,)}, "is not of shape"),
        ("architecture", {"hidden_channels": (3,) * 10**4}, "more layers than weights"),
        ("architecture", {"hidden_channels": ()}, "an impossible network"),
        ("architecture", {"kernel_size": 4}, "an impossible network"),
        ("architecture", {"kernel_size": "3"}, ""),  # Python's own words
        ("architecture", {"cell": "__import__('os')"}, ""),
        ("architecture", {"rows": 2**40}, "is not of shape"),
        ("architecture", {"rows": 10**6}, "is not of shape"),
        ("architecture", {"extra": 1}, "unexpected keyword argument 'extra'"),
        ("architecture", None, ""),
        ("geometry", {"patch_size": 0}, "an impossible geometry"),
        ("geometry", {"rows": 2**40}, "does not fit"),
        ("geometry", {"rows": -10}, "an impossible geometry"),
        ("scaling", {"value_range": (1.0, 0.0)}, "must be the smaller one"),
        ("scaling", {"value_range": (0.0, float("inf"))}, "finite number"),
        ("scaling", {"out_of_range": "ignore"}, "'error', 'clip' or 'missing'"),
        ("reading", None, "reading that are no mapping"),
        ("params", (), "params that are no mapping"),
        ("context_frames", None, "None frames"),
        ("forecast_frames", 0, "0 frames"),
        (
            "format",
            "convlstm-1",
            f"format convlstm-1, written by version {VERSION}, not convlstm-7",
        ),
    ],
)
def test_impossible_metadata_are_refused_before_memory_is_taken(
    tmp_path: Path, group: str, changes: object, reason: str
) -> None:
    path = tmp_path / "model.safetensors"
    with_metadata(path, group, changes)
    with (
        Allocations() as taken,
        pytest.raises(BadInput, match=r"model\.safetensors: no model of this project") as raised,
    ):
        model_file.load(path, CPU)
    assert reason in str(raised.value)
    assert "checksum" not in str(raised.value)
    assert taken.largest <= path.stat().st_size


def test_a_full_memory_says_what_was_asked_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = model_of("convlstm", Geometry(1, 8, 8, 2))

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trained.network, "rollout", full)
    with pytest.raises(NoRoom) as raised:
        trained.rollout(torch.zeros(2, 3, 4, 6, 5), torch.ones(2, 3, 4, 6, 5) > 0, 2)
    line = str(raised.value)
    assert line.startswith("2 windows of 12 x 10 pixels do not fit into the memory of the cpu")
    assert line.endswith("; lower steps, tile_size or hidden_channels")  # no batch_size acts here


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_neither_written_nor_taken(
    tmp_path: Path, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, model = tmp_path / "model.safetensors", peephole_model()
    name, weight = list(model.network.named_parameters())[-1]
    with torch.no_grad():
        weight.view(-1)[0] = value
    with pytest.raises(NonFinite, match=f"{re.escape(name)} is infinite or not a number"):
        model_file.save(path, model)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(model_file, "_broken", lambda _: None)
    model_file.save(path, model)
    monkeypatch.undo()
    with pytest.raises(BadInput, match=rf"\({re.escape(name)} is infinite or not a number\)"):
        model_file.load(path, CPU)
