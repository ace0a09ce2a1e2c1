"""Which forecast is due, told by two looks at a folder; no time passes in these tests."""

import os
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convlstm.forecast import arrivals
from convlstm.forecast.arrivals import Look
from convlstm.ingest.params import Reading
from convlstm.ingest.sources import Source
from convlstm.runtime.errors import BadInput
from tests.builders import MINUTE, reading_of

READING = reading_of(time_format="R%Y%m%d%H%M")
MIDNIGHT = 1_767_225_600 * 10**6
"""The first moment of 2026, in microseconds."""


def seen(*minutes: int, growing: tuple[int, ...] = ()) -> Look:
    """Return a look at frames of these minutes of 2026; some have another size each time."""
    paths = tuple(Path(f"in/{minute:02d}.png") for minute in minutes)
    states = {
        path: (100 + next(COUNTER) if minute in growing else 100, 0)
        for minute, path in zip(minutes, paths, strict=True)
    }
    return Look(states, paths, tuple(MIDNIGHT + minute * MINUTE for minute in minutes))


COUNTER = iter(range(10**6))


def due(now: Look, before: Look | None = None) -> Source | str:
    return arrivals.due(Path("in"), now, now if before is None else before, 3)


def test_the_last_frames_are_due_once_they_follow_each_other_and_have_ended() -> None:
    source = due(seen(0, 5, 10, 15))
    assert isinstance(source, Source)
    assert [path.name for path in source.files] == ["05.png", "10.png", "15.png"]
    assert source.times == tuple(MIDNIGHT + minute * MINUTE for minute in (5, 10, 15))
    assert source.name == "in"


@pytest.mark.parametrize(
    ("now", "before"),
    [
        (seen(0, 5, 10), seen(0, 5)),  # it was not there a moment ago
        (seen(0, 5, 10, growing=(10,)), seen(0, 5, 10, growing=(10,))),
        (seen(0, 5, 10, growing=(5,)), seen(0, 5, 10, growing=(5,))),  # written again
    ],
)
def test_a_file_that_is_being_written_is_waited_for_without_a_word(now: Look, before: Look) -> None:
    assert due(now, before) == ""


def test_an_old_file_that_is_being_written_is_not_waited_for() -> None:
    old = {"growing": (0,)}
    assert isinstance(due(seen(0, 5, 10, 15, **old), seen(0, 5, 10, 15, **old)), Source)


def test_too_few_frames_are_waited_for_in_words_that_stay_the_same() -> None:
    line = "in: fewer than the 3 frames from which a forecast starts"
    assert due(Look()) == due(seen(0)) == due(seen(0, 5)) == line


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        ((0, 5, 10, 20), "between 2026-01-01 00:10:00 and 2026-01-01 00:20:00"),
        ((0, 5, 10, 20, 25), "between 2026-01-01 00:10:00 and 2026-01-01 00:20:00"),
    ],
)
def test_a_gap_is_named_by_its_ends(minutes: tuple[int, ...], words: str) -> None:
    assert due(seen(*minutes)) == f"in: a frame is missing, or the step changes, {words}"


