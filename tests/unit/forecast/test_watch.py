"""A watch forecasts each newest frame once, whatever comes late, broken, twice or not at all."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray
from PIL import Image

from convlstm.forecast import making, watch
from convlstm.forecast.making import Maker
from convlstm.forecast.params import Ensemble
from convlstm.forecast.watch import FULL_SECONDS, Watch
from convlstm.ingest import readers
from convlstm.ingest.sources import Source
from convlstm.model import model_file
from convlstm.patch.folding import Geometry
from convlstm.runtime import locks
from convlstm.runtime.errors import BadInput, NoRoom
from tests.builders import MINUTE, model_of

ONE = Ensemble(members=1, seed=0, thresholds=(), quantiles=())
FRAMES = np.random.default_rng(0).integers(0, 65, (99, 12, 16), np.uint8)
DATED = ("time_format=R%Y%m%d%H%M",)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model (3 frames to 2), and an empty folder `in`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.0)
    model_file.save(tmp_path / "model", model_of("convlstm", Geometry(1, 12, 16, 4)))
    (tmp_path / "in").mkdir()
    return tmp_path


def maker(*changes: str) -> Maker:
    return making.load("model", changes, ONE, None, "the command line")


def watching(*changes: str) -> Watch:
    return Watch(maker(*(changes or DATED)), Path("in"), Path("out"))


def arrive(*minutes: int, folder: str = "in") -> None:
    """Put frames there, one every five minutes of the first hours of 2026."""
    for minute in minutes:
        name = f"R20260101{minute // 60:02d}{minute % 60:02d}.png"
        Image.fromarray(FRAMES[minute // 5]).save(Path(folder, name))


def cycles(service: Watch, count: int = 2) -> None:
    """Look as often as it takes to see that files have ended."""
    for _ in range(count):
        service.cycle()


def made() -> list[str]:
    return sorted(path.name for path in Path("out").glob("*"))


@pytest.mark.usefixtures("place")
def test_each_newest_frame_gets_its_forecast_once(capsys: pytest.CaptureFixture[str]) -> None:
    service = watching()
    arrive(0, 5, 10)
    assert service.cycle() == watch.LOOK_SECONDS
    assert made() == []  # may still be growing
    cycles(service, 3)
    assert made() == ["20260101T001000Z.nc"]
    arrive(15)
    cycles(service, 3)
    assert made() == ["20260101T001000Z.nc", "20260101T001500Z.nc"]
    assert capsys.readouterr().out.splitlines() == [
        "out/20260101T001000Z.nc: 2 frames after R202601010010.png",
        "out/20260101T001500Z.nc: 2 frames after R202601010015.png",
    ]


@pytest.mark.usefixtures("place")
def test_the_file_is_that_of_a_forecast_of_these_frames() -> None:
    arrive(0, 5, 10, 15)
    cycles(watching())
    frames = FRAMES[1:4, None].astype(np.float32)
    expected = maker().forecaster.predict(frames)
    with xarray.open_dataset("out/20260101T001500Z.nc", engine="h5netcdf") as file:
        np.testing.assert_allclose(file["forecast"], expected[:, 0], rtol=1e-5)
        assert str(file["time"].values[0]).startswith("2026-01-01T00:20")
        assert file.attrs["history"] == "the command line"


@pytest.mark.usefixtures("place")
def test_a_second_watch_makes_nothing_anew_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    arrive(0, 5, 10)
    cycles(watching())
    (first,) = Path("out").iterdir()
    before = first.stat()
    capsys.readouterr()
    service = watching()
    cycles(service, 3)
    assert capsys.readouterr() == ("", "")
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    arrive(15)
    cycles(service)
    assert len(made()) == 2


@pytest.mark.usefixtures("place")
def test_a_gap_is_said_once_and_a_late_frame_closes_it(capsys: pytest.CaptureFixture[str]) -> None:
    service = watching()
    arrive(0, 5, 10, 15)
    cycles(service)
    arrive(25)
    cycles(service, 5)
    assert made() == ["20260101T001500Z.nc"]
    assert capsys.readouterr().err.splitlines() == [
        "waits: in: a frame is missing, or the step changes, between 2026-01-01 00:15:00 and "
        "2026-01-01 00:25:00"
    ]
    arrive(20)
    cycles(service)
    assert made() == ["20260101T001500Z.nc", "20260101T002500Z.nc"]  # that of 20 comes too late


@pytest.mark.usefixtures("place")
def test_too_few_frames_are_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    service = watching()
    for minute in (0, 5):
        arrive(minute)
        cycles(service)
    line = "waits: in: fewer than the 3 frames from which a forecast starts\n"
    assert capsys.readouterr() == ("", line)


@pytest.mark.usefixtures("place")
def test_a_half_written_frame_is_read_when_it_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    service = watching()
    arrive(0, 5, 10)
    path = Path("in/R202601010010.png")
    whole = path.read_bytes()
    path.write_bytes(b"")
    for size in (0, 60, 120):  # it grows between two looks
        path.write_bytes(whole[:size])
        service.cycle()
    assert (capsys.readouterr().err, made()) == ("", [])
    service.cycle()  # the writer pauses: what is there is broken
    assert made() == []
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("waits: in/R202601010010.png: cannot be read as an image")
    cycles(service, 3)
    assert capsys.readouterr().err == ""
    path.write_bytes(whole)
    cycles(service)
    assert made() == ["20260101T001000Z.nc"]


@pytest.mark.usefixtures("place")
def test_a_broken_frame_that_stays_is_left_behind(capsys: pytest.CaptureFixture[str]) -> None:
    service = watching()
    arrive(0, 10, 15)
    Path("in/R202601010005.png").write_text("no picture")
    cycles(service)
    arrive(20)
    cycles(service)
    assert made() == ["20260101T002000Z.nc"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("waits: in/R202601010005.png: cannot be read as an image")


@pytest.mark.usefixtures("place")
def test_frames_are_not_read_again_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken frame is tried once, and so is one whose time stands inside its file."""
    tried = []

    def broken(_: Watch, source: Source) -> None:
        tried.append(source)
        raise BadInput("broken")

    monkeypatch.setattr(Watch, "_read", broken)
    service = watching()
    arrive(0, 5, 10)
    cycles(service, 5)
    assert len(tried) == 1
    os.utime("in/R202601010010.png", ns=(1, 1))
    cycles(service, 5)
    assert len(tried) == 2


