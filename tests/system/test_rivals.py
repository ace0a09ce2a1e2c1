"""The nowcasts of pysteps beside ours, on blobs of known motion, and ours within its blending."""

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import xarray

from convlstm.storage import netcdf
from convlstm.storage.meaning import Channel
from tests.builders import MINUTE, ROOT, patches_of, write_params

pytest.importorskip("pysteps", reason="needs the extra `rivals`")
pytestmark = pytest.mark.rivals

ROWS = ("pysteps extrapolation", "pysteps sprog", "pysteps steps, mean", "pysteps linda, mean")


def moving(seed: int, frames: int = 13, size: int = 64) -> np.ndarray:
    """Spots of rain that all move two pixels to the right per frame, in bytes."""
    rows, cols = np.mgrid[:size, :size]
    rng, drawn = np.random.default_rng(seed), np.zeros((frames, 1, size, size))
    for row, col, width in rng.uniform((8, -20, 3), (56, 60, 6), (12, 3)):
        for time in range(frames):
            away = (rows - row) ** 2 + (cols - col - 2 * time) ** 2
            drawn[time, 0] += 150 * np.exp(-away / (2 * width**2))
    return drawn.clip(0, 250).astype(np.uint8)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of an untrained cascade and of pysteps on one test window."""
    folder = tmp_path_factory.mktemp("rivals")
    films = {name: moving(seed) for seed, name in enumerate(("a", "b", "c"))}
    films["c"][:, :, 40:, :6] = 255  # not measured
    (folder / "data").mkdir()
    patches_of(
        folder / "data",
        films,
        forecast_frames=3,
        context_frames=10,
        split=(0.34, 0.33, 0.33),
        missing_value=(255.0,),
    )
    write_params(folder, hidden_channels=[3])
    command = [sys.executable, "-m", "tests.benchmarks.rivals", "--untrained", "--members", "3"]
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def scores_of(printed: str) -> dict[str, list[str]]:
    """The cells of each row of the first table."""
    first = printed.split(" windows, ")[1]
    lines = [line.strip("| ").split(" | ") for line in first.splitlines() if line.startswith("| ")]
    return {cells[0]: cells[1:] for cells in lines[1:]}


def test_pysteps_follows_a_motion_that_persistence_misses(printed: str) -> None:
    rows = scores_of(printed)
    for name in (*ROWS, "advection"):
        assert float(rows[name][0]) < float(rows["persistence"][0]) / 2, name
    assert "only extrapolated" not in printed  # none of them failed


def test_an_ensemble_has_a_spread_and_one_forecast_has_none(printed: str) -> None:
    rows = scores_of(printed)
    for name in ("model, untrained", "pysteps steps", "pysteps linda"):
        assert 0 < float(rows[f"{name}, mean"][4]) < 10
        assert rows[f"{name}, a member"][4] == ""
        assert float(rows[f"{name}, mean"][1]) < float(rows[f"{name}, a member"][1])


def test_persistence_is_scored_over_measured_pixels_as_by_hand(printed: str) -> None:
    film = moving(2).astype(float) / 255
    film[:, :, 40:, :6] = np.nan
    squares = [np.nansum((film[9] - film[9 + lead]) ** 2) for lead in (1, 2, 3)]
    assert float(scores_of(printed)["persistence"][0]) == pytest.approx(np.mean(squares), abs=0.06)


def rain(seed: int, frames: int) -> np.ndarray:
    """Return moving spots in mm/h, 0.1 and more, or 0."""
    found = moving(seed, frames)[:, 0] / 20.0
    return np.where(found < 0.1, 0, found)


def in_dbr(rates: np.ndarray) -> np.ndarray:
    """Return rates in dBR, those below 0.1 mm/h as -15, as pysteps wants them."""
    return np.where(rates < 0.1, -15.0, 10 * np.log10(np.maximum(rates, 0.1)))


@pytest.mark.filterwarnings("ignore")  # pysteps divides by zero where nothing rains
def test_a_forecast_in_netcdf_is_an_external_nowcast_of_pysteps_blending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blend begins like the nowcast that it is given, and not like the weather model."""
    from pysteps.blending import steps

    monkeypatch.chdir(tmp_path)  # where pysteps notes the skill of models
    leads, observed, model = 3, rain(0, 6), rain(7, 4)
    start = 1_767_225_600 * 10**6
    times = tuple(start + 5 * MINUTE * lead for lead in range(1, leads + 1))
    about = (Channel("rain", "mm/h", standard_name="rainfall_rate"),)
    axes = netcdf.Axes((leads, 1, 64, 64), 2, (), (), times, start, about)
    with netcdf.create(Path("forecast.nc"), axes, {}) as file:
        for member in range(2):
            file.write("members", observed[3:, None].astype(np.float32), at=(member,))
    with xarray.open_dataset("forecast.nc", engine="h5netcdf") as file:
        assert file["members"].attrs["units"] == "mm/h"
        members = file["members"].values
    now = np.broadcast_to(observed[2], (2, 1, 64, 64))
    motion = np.stack([np.full((64, 64), 2.0), np.zeros((64, 64))])
    blend = steps.forecast(
        precip=in_dbr(observed[:3]),
        precip_nowcast=in_dbr(np.concatenate([now, members], axis=1)),
        precip_models=in_dbr(model)[None],
        velocity=motion,
        velocity_models=np.broadcast_to(motion, (1, leads + 1, 2, 64, 64)),
        timesteps=leads,
        timestep=5,
        issuetime=datetime(2026, 1, 1),
        n_ens_members=2,
        n_cascade_levels=4,
        precip_thr=-10.0,
        kmperpixel=1.0,
        nowcasting_method="external_nowcast",
        noise_method=None,
        vel_pert_method=None,
        seed=0,
    )
    assert blend.shape == (2, leads, 64, 64)
    assert np.isfinite(blend).all()
    like_ours, like_model = (
        np.corrcoef(blend[:, 0].mean(axis=0).ravel(), in_dbr(truth).ravel())[0, 1]
        for truth in (observed[3], model[1])
    )
    assert like_ours > 0.8 > like_model