def test_a_late_frame_closes_the_gap_and_frames_after_it_leave_it_behind() -> None:
    assert isinstance(due(seen(0, 5, 10, 15)), Source)
    assert isinstance(due(seen(0, 15, 20, 25)), Source)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures with times in their names, and what else may lie beside them."""
    for name in ("R202601010000", "R202601010005", "R202601010010"):
        picture(tmp_path / f"{name}.png")
    (tmp_path / ".R202601010015.png.Xy3").write_bytes(b"of rsync")
    (tmp_path / "README").write_text("no frame")
    (tmp_path / "a folder").mkdir()
    return tmp_path


def picture(path: Path) -> None:
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(path, "png")


def names(now: Look) -> list[str]:
    return [path.name[-6:-4] for path in now.frames]


def looked(folder: Path, reading: Reading = READING, before: Look | None = None) -> Look:
    return arrivals.look(folder, reading, before or Look(), 3)


def test_the_frames_of_a_folder_are_in_the_order_of_their_times(folder: Path) -> None:
    now = looked(folder)
    assert names(now) == ["00", "05", "10"]
    assert now.times == tuple(MIDNIGHT + minute * MINUTE for minute in (0, 5, 10))
    assert (now.others, now.doubt) == ({}, "")


def test_a_second_file_of_one_time_and_names_without_a_time_are_passed_over(folder: Path) -> None:
    picture(folder / "R202601010005.png.copy")
    picture(folder / "latest.png")
    now = looked(folder)
    assert names(now) == ["00", "05", "10"]
    twin, latest = (folder / name for name in ("R202601010005.png.copy", "latest.png"))
    assert now.others == {
        twin: f"{twin}: passed over: the same time as R202601010005.png",
        latest: f"{latest}: passed over: time_format = 'R%Y%m%d%H%M' does not fit "
        "(the name does not match it)",
    }


def test_without_times_names_count_and_twins_are_passed_over(folder: Path) -> None:
    for path in folder.glob("R*"):
        path.unlink()
    for name in ("9.png", "10.png", "8.png", "08.png"):
        picture(folder / name)
    now = looked(folder, reading_of())
    assert [path.stem.lstrip("0") for path in now.frames] == ["8", "9", "10"]
    assert now.times is None
    (line,) = now.others.values()
    assert "passed over: its name sorts equal to" in line


def test_names_that_have_no_order_are_a_reason_to_wait(tmp_path: Path) -> None:
    for name in ("10.25", "10.5", "11.25", "11.5"):
        picture(tmp_path / f"{name}.png")
    now = looked(tmp_path, reading_of())
    assert isinstance(line := due(now), str)
    assert "can be sorted in two ways" in line
    assert line.endswith("; set time_format")


def test_a_folder_in_which_nothing_has_changed_is_the_look_before(folder: Path) -> None:
    now = looked(folder)
    assert looked(folder, before=now) is now
    path = next(iter(now.frames))
    os.utime(path, ns=(0, 0))
    again = looked(folder, before=now)
    assert again is not now
    assert again.states[path] == (path.stat().st_size, 0)
    assert names(again) == names(now)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nowhere: no such folder"):
        looked(tmp_path / "nowhere")


def by_date(top: Path, layout: str, *times: datetime) -> None:
    """Put pictures into folders by the date of their time, as strftime writes it."""
    for time in times:
        folder = top / time.strftime(layout)
        folder.mkdir(parents=True, exist_ok=True)
        picture(folder / time.strftime("R%Y%m%d%H%M.png"))


EVENING = (datetime(2025, 12, 31, 23, 50), datetime(2025, 12, 31, 23, 55))
MORNING = datetime(2026, 1, 1)


@pytest.mark.parametrize(
    "layout", ["%Y/%m/%d", "%Y%m%d", "%Y-%m-%d", "%Y/%j", "%Y/%m%d/%H", "%Y/%Y_%m_%d"]
)
def test_folders_by_date_are_one_record(tmp_path: Path, layout: str) -> None:
    by_date(tmp_path, layout, *EVENING, MORNING)
    now = looked(tmp_path)
    assert names(now) == ["50", "55", "00"]
    assert now.times == tuple(MIDNIGHT + minute * MINUTE for minute in (-10, -5, 0))
    assert isinstance(due(now), Source)


@pytest.mark.parametrize("layout", ["%d-%m-%Y", "%d%m%Y", "of %Y", "%Y%d%m", "%m/%d", "x/%Y%m%d"])
def test_folders_whose_names_are_no_dates_in_order_are_left_aside(
    tmp_path: Path, layout: str
) -> None:
    by_date(tmp_path, layout, datetime(2026, 11, 20), datetime(2026, 11, 30))
    assert looked(tmp_path).frames == ()


def test_numbers_without_leading_zeros_are_in_order_within_a_year(tmp_path: Path) -> None:
    for month in (9, 10, 12):
        own = tmp_path / f"2026/{month}"
        own.mkdir(parents=True)
        picture(own / f"R2026{month:02d}010000.png")
    assert [path.parent.name for path in looked(tmp_path).frames] == ["9", "10", "12"]


@pytest.mark.parametrize("layout", ["%Y/%m/%d", "%Y%m%d"])
def test_a_look_opens_as_many_folders_however_long_the_archive_is(
    tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[Path] = []
    scandir = os.scandir

    def counted(path: Path) -> object:
        listed.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)
    counts, newest = [], datetime(2026, 11, 28)
    for first, days in ((0, 3), (3, 400)):
        by_date(tmp_path, layout, *(newest - timedelta(days=day) for day in range(first, days)))
        by_date(tmp_path, layout, *(newest + timedelta(minutes=5 * n) for n in range(9)))
        listed.clear()
        now = looked(tmp_path)
        counts.append((len(listed), len(now.states)))
    assert counts == [(1 + layout.count("/") + 1, 9)] * 2


def test_a_look_at_folders_in_which_nothing_has_changed_is_the_look_before(tmp_path: Path) -> None:
    by_date(tmp_path, "%Y%m%d", *EVENING, MORNING)
    now = looked(tmp_path)
    assert looked(tmp_path, before=now) is now
    by_date(tmp_path, "%Y%m%d", EVENING[0] - timedelta(minutes=5))  # late, and of yesterday
    again = looked(tmp_path, before=now)
    assert names(again) == ["45", "50", "55", "00"]
    assert again.folders[tmp_path / "20260101"] is now.folders[tmp_path / "20260101"]


def test_days_that_are_made_ahead_or_emptied_are_passed(tmp_path: Path) -> None:
    by_date(tmp_path, "%Y%m%d", *EVENING)
    for day in range(300):
        (tmp_path / f"{MORNING + timedelta(days=day):%Y%m%d}").mkdir()
    assert names(looked(tmp_path)) == ["50", "55"]


def test_a_time_in_two_folders_counts_once(tmp_path: Path) -> None:
    by_date(tmp_path, "%Y%m%d", *EVENING)
    (tmp_path / "20260101").mkdir()
    second = tmp_path / "20260101/R202512312355.png"
    picture(second)
    now = looked(tmp_path)
    assert names(now) == ["50", "55"]
    first = tmp_path / "20251231/R202512312355.png"
    assert now.others == {second: f"{second}: passed over: the same time as {first}"}


def test_frames_of_the_folder_itself_go_before_folders_in_it(folder: Path) -> None:
    by_date(folder, "%Y%m%d", *EVENING, datetime(2027, 1, 1))
    assert names(looked(folder)) == ["00", "05", "10"]


def test_other_files_beside_folders_by_date_are_named(tmp_path: Path) -> None:
    by_date(tmp_path, "%Y%m%d", *EVENING)
    picture(tmp_path / "latest.png")
    now = looked(tmp_path)
    assert names(now) == ["50", "55"]
    assert list(now.others) == [tmp_path / "latest.png"]


def test_a_link_that_leads_back_up_ends(tmp_path: Path) -> None:
    by_date(tmp_path, "%Y/%m", *EVENING)
    (tmp_path / "2025/13").symlink_to(tmp_path / "2025")
    assert set(names(looked(tmp_path))) == {"50", "55"}


def test_a_folder_that_is_removed_in_this_moment_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_date(tmp_path, "%Y%m%d", *EVENING, MORNING)
    scandir = os.scandir

    def removed(path: Path) -> object:
        if path.name == "20251231":
            raise FileNotFoundError(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", removed)
    assert names(looked(tmp_path)) == ["00"]
