"""The nowcasts of pysteps beside ours, on blobs of known motion."""

import subprocess
import sys

import numpy as np
import pytest

from tests.builders import ROOT, patches_of, write_params

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
