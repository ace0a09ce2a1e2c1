"""Sequences are found whatever the layout of `raw`; an ambiguous one is named and never guessed."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convlstm.ingest import sources
from convlstm.ingest.sources import Source
from convlstm.runtime.errors import BadInput, Faults
from tests.builders import reading_of


def touch_frames(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / name)


def find(raw: Path, **reading: object) -> list[Source]:
    faults = Faults()
    found = sources.find(raw, reading_of(**reading), faults)
    faults.check()
    return found


def names(source: Source) -> list[str]:
    return [path.name for path in source.files]


def test_one_folder_of_frames_is_one_sequence(tmp_path: Path) -> None:
    touch_frames(tmp_path / "rain", "frame10.png", "frame2.png", "frame1.PNG")
    (source,) = find(tmp_path / "rain")
    assert source.name == "rain"
    assert names(source) == ["frame1.PNG", "frame2.png", "frame10.png"]


def test_each_folder_is_a_sequence_in_natural_order(tmp_path: Path) -> None:
    for name in ("day10", "day9", "雲 und Wölkchen"):
        touch_frames(tmp_path / name, "1.png", "zwei drei.png")
    assert [source.name for source in find(tmp_path)] == ["day9", "day10", "雲 und Wölkchen"]


def test_each_file_of_several_frames_is_a_sequence(tmp_path: Path) -> None:
    for name in ("b10", "b2"):
        np.save(tmp_path / f"{name}.npy", np.zeros((3, 8, 8)))
    found = find(tmp_path)
    assert [(source.name, source.part) for source in found] == [("b2", 0), ("b10", 0)]


def test_files_of_several_frames_may_lie_in_folders(tmp_path: Path) -> None:
    for name in ("may", "june"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.npy", np.zeros((3, 8, 8)))
    assert [source.name for source in find(tmp_path)] == ["june/x", "may/x"]


def test_each_part_of_an_array_is_a_sequence(tmp_path: Path) -> None:
    np.save(tmp_path / "mnist.npy", np.zeros((20, 3, 8, 8), np.uint8))
    found = find(tmp_path / "mnist.npy", raw_axes="TNHW")
    assert [(source.name, source.part) for source in found] == [
        ("mnist[0]", 0),
        ("mnist[1]", 1),
        ("mnist[2]", 2),
    ]


def test_hidden_files_thumbnails_and_other_kinds_are_skipped(tmp_path: Path) -> None:
    touch_frames(tmp_path / "rain", "1.png", ".hidden.png")
    touch_frames(tmp_path / ".trash", "1.png")
    for name in ("Thumbs.db", ".DS_Store", "notes.txt"):
        (tmp_path / "rain" / name).write_text("x")
    (source,) = find(tmp_path)
    assert names(source) == ["1.png"]
    assert [path.name for path in sources.skipped_files(tmp_path)] == ["Thumbs.db", "notes.txt"]


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    touch_frames(tmp_path / "rain", "1.png")
    (tmp_path / "rain" / "again").symlink_to(tmp_path / "rain", target_is_directory=True)
    (tmp_path / "round").symlink_to(tmp_path / "round")
    (tmp_path / "up").symlink_to(tmp_path, target_is_directory=True)
    assert [source.name for source in find(tmp_path)] == ["rain"]
    assert [source.name for source in find(tmp_path / "rain")] == ["rain"]


def test_a_link_to_frames_elsewhere_is_followed(tmp_path: Path) -> None:
    touch_frames(tmp_path / "elsewhere", "1.png")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/rain").symlink_to(tmp_path / "elsewhere")
    assert [source.name for source in find(tmp_path / "raw")] == ["rain"]


@pytest.mark.parametrize("content", ["missing", "empty", "text", "empty folders"])
def test_a_folder_without_frames_is_named(tmp_path: Path, content: str) -> None:
    raw = tmp_path / "raw"
    if content != "missing":
        raw.mkdir()
    if content == "text":
        (raw / "readme.txt").write_text("x")
    if content == "empty folders":
        (raw / "a").mkdir()
    with pytest.raises(BadInput, match=rf"raw = '{raw}': no"):
        find(raw)


def test_frames_beside_folders_of_frames_are_ambiguous(tmp_path: Path) -> None:
    touch_frames(tmp_path, "1.png")
    touch_frames(tmp_path / "rain", "1.png")
    with pytest.raises(BadInput, match=r"holds frames \(1.png\) beside folders of frames \(rain\)"):
        find(tmp_path)


@pytest.mark.parametrize("twins", [("frame2.png", "frame02.png"), ("a.png", "a.bmp")])
def test_two_names_that_sort_equal_are_a_fault(tmp_path: Path, twins: tuple[str, str]) -> None:
    touch_frames(tmp_path, "b1.png", *twins)
    with pytest.raises(BadInput, match="its name sorts equal to"):
        find(tmp_path)


def test_times_order_the_frames(tmp_path: Path) -> None:
    # days of 2020 and 2021: as numbers, 31 comes before 01
    touch_frames(tmp_path, "01-2021.png", "31-2020.png", "30-2020.png")
    (source,) = find(tmp_path, time_format="%d-%Y")
    assert names(source) == ["30-2020.png", "31-2020.png", "01-2021.png"]
    day = 86_400_000_000
    assert source.times is not None
    assert source.times[1] - source.times[0] == day


def test_a_time_twice_and_a_name_without_time_are_all_named(tmp_path: Path) -> None:
    touch_frames(tmp_path, "12a.png", "12b.png", "13.png", "noon.png", "night.png")
    with pytest.raises(BadInput) as raised:
        find(tmp_path, time_format="%H")
    lines = str(raised.value).splitlines()
    assert len(lines) == 3
    assert sum("12b.png: the same time as 12a.png" in line for line in lines) == 1
    assert sum("time_format = '%H' does not fit" in line for line in lines) == 2


def test_a_time_format_needs_a_file_for_each_frame(tmp_path: Path) -> None:
    np.save(tmp_path / "12.npy", np.zeros((3, 8, 8)))
    with pytest.raises(BadInput, match="needs a file for each frame"):
        find(tmp_path, time_format="%H")


def test_the_last_frames_must_follow_each_other(tmp_path: Path) -> None:
    touch_frames(tmp_path, *(f"{hour}.png" for hour in (1, 2, 3, 7, 8, 9, 10)))
    (source,) = find(tmp_path, time_format="%H")
    assert names(source.last(4)) == ["7.png", "8.png", "9.png", "10.png"]
    with pytest.raises(BadInput, match="a frame is missing among the last 5"):
        source.last(5)


@pytest.mark.parametrize("name", [b"\xff.png", b"line\nbreak.png", b"\x1b[2J.png"])
def test_a_name_that_is_not_text_is_shown_safely(tmp_path: Path, name: bytes) -> None:
    touch_frames(tmp_path, "1.png")
    (tmp_path / "1.png").rename(tmp_path / os.fsdecode(name))
    with pytest.raises(BadInput, match="its name holds characters that are not text") as raised:
        find(tmp_path)
    assert str(raised.value).isascii()
    assert len(str(raised.value).splitlines()) == 1


def test_a_pipe_is_not_a_frame(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1.npy")
    np.save(tmp_path / "2.npy", np.zeros((3, 8, 8)))
    with pytest.raises(BadInput, match=r"1\.npy: not a regular file"):
        find(tmp_path)


def test_two_sequences_of_one_name_are_a_fault(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 8, 8)))
    np.save(tmp_path / "a[0].npy", np.zeros((1, 3, 8, 8)))
    with pytest.raises(BadInput, match=r"a second sequence of the name a\[0\]; rename it"):
        find(tmp_path, raw_axes="NTHW")
