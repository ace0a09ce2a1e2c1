"""Real frames through the whole pipeline, without a change to the code.

The folder that CONVLSTM_TEST_DATA names holds `radar/mch`: three events of MeteoSwiss composites,
40 palette GIFs each, whose index is a class of rain rate, 255 outside the radars' reach.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import STAGES, run_stage, write_params
from PIL import Image

from convlstm import store

DATA = Path(os.environ.get("CONVLSTM_TEST_DATA", "absent"))
pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="CONVLSTM_TEST_DATA names no folder"),
]

SMALL_NETWORK: dict[str, object] = {"hidden_channels": [4], "epochs": 1, "stride": 30}


def run_pipeline(folder: Path, **changes: object) -> dict[str, dict[str, float]]:
    """All stages but the demo, with a network that takes seconds; returns the summary."""
    write_params(folder, **SMALL_NETWORK, **changes)
    for stage in STAGES[1:]:
        done = run_stage(folder, "-m", f"stages.{stage}")
        assert done.returncode == 0, done.stderr
    summary: dict[str, dict[str, float]] = json.loads(
        (folder / "data/metrics/summary.json").read_text(encoding="utf-8")
    )
    return summary


def test_meteoswiss_palette_gifs_run_to_the_plots(tmp_path: Path) -> None:
    raw = DATA / "radar/mch"
    summary = run_pipeline(
        tmp_path, raw=str(raw), pixel_values="index", missing_value=255, tile_size=140
    )
    with store.reading(tmp_path / "data/frames.h5") as file:
        sequences = store.sequences(file)
        assert {name: len(frames) for name, frames in sequences.items()} == {
            "20150515": 40,
            "20160711": 40,
            "20170131": 40,
        }
        first = min((raw / "20150515").iterdir())
        with Image.open(first) as image:
            np.testing.assert_array_equal(sequences["20150515"][0, 0], np.asarray(image))
    assert summary["persistence"]["mse"] < summary["zeros"]["mse"]  # rain goes on for a while
    assert (tmp_path / "data/plots/forecast.gif").is_file()
