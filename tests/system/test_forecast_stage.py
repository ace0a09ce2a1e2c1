"""`python -m stages.forecast FRAMES OUT`, as a user calls it."""

import contextlib
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import xarray
from PIL import Image

from convlstm.forecast import command
from convlstm.model import model_file
from convlstm.model.network import Network
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


@pytest.fixture
def rainy(place: Path) -> Path:
    """The same folder, but with an untrained cascade, which has noise, and with times in names."""
    made = model_file.load(place / MODEL, torch.device("cpu"))
    torch.manual_seed(0)
    a = replace(made.network.architecture, readout="cascade", scales=(1.0, 2.0), patch_size=4)
    model_file.save(place / MODEL, replace(made, network=Network(a)))
    for time in range(5):
        (place / f"in/{time:02d}.png").rename(place / f"in/R2026010100{5 * time:02d}.png")
    return place


ENSEMBLE = ("--members", "6", "--seed", "3", "-S", "time_format=R%Y%m%d%H%M")
STATISTICS = ("--thresholds", "25,64", "--quantiles", "0.1,0.5,0.9")


def test_an_ensemble_is_written_as_one_netcdf_file(rainy: Path) -> None:
    words = ("in", "out.nc", *ENSEMBLE, *STATISTICS)
    done = run_stage(rainy, "-m", "stages.forecast", *words)
    assert (done.returncode, done.stdout) == (
        0,
        "out.nc: 6 members of 2 frames after R202601010020.png\n",
    ), done.stderr
    with xarray.open_dataset(rainy / "out.nc", engine="h5netcdf") as file:
        assert dict(file.sizes) == {
            "realization": 6,
            "threshold": 2,
            "quantile": 3,
            "lead": 2,
            "y": 22,
            "x": 22,
        }
        assert str(file["time"].values[0]).startswith("2026-01-01T00:25")
        assert file.attrs["seed"] == 3
        assert file.attrs["history"] == f"python -m stages.forecast {shlex.join(words)}"
        members = file["members"].values
        assert np.ptp(members, axis=0).max() > 1
        shares = np.stack([(members >= 25).mean(axis=0), (members >= 64).mean(axis=0)])
        np.testing.assert_allclose(file["probability_of_exceedance"], shares, rtol=1e-6)
        expected = np.quantile(members, (0.1, 0.5, 0.9), axis=0)
        np.testing.assert_allclose(file["quantiles"], expected, rtol=1e-6)


def test_an_ensemble_in_a_folder_has_the_mean_and_each_member(rainy: Path) -> None:
    forecast(rainy, "in", "out", *ENSEMBLE)
    forecast(rainy, "in", "again.nc", *ENSEMBLE)
    frames = {"R202601010025.png", "R202601010030.png"}
    assert {path.name for path in (rainy / "out").iterdir()} == {
        *frames,
        ".forecast",
        "forecast.gif",
        "forecast.h5",
        "forecast.nc",
        "members",
    }
    with (
        xarray.open_dataset(rainy / "out/forecast.nc", engine="h5netcdf") as file,
        xarray.open_dataset(rainy / "again.nc", engine="h5netcdf") as again,
        h5py.File(rainy / "out/forecast.h5") as mean,
    ):
        assert file.identical(again.assign_attrs(history=file.attrs["history"]))
        assert set(file.data_vars) == {"members", "mean"}
        members = file["members"].values
        np.testing.assert_allclose(mean["frames"][:, 0], members.mean(axis=0), rtol=1e-5)
    for number, member in enumerate(members, start=1):
        folder = rainy / f"out/members/{number:02d}"
        assert {path.name for path in folder.iterdir()} == frames
        with Image.open(folder / "R202601010030.png") as image:
            np.testing.assert_array_equal(np.asarray(image), np.rint(member[1]))


def test_each_of_several_sequences_has_an_ensemble_in_its_own_folder(rainy: Path) -> None:
    shutil.copytree(rainy / "in", rainy / "both/may")
    shutil.copytree(rainy / "in", rainy / "both/june")
    forecast(rainy, "both", "out", *ENSEMBLE)
    assert (rainy / "out/may/forecast.nc").is_file()
    assert (rainy / "out/june/members/06/R202601010025.png").is_file()


def test_one_forecast_is_written_as_netcdf(place: Path) -> None:
    forecast(place, "in", "out")
    forecast(place, "in", "out.nc")
    with (
        h5py.File(place / "out/forecast.h5") as mean,
        xarray.open_dataset(place / "out.nc", engine="h5netcdf") as file,
    ):
        np.testing.assert_array_equal(file["forecast"], mean["frames"][:, 0])
        assert "seed" not in file.attrs


def test_a_model_without_noise_gives_no_ensemble(place: Path) -> None:
    made = model_file.load(place / MODEL, torch.device("cpu"))
    a = replace(made.network.architecture, readout="frame", scales=())
    model_file.save(place / MODEL, replace(made, network=Network(a)))
    done = run_stage(place, "-m", "stages.forecast", "in", "out.nc", "--members", "24")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: members = 24: this model has the readout frame, which has no")
    assert not (place / "out.nc").exists()


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
        (("in", "in/out.nc"), "in/out.nc: lies in in"),
        (("in", "params.yaml"), "params.yaml: is there already"),
        (("both", "out.nc"), "out.nc: holds one sequence, and there are 2; give a new folder"),
        (("in", "out", "--members", "x"), "members = 'x': should be a valid integer"),
        (("in", "out", "--seed", "-1"), "seed = -1: should be greater than or equal to 0"),
        (("in", "out", "--thresholds", "25"), "thresholds = [25]: is of an ensemble"),
        (("in", "out", "--quantiles", "0.5"), "quantiles = [0.5]: is of an ensemble"),
        (("in", "out", "--members", "2", "--thresholds", "9,300"), "thresholds: 300 lies outside"),
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
    (place / "params.yaml").touch()
    for month in ("may", "june"):
        shutil.copytree(place / "in", place / "both" / month)
    before = sorted(place.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        forecast(place, *arguments)
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("error: ") for line in lines)
    assert words in lines[0]
    assert sorted(place.rglob("*")) == before
