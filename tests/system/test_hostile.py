"""Files that come from elsewhere: nothing in them is run, and none takes more memory than it may.

A pickle stands behind every file name that the pipeline loads; to run it would leave a file behind.
"""

import ast
import io
import json
import pickle
import struct
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from convlstm.demo import digits
from convlstm.ingest import readers
from convlstm.model import model_file
from convlstm.params import loading
from convlstm.patch.folding import Geometry
from convlstm.runtime.errors import BadInput
from convlstm.storage import hdf5
from convlstm.train.checkpoint import Checkpoints
from tests.builders import ROOT, model_of, reading_of

CPU = torch.device("cpu")
CODE = sorted(path for package in ("convlstm", "stages") for path in (ROOT / package).rglob("*.py"))


class Payload:
    """Pickled, it creates a file as soon as it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "it ran"


@pytest.fixture(params=[0, pickle.DEFAULT_PROTOCOL], ids=["text", "binary"])
def payload(request: pytest.FixtureRequest, marker: Path) -> bytes:
    """A pickle that would create the marker; that it works is shown here."""
    content = pickle.dumps(Payload(marker), request.param)
    pickle.loads(content)  # noqa: S301 - our own, to see that it runs
    marker.unlink()
    return content


def in_torch_zip(payload: bytes) -> bytes:
    """The pickle as torch.save would have packed it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", payload)
        archive.writestr("archive/version", "3")
    return buffer.getvalue()


def in_npy(marker: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Payload(marker)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def in_npz(marker: Path) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([Payload(marker)], dtype=object))
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", readers.KINDS)
def test_no_raw_file_runs_a_pickle(
    tmp_path: Path, suffix: str, payload: bytes, marker: Path
) -> None:
    path = tmp_path / f"frame{suffix}"
    for content in (payload, in_torch_zip(payload), in_npy(marker), in_npz(marker)):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=r"frame\."):
            list(readers.frames(path, reading_of()))
    assert not marker.exists()


def test_no_model_and_no_file_of_a_stage_runs_a_pickle(
    tmp_path: Path, payload: bytes, marker: Path
) -> None:
    path = tmp_path / "data"
    for content in (payload, in_torch_zip(payload), in_npy(marker)):
        path.write_bytes(content)
        with pytest.raises(BadInput, match="data: no model of this project"):
            model_file.load(path, CPU)
        with pytest.raises(BadInput, match="data: no readable HDF5"), hdf5.open_complete(path):
            pass
        with pytest.raises(BadInput, match="is not an idx file"):
            digits.load(path)
        with pytest.raises(BadInput, match="data: "):
            loading.read(path)
    assert not marker.exists()


def test_no_checkpoint_runs_a_pickle_whose_checksum_is_right(
    tmp_path: Path, payload: bytes, marker: Path
) -> None:
    saved = Checkpoints(tmp_path, {}, every_minutes=0.0)
    saved.folder.mkdir()
    for content in (payload, in_torch_zip(payload)):
        (saved.folder / "000000001.pt").write_bytes(sha256(content).digest() + content)
        states: list[dict[str, Any]] = []
        (note,) = saved.resume(states.append)
        assert states == []
        assert "it is not continued" in note
    assert not marker.exists()


def test_yaml_makes_no_objects(tmp_path: Path, marker: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f'lr: !!python/object/apply:pathlib.Path.touch ["{marker}"]\n')
    with pytest.raises(BadInput, match=r"params\.yaml: could not determine a constructor"):
        loading.read(path)
    assert not marker.exists()


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unpickles_or_evaluates(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name.split(".")[0] for alias in node.names}
            names |= {(getattr(node, "module", None) or "").split(".")[0]}
            assert not names & {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            options = {option.arg: ast.unparse(option.value) for option in node.keywords}
            assert called not in {"eval", "exec", "pd.read_pickle", "torch.export.load"}
            assert called != "torch.load" or options.get("weights_only") == "True"
            assert called != "np.load" or options.get("allow_pickle") == "False"
            assert called != "YAML" or options.get("typ") == "'safe'"


def absurd(**changes: object) -> bytes:
    """A model file whose description or header says what cannot be."""
    about = {"format": model_file.FORMAT, "architecture": {}, **changes}
    header = {"__metadata__": {"description": json.dumps(about)}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


ARCHITECTURE = {
    "cell": "convlstm",
    "hidden_channels": [3],
    "kernel_size": 3,
    "channels": 4,
    "rows": 4,
    "cols": 4,
}
DEEP = 100_000 * "["


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 90 * 2**20) + b"{" + b" " * 1000,
        absurd(architecture=ARCHITECTURE | {"hidden_channels": [2**40]}),
        absurd(architecture=ARCHITECTURE | {"hidden_channels": [1] * 100_000}),
        absurd(architecture=ARCHITECTURE | {"kernel_size": 2**31 + 1}),
        absurd(architecture=ARCHITECTURE | {"rows": -1}),
        absurd(architecture=ARCHITECTURE | {"rows": 4.0}),
        absurd(architecture=ARCHITECTURE | {"kernel_size": True}),
        absurd(architecture=ARCHITECTURE | {"hidden_channels": [True]}),
        absurd(architecture=ARCHITECTURE | {"cell": "transformer"}),
        absurd(architecture=ARCHITECTURE | {"channels": float("nan")}),
        absurd(format="convlstm-999"),
        struct.pack("<Q", len(DEEP)) + DEEP.encode(),
    ],
    ids=lambda content: repr(content[8:60]),
)
def test_an_absurd_model_is_refused_before_memory_is_taken(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="no model of this project"):
        model_file.load(path, CPU)


@pytest.mark.parametrize("key", ["geometry", "scaling", "reading", "context_frames", "sha256"])
def test_a_model_whose_description_was_changed_is_refused(tmp_path: Path, key: str) -> None:
    path = tmp_path / "model.safetensors"
    model_file.save(path, model_of("convlstm", Geometry(1, 8, 8, 2)))
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    about = json.loads(header["__metadata__"]["description"])
    about[key] = {"rows": 10**9} if isinstance(about[key], dict) else 7
    header["__metadata__"]["description"] = json.dumps(about)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    with pytest.raises(BadInput, match="damaged: its checksum is wrong"):
        model_file.load(path, CPU)


def test_an_archive_that_unpacks_to_more_than_memory_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames that follow each other are never unpacked as a whole."""
    path, by_rows = tmp_path / "bomb.npz", reading_of(raw_axes="HTW")
    np.savez_compressed(path, a=np.zeros((70, 256, 256), np.uint8))
    assert path.stat().st_size < 10_000
    assert len(list(readers.frames(path, by_rows))) == 256
    monkeypatch.setattr("convlstm.ingest.arrays.MOST_UNPACKED_BYTES", 70 * 256 * 256)
    with pytest.raises(BadInput, match=r"unpacks to 4,587,648 bytes; save it as \.npy"):
        next(readers.frames(path, by_rows))
    assert len(list(readers.frames(path, reading_of()))) == 70


def test_a_link_in_an_hdf5_file_to_another_file_is_not_followed_into_a_pickle(
    tmp_path: Path, payload: bytes, marker: Path
) -> None:
    (tmp_path / "other").write_bytes(payload)
    path = tmp_path / "frames.h5"
    with h5py.File(path, "w") as file:
        file["linked"] = h5py.ExternalLink("other", "/")
    with pytest.raises(BadInput, match=r"frames\.h5"):
        list(readers.frames(path, reading_of()))
    assert not marker.exists()
