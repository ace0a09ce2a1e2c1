"""Forecasts every five minutes: the command as a service runs it, and 500 frames at speed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convlstm.model import model_file
from convlstm.model.network import Architecture, Network
from convlstm.patch.folding import Geometry
from tests.builders import ROOT, model_of, run_stage
from tests.system.serve_cycles import FRAMES, FULL_EACH

PATIENCE_SECONDS = 60.0  # on a busy machine; what is measured stands in NOTES.md
STOP_SECONDS = 5.0
GROWTH_BYTES = 6 * 2**20
WORDS = ("-m", "stages.forecast", "in", "out", "-S", "time_format=R%Y%m%d%H%M")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an untrained cascade (3 frames to 2), and three frames in `in`."""
    torch.manual_seed(0)
    geometry = Geometry(1, 22, 22, 2)
    architecture = Architecture("convlstm", (3,), 3, 4, 11, 11, "cascade", (2.0, 4.0), 2)
    model = model_of("convlstm", geometry)
    scaling = replace(model.scaling, value_range=((0.0, 255.0),), missing_value=())
    model = replace(model, network=Network(architecture), scaling=scaling)
    (tmp_path / "data").mkdir()
    model_file.save(tmp_path / "data/model.safetensors", model)
    (tmp_path / "in").mkdir()
    for minute in (0, 5, 10):
        arrive(tmp_path, minute)
    return tmp_path


def arrive(place: Path, minute: int) -> None:
    frame = np.random.default_rng(minute).integers(0, 200, (22, 22), np.uint8)
    hidden = place / f"in/.{minute}.png"
    Image.fromarray(frame).save(hidden)
    hidden.rename(place / f"in/R2026010100{minute:02d}.png")


def made(place: Path) -> list[str]:
    return sorted(path.name for path in place.glob("out/[!.]*"))


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@contextmanager
def serving(place: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *WORDS, "--watch"],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:  # which closes its pipes
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_forecasts_what_arrives_until_it_is_stopped(
    place: Path, number: signal.Signals
) -> None:
    with serving(place) as process:
        until(lambda: made(place) == ["20260101T001000Z.nc"])
        arrive(place, 15)
        until(lambda: made(place)[1:] == ["20260101T001500Z.nc"])
        process.send_signal(number)
        out, err = process.communicate(timeout=STOP_SECONDS)
    assert (process.returncode, err) == (128 + number, f"error: stopped by {number.name}\n")
    assert out.splitlines() == [
        "watches in for frames; Ctrl-C ends it",
        "out/20260101T001000Z.nc: 2 frames after R202601010010.png",
        "out/20260101T001500Z.nc: 2 frames after R202601010015.png",
    ]
    assert [path.name for path in place.glob("out/.*")] == []


def test_a_killed_service_leaves_nothing_that_stops_the_next_one(place: Path) -> None:
    with serving(place) as process:
        until(lambda: made(place) == ["20260101T001000Z.nc"])
        process.kill()
    arrive(place, 15)
    done = run_stage(place, *WORDS, "--newest")
    assert (done.returncode, done.stderr) == (0, "")
    assert made(place) == ["20260101T001000Z.nc", "20260101T001500Z.nc"]


def test_what_cron_calls_says_in_a_line_and_a_status_why_there_is_no_forecast(place: Path) -> None:
    (place / "in/R202601010005.png").unlink()
    done = run_stage(place, *WORDS, "--newest")
    line = "error: in: fewer than the 3 frames from which a forecast starts\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)
    done = run_stage(place, *WORDS, "--newest", "--overwrite")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --overwrite: what is there is left alone")


@pytest.mark.slow
@pytest.mark.parametrize("layout", [[], ["%Y/%m/%d"], ["%Y%m%d"]])
def test_of_500_frames_with_faults_each_window_is_forecast_in_constant_memory(
    place: Path, layout: list[str]
) -> None:
    script = str(ROOT / "tests/system/serve_cycles.py")
    done = run_stage(place, script, "data/model.safetensors", *layout)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    lost = {number for number in range(FRAMES) if number % 50 == 49 or number % 70 == 69}
    whole = [n for n in range(2, FRAMES) if lost.isdisjoint(range(n - 2, n + 1))]
    assert found["made"] == whole
    after_100, after_500 = found["resident"]
    print(f"resident: {after_100:,} bytes after 100 frames, {after_500:,} after 500")
    assert after_500 - after_100 < GROWTH_BYTES
    full = sum("no room for it" in line for line in done.stderr.splitlines())
    assert full == sum(number % FULL_EACH == FULL_EACH - 1 for number in whole)