@pytest.mark.usefixtures("place")
def test_files_that_are_passed_over_are_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    service = watching()
    arrive(0, 5, 10)
    shutil.copy("in/R202601010010.png", "in/R202601010010 (1).png")
    shutil.copy("in/R202601010010.png", "in/latest.png")
    cycles(service, 3)
    arrive(15)
    cycles(service, 2)
    assert made() == ["20260101T001000Z.nc", "20260101T001500Z.nc"]
    twin, latest = capsys.readouterr().err.splitlines()
    assert twin.endswith("R202601010010.png: passed over: the same time as R202601010010 (1).png")
    assert latest.startswith("in/latest.png: passed over: time_format = ")


@pytest.mark.usefixtures("place")
def test_of_many_files_without_a_time_some_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    arrive(0)
    for number in range(30):
        shutil.copy("in/R202601010000.png", f"in/{number}.png")
    watching().cycle()
    *_, more, waits = capsys.readouterr().err.splitlines()
    assert more == "... and 10 more"
    assert waits.startswith("waits: in: fewer than the 3 frames")


@pytest.mark.usefixtures("place")
def test_a_full_disk_is_a_line_and_leaves_nothing_and_the_watch_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, whole = watching(), Maker.write

    def full(*_: object) -> str:
        raise NoRoom("out/20260101T001000Z.nc: no room for it")

    monkeypatch.setattr(Maker, "write", full)
    arrive(0, 5, 10)
    service.cycle()
    assert [service.cycle() for _ in range(3)] == [FULL_SECONDS] * 3
    assert (capsys.readouterr().err, made()) == (
        "waits: out/20260101T001000Z.nc: no room for it\n",
        [],
    )
    monkeypatch.setattr(Maker, "write", whole)
    assert service.cycle() == watch.LOOK_SECONDS
    assert made() == ["20260101T001000Z.nc"]


@pytest.mark.usefixtures("place")
def test_a_folder_that_goes_away_is_said_and_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    service = watching()
    arrive(0, 5, 10)
    cycles(service)
    Path("in").rename("away")
    cycles(service, 3)
    assert capsys.readouterr().err == "waits: in: no such folder\n"
    Path("away").rename("in")
    arrive(15)
    cycles(service)
    assert len(made()) == 2


@pytest.mark.usefixtures("place")
def test_frames_without_times_are_counted_by_their_names() -> None:
    service = watching("value_range=[0,255]")
    for number in (8, 9, 10):
        Image.fromarray(FRAMES[number]).save(f"in/frame{number}.png")
    cycles(service)
    assert made() == ["frame10.nc"]


@pytest.mark.usefixtures("place")
def test_times_inside_files_name_the_forecast_and_find_gaps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = readers.frames

    def timed(path: Path, *args: object) -> object:
        """Read pictures that say when they were taken: by their number, in minutes."""
        for frame in images(path, *args):  # type: ignore[arg-type]
            yield frame._replace(time=int(path.stem) * MINUTE)

    monkeypatch.setattr(readers, "frames", timed)
    service = watching("value_range=[0,255]")
    for number in (10, 20, 30):
        Image.fromarray(FRAMES[number]).save(f"in/{number}.png")
    cycles(service)
    assert made() == ["19700101T003000Z.nc"]
    Image.fromarray(FRAMES[0]).save("in/70.png")
    cycles(service, 3)
    assert len(made()) == 1
    assert capsys.readouterr().err == "waits: in: a frame is missing among the last 3\n"


