"""An exported forecast is that of torch, in a runtime that knows nothing of this project."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from convlstm.forecast.forecaster import Forecaster
from convlstm.model import model_file
from convlstm.model.model_file import Model
from convlstm.model.network import Network
from convlstm.patch.curves import DBZ_FLOOR
from convlstm.patch.folding import Geometry
from tests.builders import model_of, run_stage

pytest.importorskip("onnx", reason="needs the extra `onnx`")
runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
pytestmark = [pytest.mark.onnx, pytest.mark.slow]

SIZE = (22, 26)
TOLERANCE = 1e-4  # of the value range


def exported(folder: Path, model: Model, *words: str) -> Any:
    """Return a session of the runtime on a model that the command has exported."""
    model_file.save(folder / "model", model)
    done = run_stage(folder, "-m", "stages.export", "out.onnx", "--model", "model", *words)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "out.onnx" in (folder / "out.md").read_text()
    return runtime.InferenceSession(folder / "out.onnx", providers=["CPUExecutionProvider"])


def frames_of(batch: int, rows: int, cols: int, pair: tuple[float, float]) -> np.ndarray:
    """Frames in physical values, of which a corner was not measured, and one pixel is marked so."""
    frames = np.random.default_rng(rows).uniform(*pair, (batch, 3, 1, rows, cols))
    frames[..., :3, :5], frames[..., 9, 9] = np.nan, 255
    return frames.astype(np.float32)


def differences(session: Any, model: Model, frames: np.ndarray, steps: int) -> np.ndarray:
    """Return the differences to `predict`, as parts of the value range."""
    given = {"frames": frames}
    if len(session.get_inputs()) > 1:
        given["steps"] = np.array(steps)
    (found,) = session.run(None, given)
    expected = Forecaster(model, model.scaling).predict(frames, steps)
    assert found.shape == expected.shape
    assert np.ptp(expected) > 0
    ((low, high),) = model.scaling.value_range
    return np.asarray(np.abs(found - expected) / (high - low))


@pytest.mark.parametrize("cell", ["convlstm", "peephole", "lstm"])
def test_a_network_that_paints_frames_makes_any_number_of_steps(
    tmp_path: Path, cell: Literal["convlstm", "peephole", "lstm"]
) -> None:
    model = model_of(cell, Geometry(1, *SIZE, 4))
    session = exported(tmp_path, model)
    tries = [(1, *SIZE, 2), (3, *SIZE, 1), (1, *SIZE, 17)]
    if cell == "convlstm":
        tries += [(2, 37, 50, 5), (1, 101, 64, 2), (1, 10, 10, 3)]
    for batch, rows, cols, steps in tries:
        frames = frames_of(batch, rows, cols, (-32, 64))
        assert differences(session, model, frames, steps).max() < TOLERANCE


def test_a_transform_is_part_of_the_file(tmp_path: Path) -> None:
    model = model_of("convlstm", Geometry(1, *SIZE, 4))
    scaling = replace(model.scaling, value_range=((0.0, 150.0),), transform=("dbz",))
    model = replace(model, scaling=scaling)
    session = exported(tmp_path, model)
    found = differences(session, model, frames_of(1, *SIZE, (0, 50)), 4)
    # Where the network says 0, one rounds to nothing and the other to the floor of 0 dBZ.
    assert found.max() < TOLERANCE + DBZ_FLOOR / 150
    assert np.mean(found > TOLERANCE) < 0.01


@pytest.mark.parametrize(("readout", "scales"), [("motion", ()), ("cascade", (1.0, 2.0, 6.0))])
def test_what_is_carried_on_is_exported_for_its_steps_and_size(
    tmp_path: Path, readout: Literal["motion", "cascade"], scales: tuple[float, ...]
) -> None:
    torch.manual_seed(0)
    model = model_of("convlstm", Geometry(1, *SIZE, 4))
    a = replace(model.network.architecture, readout=readout, scales=scales, patch_size=4)
    network = Network(a)
    for weight in network.readout.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    model = replace(model, network=network)
    session = exported(tmp_path, model, "--size", "41x35", "--steps", "3")
    assert [own.name for own in session.get_inputs()] == ["frames"]
    assert differences(session, model, frames_of(1, 41, 35, (-32, 64)), 3).max() < TOLERANCE


def test_the_file_tells_what_it_is_and_no_path_of_the_machine(tmp_path: Path) -> None:
    model = model_of("convlstm", Geometry(1, *SIZE, 4))
    session = exported(tmp_path, model)
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["value_range"]) == [[-32, 64]]
    assert json.loads(about["context_frames"]) == 3
    assert [own.shape for own in session.get_inputs()] == [["batch", 3, 1, "row", "col"], []]
    assert session.get_outputs()[0].shape == ["batch", "lead", 1, "row", "col"]
    content = (tmp_path / "out.onnx").read_bytes()
    assert b"/convlstm/" not in content
    assert str(tmp_path).encode() not in content
