"""`import convlstm` is quick, and gives the version and the loader of a model."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import convlstm
from convlstm.forecast import forecaster
from convlstm.model import model_file
from convlstm.patch.folding import Geometry
from convlstm.version import VERSION
from tests.builders import ROOT, model_of


def printed(code: str) -> str:
    """Return what `code` prints in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("use", ["", "convlstm.__version__"])
def test_the_package_alone_imports_neither_torch_nor_numpy(use: str) -> None:
    code = f"import sys, convlstm; {use}\nprint(sorted({{'torch', 'numpy'}} & set(sys.modules)))"
    assert printed(code) == "[]"


def test_the_version_is_the_one_that_is_written_down_once() -> None:
    assert convlstm.__version__ == VERSION
    assert printed("import convlstm; print(convlstm.__version__)") == VERSION


def test_load_is_that_of_the_forecaster(tmp_path: Path) -> None:
    made = model_of("convlstm", Geometry(1, 12, 16, 4))
    model_file.save(tmp_path / "model.safetensors", made)
    frames = np.random.default_rng(0).uniform(-32, 64, (3, 1, 12, 16)).astype(np.float32)
    loaded = convlstm.load(tmp_path / "model.safetensors")
    assert isinstance(loaded, forecaster.Forecaster)
    expected = forecaster.Forecaster(made, made.scaling).predict(frames)
    np.testing.assert_array_equal(loaded.predict(frames), expected)


def test_every_name_that_is_promised_is_there_and_no_other() -> None:
    assert all(hasattr(convlstm, name) for name in convlstm.__all__)
    with pytest.raises(AttributeError, match="module 'convlstm' has no attribute 'lod'"):
        convlstm.lod  # noqa: B018 - looked up for its error
