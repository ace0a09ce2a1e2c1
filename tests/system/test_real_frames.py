"""Real frames through the whole pipeline, without a change to the code.

The folder that CONVLSTM_TEST_DATA names holds `radar/mch`, three events of MeteoSwiss composites,
40 palette GIFs each, whose index is a class of rain rate, 255 outside the radars' reach;
`radar/knmi`, 92 HDF5 files of one frame, mm in 5 minutes, as the files say; `radar/knmi2021`, 15
evenings of 36 such files, in dBZ; and `mnist`, an idx file of digits.
"""

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from convlstm.demo import digits
from convlstm.storage import frames as frames_h5
from tests.builders import STAGES, run_stage, write_params

DATA = Path(os.environ.get("CONVLSTM_TEST_DATA", "absent"))
pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="CONVLSTM_TEST_DATA names no folder"),
]

MINUTE = 60_000_000
SMALL_NETWORK: dict[str, object] = {"hidden_channels": [4], "epochs": 1, "stride": 30}


def run_pipeline(folder: Path, **changes: object) -> dict[str, dict[str, float]]:
    """Run all stages but demo, with a network that takes seconds; returns the summary."""
    write_params(folder, **{**SMALL_NETWORK, **changes})
    for stage in (stage for stage in STAGES if stage != "demo"):
        done = run_stage(folder, "-m", f"stages.{stage}")
        assert done.returncode == 0, done.stderr
    assert (folder / "data/plots/overview/forecast.gif").is_file()
    summary: dict[str, dict[str, float]] = json.loads(
        (folder / "data/metrics/summary.json").read_text(encoding="utf-8")
    )
    return summary


def test_meteoswiss_palette_gifs_run_to_the_plots(tmp_path: Path) -> None:
    raw = DATA / "radar/mch"
    summary = run_pipeline(
        tmp_path,
        raw=str(raw),
        pixel_values="index",
        missing_value=255,
        time_format="AQC%y%j%H%M",
        tile_size=140,
    )
    with frames_h5.opened(tmp_path / "data/frames") as stored:
        sequences = stored.sequences
        lengths = {name: len(sequence.frames) for name, sequence in sequences.items()}
        assert lengths == {"20150515": 40, "20160711": 40, "20170131": 40}
        found = sequences["20150515"]
        assert found.times is not None
        assert set(np.diff(found.times)) == {5 * MINUTE}
        first = min((raw / "20150515").iterdir())
        with Image.open(first) as image:
            np.testing.assert_array_equal(found.frames[0, 0], np.asarray(image))
    assert summary["persistence"]["mse"] < summary["zeros"]["mse"]  # rain goes on for a while


def test_knmi_of_2021_needs_its_folder_and_a_size_of_tiles_alone(tmp_path: Path) -> None:
    write_params(tmp_path, raw=str(DATA / "radar/knmi2021"), tile_size=140)
    for stage in ("check", "ingest", "patch"):
        done = run_stage(tmp_path, "-m", f"stages.{stage}")
        assert done.returncode == 0, done.stderr
    about = json.loads((tmp_path / "data/metrics/dataset.json").read_text(encoding="utf-8"))
    assert (about["frames"], about["sequences"], about["step_seconds"]) == (540, 15, 300)
    assert (about["first"], about["last"]) == ("2021-01-01 20:05:00", "2021-02-05 23:00:00")
    channel = about["channels"]["reflectivity"]
    # dBZ = 0.5 count - 32: counts of 1 to 181, and 19.5 % of each frame is out of the image
    assert (channel["unit"], channel["minimum"], channel["maximum"]) == ("dBZ", -31.5, 58.5)
    assert channel["missing_percent"] == pytest.approx(19.5, abs=0.01)
    assert (channel["range_low"], channel["range_high"]) == (-32, 26)


def test_knmi_hdf5_runs_to_the_plots_and_its_model_forecasts_meteoswiss(tmp_path: Path) -> None:
    raw = DATA / "radar/knmi"
    summary = run_pipeline(tmp_path, raw=str(raw), tile_size=140, split_by="time")
    assert summary["persistence"]["mse"] < summary["zeros"]["mse"]
    with frames_h5.opened(tmp_path / "data/frames") as stored:
        ((name, sequence),) = stored.sequences.items()
        assert (name, len(sequence.frames)) == ("knmi", 92)
        with h5py.File(min(raw.iterdir())) as first:
            np.testing.assert_array_equal(sequence.frames[0, 0], first["image1/image_data"][:])
    options = ["pixel_values=index", "missing_value=255", "value_range=[0,14]"]
    options += ["out_of_range=clip", "time_format=AQC%y%j%H%M"]
    changes = [word for change in options for word in ("-S", change)]
    frames = str(DATA / "radar/mch/20160711")
    done = run_stage(tmp_path, "-m", "stages.forecast", frames, "out", "--steps", "3", *changes)
    assert done.returncode == 0, done.stderr
    pictures = sorted((tmp_path / "out").glob("*.png"))
    assert len(pictures) == 3
    assert pictures[0].name.startswith("AQC161940005")  # the last frame is of 00:00, 12 July 2016
    with Image.open(pictures[0]) as image:
        assert (image.mode, image.size) == ("P", (710, 640))


def test_moving_mnist_is_made_and_runs_to_the_plots(tmp_path: Path) -> None:
    write_params(
        tmp_path,
        demo_kind="digits",
        demo_digits=str(DATA / "mnist"),
        demo_size=64,
        demo_sequences=12,
    )
    assert run_stage(tmp_path, "-m", "stages.demo").returncode == 0
    summary = run_pipeline(tmp_path)
    with frames_h5.opened(tmp_path / "data/frames") as stored:
        shapes = {sequence.frames.shape for sequence in stored.sequences.values()}
    assert shapes == {(20, 1, 64, 64)}
    assert summary["zeros"]["mse"] < summary["persistence"]["mse"]  # digits leave where they were


def test_moving_mnists_own_array_is_read_by_its_axes(tmp_path: Path) -> None:
    # as it is published, (20, 10000, 64, 64), but with three sequences made here
    made = digits.load(DATA / "mnist")
    sequences = [digits.sequence(made, frames=20, size=64, seed=0, index=n) for n in range(3)]
    np.save(tmp_path / "mnist_test_seq.npy", np.stack(sequences, axis=1))
    run_pipeline(tmp_path, raw="mnist_test_seq.npy", raw_axes="TNHW")
    with frames_h5.opened(tmp_path / "data/frames") as stored:
        found = stored.sequences
        np.testing.assert_array_equal(found["mnist_test_seq[2]"].frames[:, 0], sequences[2])
