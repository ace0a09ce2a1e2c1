"""`python -m stages.forecast FRAMES OUT`, as a user calls it."""

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from convlstm.forecast import command
from convlstm.model import model_file
from convlstm.runtime import signals
from stages.forecast import MODEL
from tests.builders import SmallRun, run_stage


@pytest.fixture
def place(small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the small run's model (3 frames to 2) and five frames of its demo."""
    monkeypatch.setattr(signals, "listen", lambda **_: None)  # the signals stay pytest's
    (tmp_path / "data").mkdir()
    shutil.copy(small_run.folder / MODEL, tmp_path / MODEL)
    (tmp_path / "in").mkdir()
    for time in range(5):
        shutil.copy(small_run.folder / f"data/demo/000/{time:02d}.png", tmp_path / "in")
    return tmp_path


def forecast(place: Path, *arguments: str) -> None:
    """Run the command in this process, which has torch already."""
    with contextlib.chdir(place):
        command.run(arguments, prog="forecast", default_model=MODEL)


def test_a_folder_of_frames_is_continued(place: Path) -> None:
    done = run_stage(place, "-m", "stages.forecast", "in", "out")
    assert (done.returncode, done.stdout) == (0, "out: 2 frames after 04.png\n"), done.stderr
    for name in ("001.png", "002.png"):
        with Image.open(place / "out" / name) as image:
            assert (image.mode, image.size) == ("L", (22, 22))


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        ({"pixel_values": "guess"}, "pixel_values = 'guess': should be 'gray'"),
        ({"raw_axes": "ABC"}, "raw_axes = 'ABC': must name each axis once"),
        ({"extra": 1}, "extra = 1: unknown key"),
    ],
)
def test_a_model_of_an_impossible_reading_is_refused(
    place: Path, reading: dict[str, object], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = model_file.load(place / MODEL, torch.device("cpu"))
    model_file.save(place / MODEL, replace(made, reading={**made.reading, **reading}))
    with pytest.raises(SystemExit) as ended:
        forecast(place, "in", "out")
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {MODEL}: {words}")
    assert not (place / "out").exists()


def test_any_number_of_steps_can_be_asked_for(place: Path) -> None:
    forecast(place, "in", "out", "--steps", "7")
    with h5py.File(place / "out/forecast.h5") as file:
        assert file["frames"].shape == (7, 1, 22, 22)
        assert file["frames"][:].min() >= 0
        assert file["frames"][:].max() <= 255
    assert len(list((place / "out").glob("0*.png"))) == 7


def test_only_the_last_context_frames_are_read(place: Path) -> None:
    forecast(place, "in", "out")
    (place / "in/00.png").write_text("broken, but long past")
    (place / "in/01.png").unlink()
    forecast(place, "in", "again")
    for name in ("001.png", "002.png"):
        assert (place / "out" / name).read_bytes() == (place / "again" / name).read_bytes()


def test_each_of_several_sequences_has_its_own_folder(place: Path) -> None:
    shutil.copytree(place / "in", place / "both/may")
    shutil.copytree(place / "in", place / "both/june")
    forecast(place, "both", "out")
    assert {path.name for path in (place / "out").iterdir()} == {"may", "june"}
    assert (place / "out/may/002.png").is_file()


def test_an_array_of_another_size_and_range_is_read_as_the_options_say(place: Path) -> None:
    frames = np.random.default_rng(0).uniform(0, 1, (30, 41, 5)).astype(np.float32)
    np.save(place / "frames.npy", frames)
    changes = ("-S", "raw_axes=HWT", "-S", "value_range=[0, 1]")
    forecast(place, "frames.npy", "out", *changes, "--steps", "4")
    answer = np.load(place / "out/forecast.npy")
    assert answer.shape == (30, 41, 4)
    assert answer.dtype == np.float32
    assert answer.max() <= 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere", "out"), "raw = 'nowhere': no such folder"),
        (("in", "in/out"), "in/out: lies in in"),
        (("in", "data"), "data: is there already"),
        (("in", "out", "--steps", "0"), "steps = 0: must be at least 1"),
        (("in", "out", "--model", "none"), "none: no such file"),
        (("in", "out", "--model", "in/00.png"), "in/00.png: no model of this project"),
        (("in", "out", "-S", "lr=1"), "-S lr=1: give key=value"),
        (("in", "out", "-S", "value_range=[0,9]"), "lies outside value_range [0, 9]"),
        (("in", "out", "-S", "pixel_values=rgb"), "02.png: holds grey values"),
        (("few", "out"), "few: 2 frames, but the model starts from 3"),
        (("colours", "out", "-S", "pixel_values=rgb"), "3 channels, but the model has 1"),
        (("in", "out", "-S", "time_format=%Y"), "time_format = '%Y' does not fit"),
    ],
)
def test_what_cannot_be_forecast_is_said_and_nothing_is_written(
    place: Path, arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "few").mkdir()
    (place / "colours").mkdir()
    for time in range(3):
        if time < 2:
            shutil.copy(place / f"in/{time:02d}.png", place / "few")
        Image.new("RGB", (22, 22)).save(place / f"colours/{time}.png")
    before = sorted(place.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        forecast(place, *arguments)
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("error: ") for line in lines)
    assert words in lines[0]
    assert sorted(place.rglob("*")) == before