@pytest.mark.usefixtures("place")
def test_once_is_the_same_and_idempotent(capsys: pytest.CaptureFixture[str]) -> None:
    arrive(0, 5, 10)
    for _ in range(2):
        watch.run(maker(*DATED), Path("in"), Path("out"), once=True)
    assert made() == ["20260101T001000Z.nc"]
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.usefixtures("place")
def test_once_says_why_there_is_none() -> None:
    arrive(0, 5)
    with pytest.raises(BadInput, match="in: fewer than the 3 frames"):
        watch.run(maker(*DATED), Path("in"), Path("out"), once=True)
    assert made() == []


@pytest.mark.usefixtures("place")
def test_once_says_that_a_frame_is_still_being_written(monkeypatch: pytest.MonkeyPatch) -> None:
    arrive(0, 5, 10)

    def written_meanwhile(_: float) -> None:
        os.utime("in/R202601010010.png", ns=(1, 1))

    monkeypatch.setattr(time, "sleep", written_meanwhile)
    with pytest.raises(BadInput, match="in: a frame is still being written; run again"):
        watch.run(maker(*DATED), Path("in"), Path("out"), once=True)
    assert made() == []


@pytest.mark.usefixtures("place")
def test_two_watches_do_not_write_to_one_folder() -> None:
    arrive(0, 5, 10)
    with (
        locks.locked(Path("out", watch.LOCK)),
        pytest.raises(BadInput, match="is at the same work"),
    ):
        watch.run(maker(*DATED), Path("in"), Path("out"), once=True)


@pytest.mark.usefixtures("place")
def test_times_without_a_date_are_refused() -> None:
    with pytest.raises(BadInput, match="time_format = '%H%M': has no date"):
        watch.run(maker("time_format=%H%M"), Path("in"), Path("out"), once=True)


@pytest.mark.parametrize(
    ("out", "words"),
    [("in/out", "in/out: lies in in"), ("out.nc", "out.nc: must be a folder")],
)
@pytest.mark.usefixtures("place")
def test_forecasts_need_a_folder_of_their_own(out: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        watch.check_places(Path("in"), Path(out))


@pytest.mark.usefixtures("place")
def test_a_file_is_no_folder_to_be_watched() -> None:
    """A folder that is not there may come back, but a file becomes none."""
    Path("film.gif").touch()
    watch.check_places(Path("nowhere"), Path("out"))
    with pytest.raises(BadInput, match=r"film.gif: must be a folder, to which frames come"):
        watch.check_places(Path("film.gif"), Path("out"))


@pytest.mark.usefixtures("place")
def test_times_with_a_fraction_of_a_second_have_it_in_the_name() -> None:
    service = watching()
    arrive(0, 5, 10)
    cycles(service)
    assert service.done is not None
    assert service.done.times is not None
    fine = replace(service.done, times=tuple(time + 250_000 for time in service.done.times))
    assert service._target(fine) == Path("out/20260101T001000.250000Z.nc")


@pytest.mark.usefixtures("place")
def test_no_file_of_ours_is_left_beside_the_forecasts() -> None:
    arrive(0, 5, 10)
    watch.run(maker(*DATED), Path("in"), Path("out"), once=True)
    assert made() == ["20260101T001000Z.nc"]
    with h5py.File("out/20260101T001000Z.nc") as file:
        assert file["forecast"].shape == (2, 12, 16)


@pytest.mark.usefixtures("place")
def test_a_record_in_folders_by_date_goes_on_over_midnight(
    capsys: pytest.CaptureFixture[str],
) -> None:
    service = watching()
    for hour, folder in ((23 * 60, "in/2026/01/01"), (24 * 60, "in/2026/01/02")):
        Path(folder).mkdir(parents=True)
        for minute in (0, 5, 10) if hour < 24 * 60 else (-5, 0):
            day, rest = divmod(hour + minute, 24 * 60)
            name = f"R202601{1 + day:02d}{rest // 60:02d}{rest % 60:02d}.png"
            Image.fromarray(FRAMES[0]).save(Path(folder, name))
        cycles(service)
    assert made() == ["20260101T231000Z.nc"]
    Path("in/2026/01/02/R202601012355.png").rename("in/2026/01/01/R202601012355.png")
    shutil.copy("in/2026/01/02/R202601020000.png", "in/2026/01/02/R202601020005.png")
    cycles(service)
    assert made() == ["20260101T231000Z.nc", "20260102T000500Z.nc"]
    assert capsys.readouterr().err == (
        "waits: in: a frame is missing, or the step changes, between 2026-01-01 23:10:00 and "
        "2026-01-01 23:55:00\n"
    )


@pytest.mark.usefixtures("place")
def test_frames_in_folders_by_date_need_times(capsys: pytest.CaptureFixture[str]) -> None:
    """Else the forecast of each day would have the name of that of the day before."""
    service = watching("value_range=[0,255]")
    Path("in/20260101").mkdir()
    for number in range(3):
        Image.fromarray(FRAMES[number]).save(f"in/20260101/{number}.png")
    cycles(service, 4)
    assert made() == []
    assert capsys.readouterr().err == (
        "waits: in/20260101/2.png: neither its name nor the file tells a time, which frames in "
        "folders by date need; set time_format\n"
    )
