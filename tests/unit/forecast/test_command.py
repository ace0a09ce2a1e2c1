"""The installed command forecasts as the stage does, and ends with a status where it cannot."""

import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from convlstm.forecast import command
from convlstm.forecast.params import Forecast
from convlstm.ingest import readers
from convlstm.model import model_file
from convlstm.patch.folding import Geometry
from convlstm.runtime import signals
from convlstm.storage.frames import Frame
from convlstm.storage.meaning import Channel, Coordinate, Grid, Meaning
from tests.builders import MINUTE, ROOT, model_of, run_stage

MODEL = "data/model.safetensors"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a working folder with a model (3 frames to 2) and with five frames in `in`."""
    monkeypatch.setattr(signals, "listen", lambda **_: None)  # the signals stay those of pytest
    monkeypatch.chdir(tmp_path)
    model_file.save(tmp_path / MODEL, model_of("convlstm", Geometry(1, 12, 16, 4)))
    (tmp_path / "in").mkdir()
    frames = np.random.default_rng(0).integers(0, 65, (5, 12, 16), np.uint8)
    for time, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"in/{time:02d}.png")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_command_forecasts_as_the_stage_does(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run_stage(place, "-m", "stages.forecast", "in", "of stage")
    assert (done.returncode, done.stdout) == (0, "of stage: 2 frames after 04.png\n"), done.stderr
    command.run([MODEL, "in", "of command"], prog="convlstm-forecast")
    assert capsys.readouterr().out == "of command: 2 frames after 04.png\n"
    forecast = contents(place / "of command")
    assert set(forecast) == {".forecast", "001.png", "002.png", "forecast.h5", "forecast.gif"}
    assert forecast == contents(place / "of stage")


def test_the_installed_command_takes_its_words_from_the_command_line(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["anywhere/python", MODEL, "in", "out", "--steps", "4"])
    command.main()
    assert len(list((place / "out").glob("*.png"))) == 4


def test_with_a_default_model_another_one_is_an_option(place: Path) -> None:
    command.run(["in", "out"], prog="x", default_model=MODEL)
    (place / MODEL).rename(place / "other.safetensors")
    command.run(["in", "again", "--model", "other.safetensors"], prog="x", default_model=MODEL)
    assert contents(place / "again") == contents(place / "out")


def test_a_change_decides_how_frames_are_read(place: Path) -> None:
    frames = np.random.default_rng(0).uniform(0, 1, (12, 16, 3)).astype(np.float32)
    np.save(place / "frames.npy", frames)
    changes = ["-S", "raw_axes=HWT", "-S", "value_range=[0, 1]"]
    command.run([MODEL, "frames.npy", "out", *changes], prog="x")
    forecast = np.load(place / "out/forecast.npy")
    assert (forecast.shape, forecast.dtype) == ((12, 16, 2), np.float32)
    assert 0 <= forecast.min() <= forecast.max() <= 1


@pytest.fixture
def several(place: Path) -> Path:
    """Make `all`: two sequences of five frames, one of two, and one that cannot be read."""
    for name in ("early", "late/evening", "rain", "short"):
        shutil.copytree(place / "in", place / "all" / name)
    for time in (2, 3, 4):
        (place / f"all/short/{time:02d}.png").unlink()
    (place / "all/rain/04.png").write_text("no picture")
    return place


def test_a_sequence_that_cannot_be_forecast_is_named_and_does_not_stop_the_others(
    several: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.run([MODEL, "all", "out"], prog="x")
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "out/early: 2 frames after 04.png",
        "out/late/evening: 2 frames after 04.png",
    ]
    unreadable, short = printed.err.splitlines()
    assert unreadable.startswith("error: all/rain/04.png: cannot be read as an image")
    assert short == "error: short: 2 frames, but the model starts from 3"
    made = {path.parent.relative_to(several) for path in several.glob("out/**/forecast.h5")}
    assert made == {Path("out/early"), Path("out/late/evening")}
    assert not (several / "out/short").exists()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("late/evening/x.png", "late/evening/x.png: time_format = '%M' does not fit"),
        ("late/evening/4.png", "late/evening/4.png: the same time as 04.png"),
    ],
)
def test_a_sequence_whose_names_have_faults_does_not_stop_the_others(
    several: Path, capsys: pytest.CaptureFixture[str], fault: str, words: str
) -> None:
    for name in ("rain", "short"):
        shutil.rmtree(several / "all" / name)
    shutil.copy(several / "in/04.png", several / "all" / fault)
    with pytest.raises(SystemExit) as ended:
        command.run([MODEL, "all", "out", "-S", "time_format=%M"], prog="x")
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == "out/early: 2 frames after 04.png\n"
    (line,) = printed.err.splitlines()
    assert line.startswith(f"error: all/{words}")
    assert {path.name for path in (several / "out").iterdir()} == {"early"}


def test_a_film_that_cannot_be_read_leaves_the_other_one_a_folder_of_its_own(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "films").mkdir()
    np.save(place / "films/a.npy", np.zeros((5, 12, 16)))
    (place / "films/b.npy").write_text("no array")
    for out in ("out", "out.nc"):
        with pytest.raises(SystemExit):
            command.run([MODEL, "films", out], prog="x")
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: films/b.npy: cannot be read as an array file")
    assert not (place / "out.nc").exists()
    np.save(place / "films/b.npy", np.zeros((5, 12, 16)))
    command.run([MODEL, "films", "out"], prog="x")
    assert capsys.readouterr().out.splitlines() == [
        "out/a: is complete already",
        "out/b: 2 frames after b.npy",
    ]


def test_a_second_run_makes_what_is_missing(
    several: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.run([MODEL, "all", "out"], prog="x")
    before = contents(several / "out/early")
    shutil.copy(several / "in/04.png", several / "all/rain")
    shutil.copy(several / "in/04.png", several / "all/short")
    capsys.readouterr()
    command.run([MODEL, "all", "out"], prog="x")
    assert capsys.readouterr().out.splitlines() == [
        "out/early: is complete already",
        "out/late/evening: is complete already",
        "out/rain: 2 frames after 04.png",
        "out/short: 2 frames after 04.png",
    ]
    assert contents(several / "out/early") == before


def test_another_forecast_is_replaced_if_that_is_asked_for(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.run([MODEL, "in", "out"], prog="x")
    longer = [MODEL, "in", "out", "--steps", "4"]
    with pytest.raises(SystemExit):
        command.run(longer, prog="x")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: out: holds a forecast of other frames, options or model; ")
    command.run([*longer, "--overwrite"], prog="x")
    assert len(list((place / "out").glob("*.png"))) == 4
    (place / "out/002.png").unlink()
    command.run(longer, prog="x")
    assert len(list((place / "out").glob("*.png"))) == 4


def test_other_files_are_never_lost(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.run([MODEL, "in", "out"], prog="x")
    (place / "out/notes.txt").write_text("mine")
    with pytest.raises(SystemExit):
        command.run([MODEL, "in", "out", "--overwrite"], prog="x")
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "error: out/notes.txt: would be lost with the old forecast; move it"
    (place / "mine").mkdir()
    (place / "mine/notes.txt").write_text("mine")
    with pytest.raises(SystemExit):
        command.run([MODEL, "in", "mine", "--overwrite"], prog="x")
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "error: mine: is there already; give a new folder, so that nothing is lost"


def test_a_netcdf_file_is_replaced_if_that_is_asked_for(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.run([MODEL, "in", "out.nc"], prog="x")
    with pytest.raises(SystemExit):
        command.run([MODEL, "in", "out.nc"], prog="x")
    assert "error: out.nc: is there already" in capsys.readouterr().err
    (place / "out.nc").write_text("old")
    command.run([MODEL, "in", "out.nc", "--overwrite"], prog="x")
    assert (place / "out.nc").read_bytes()[1:4] == b"HDF"


@pytest.mark.parametrize("how", [[], ["--newest"], ["--watch"]])
def test_more_steps_than_memory_can_hold_end_with_its_status_at_once(
    place: Path, how: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.run([MODEL, "in", "out", "--steps", "1000000000000", *how], prog="x")
    assert ended.value.code == 4
    (printed,) = capsys.readouterr().err.splitlines()
    assert printed.startswith("error: steps = 1000000000000: forecasts of 4 x 4 pixels take at ")
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["none", "in", "out"], "error: none: no such file; `dvc repro` trains a model"),
        ([MODEL, "in", "in/out"], "error: in/out: lies in in, and would be read as part of it; "),
        ([MODEL, "in", "out", "--steps", "0"], "error: steps = 0: must be at least 1"),
        ([MODEL, "in", "out", "--steps", "0", "--watch"], "error: steps = 0: must be at least 1"),
        ([MODEL, "in", "out", "--members", "4", "--watch"], "error: members = 4: this model has "),
        ([MODEL, "in", "out", "-S", "lr=1"], "error: -S lr=1: give key=value, with a key of "),
    ],
)
def test_an_error_is_one_line_and_a_status_and_writes_nothing(
    place: Path, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(place.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        command.run(arguments, prog="convlstm-forecast")
    assert ended.value.code == 2
    (printed,) = capsys.readouterr().err.splitlines()
    assert printed.startswith(line)
    assert sorted(place.rglob("*")) == before


def test_a_bad_command_line_ends_with_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.run(["in", "out"], prog="convlstm-forecast")
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("usage: convlstm-forecast ")
    assert "model frames out" in " ".join(printed.split())


def test_the_help_names_every_key_that_can_be_changed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.run(["--help"], prog="convlstm-forecast")
    assert ended.value.code == 0
    words = set(capsys.readouterr().out.replace(",", " ").split())
    assert set(Forecast.model_fields) <= words


def said_by(path: Path, meaning: Meaning, numbers: np.ndarray) -> Callable[..., Iterator[Frame]]:
    """Return a reader of one file, whose numbers mean this and were taken 5 minutes apart."""

    def frames(_: Path, *__: object) -> Iterator[Frame]:
        for time, values in enumerate(numbers):
            yield Frame(values[None], meaning, 5 * MINUTE * time)

    np.save(path, numbers)
    return frames


def test_units_times_and_places_of_the_input_stand_in_the_netcdf_file(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinate = Coordinate(("x",), np.arange(16) * 2000.0, {"units": "m"})
    rain = Channel("DBZH", "dBZ", 0.5, -32.0, missing=(255.0,))
    meaning = Meaning((rain,), Grid({"x": coordinate}, {"grid_mapping_name": "mercator"}))
    numbers = np.random.default_rng(0).integers(0, 190, (5, 12, 16), np.uint8)
    numbers[:, 2, 3] = 255
    reader = said_by(place / "in.npy", meaning, numbers)
    monkeypatch.setattr(readers, "frames", reader)
    command.run([MODEL, "in.npy", "out.nc"], prog="x")
    with h5py.File(place / "out.nc") as file:
        assert file["forecast"].attrs["units"] == "dBZ"
        assert file["forecast"].attrs["grid_mapping"] == "crs"
        assert file["x"][:3].tolist() == [0, 2000, 4000]
        assert file["lead"][:].tolist() == [300, 600]
        assert file["forecast_reference_time"][()] == 20 * 60
        missing = np.isnan(file["forecast"][:])
    assert missing[:, 2, 3].all()
    assert missing.sum() == 2


def test_a_file_of_another_unit_than_in_training_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = model_of("convlstm", Geometry(1, 12, 16, 4))
    trained = replace(made, quantities=(made.quantities[0]._replace(unit="dBZ"),))
    model_file.save(place / MODEL, trained)
    reader = said_by(place / "in.npy", Meaning((Channel("rain", "mm/h"),)), np.zeros((5, 12, 16)))
    monkeypatch.setattr(readers, "frames", reader)
    with pytest.raises(SystemExit):
        command.run([MODEL, "in.npy", "out"], prog="x")
    assert "in: its unit is 'mm/h', but the model was trained on 'dBZ'" in capsys.readouterr().err


def test_pictures_that_say_their_depth_only_have_the_unit_of_training(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = model_of("convlstm", Geometry(1, 12, 16, 4))
    trained = replace(made, quantities=(made.quantities[0]._replace(name="rain", unit="dBZ"),))
    model_file.save(place / MODEL, trained)
    said = Meaning((Channel(white=65535, missing=(7.0,)),))
    monkeypatch.setattr(
        readers, "frames", said_by(place / "in.npy", said, np.zeros((5, 12, 16), np.uint16))
    )
    command.run([MODEL, "in.npy", "out.nc"], prog="x")
    with h5py.File(place / "out.nc") as file:
        assert file["forecast"].attrs["units"] == "dBZ"
        assert file["forecast"].attrs["long_name"] == "forecast of rain"


def test_the_lines_of_the_manual_for_services_are_understood() -> None:
    """Of systemd, which takes %% for %, and of cron, which takes a backslash before it."""
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    units = re.findall(r"^ExecStart=\S+/convlstm-forecast (.*)$", page, re.MULTILINE)
    tables = re.findall(r"^\*/5 \* \* \* \* \S+/convlstm-forecast (.*)$", page, re.MULTILINE)
    lines = [*(line.replace("%%", "%") for line in units)]
    lines += [line.replace(r"\%", "%") for line in tables]
    parsed = [command._parser("x", None).parse_args(shlex.split(line)) for line in lines]
    assert [(own.watch, own.newest, own.members) for own in parsed] == [
        (True, False, "24"),
        (False, True, "24"),
    ]
    assert {*parsed[0].changes} == {*parsed[1].changes} == {"time_format=RAD_%Y%m%d%H%M"}


def test_a_watch_and_overwrite_do_not_go_together(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.run([MODEL, "in", "out", "--watch", "--overwrite"], prog="x")
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: --overwrite: what is there is left alone")
    assert not (place / "out").exists()


def test_newest_by_the_command_is_a_file_named_by_the_last_frame(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.run([MODEL, "in", "out", "--newest"], prog="x")
    assert capsys.readouterr().out == "out/04.nc: 2 frames after 04.png\n"
    assert [path.name for path in (place / "out").iterdir()] == ["04.nc"]
