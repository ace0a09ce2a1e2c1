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


def test_hidden_files_are_passed_over_and_all_else_that_is_not_read_is_named(
    tmp_path: Path,
) -> None:
    touch_frames(tmp_path / "rain", "1.png", ".hidden.png")
    touch_frames(tmp_path / ".trash", "1.png")
    (tmp_path / "rain/deep/er").mkdir(parents=True)
    for name in ("Thumbs.db", ".DS_Store", "deep/notes.txt"):
        (tmp_path / "rain" / name).write_text("x")
    (source,) = find(tmp_path)
    assert names(source) == ["1.png"]
    left = [path.as_posix() for path in sources.left_out(tmp_path)]
    assert left == ["rain/Thumbs.db", "rain/deep/notes.txt", "rain/deep/er"]


def test_nothing_is_left_out_of_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 8)))
    assert sources.left_out(tmp_path / "a.npy") == []


def test_frames_at_any_depth_are_sequences_named_by_their_path(tmp_path: Path) -> None:
    """The layout of KTH: class/person/frames beside class/frames."""
    for person in (2, 10, 1):
        touch_frames(tmp_path / f"boxing/person{person}", "frame_0.png", "frame_1.png")
    touch_frames(tmp_path / "walking", "frame_0.png")
    touch_frames(tmp_path / "archive/2020/10/31", "0.png")
    assert [source.name for source in find(tmp_path)] == [
        "archive/2020/10/31",
        "boxing/person1",
        "boxing/person2",
        "boxing/person10",
        "walking",
    ]
    assert sources.left_out(tmp_path) == []


def test_files_of_several_frames_may_lie_beside_folders(tmp_path: Path) -> None:
    np.save(tmp_path / "film.npy", np.zeros((3, 8, 8)))
    touch_frames(tmp_path / "rain", "1.png")
    assert [source.name for source in find(tmp_path)] == ["film", "rain"]


def test_a_file_and_a_folder_of_one_name_are_a_fault(tmp_path: Path) -> None:
    np.save(tmp_path / "rain.npy", np.zeros((3, 8, 8)))
    touch_frames(tmp_path / "rain", "1.png")
    with pytest.raises(BadInput, match="a second sequence of the name rain; rename it"):
        find(tmp_path)


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    touch_frames(tmp_path / "rain", "1.png")
    (tmp_path / "rain" / "again").symlink_to(tmp_path / "rain", target_is_directory=True)
    (tmp_path / "round").symlink_to(tmp_path / "round")
    (tmp_path / "up").symlink_to(tmp_path, target_is_directory=True)
    assert [source.name for source in find(tmp_path)] == ["rain"]
    assert [source.name for source in find(tmp_path / "rain")] == ["rain"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        touch_frames(tmp_path / f"raw/{name}/frames", "1.png")
        (tmp_path / "raw" / name / "other").symlink_to(tmp_path / "raw" / other)
    assert [source.name for source in find(tmp_path / "raw")] == ["a/frames", "a/other/frames"]
    left = [path.as_posix() for path in sources.left_out(tmp_path / "raw")]
    assert left == ["b"]


def test_a_folder_that_a_link_shows_again_is_read_once_and_named(tmp_path: Path) -> None:
    touch_frames(tmp_path / "day1", "1.png")
    (tmp_path / "latest").symlink_to(tmp_path / "day1")
    assert [source.name for source in find(tmp_path)] == ["day1"]
    assert sources.left_out(tmp_path) == [Path("latest")]


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


def test_frames_beside_folders_of_frames_are_ambiguous_at_any_depth(tmp_path: Path) -> None:
    touch_frames(tmp_path / "may", "1.png")
    touch_frames(tmp_path / "june/early", "1.png")
    touch_frames(tmp_path / "june/late", "preview.png")
    touch_frames(tmp_path / "june/late/night/deep", "1.png")
    with pytest.raises(BadInput) as raised:
        find(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path}/june/late: holds frames (preview.png) beside folders of frames (night/deep); "
        f"put each sequence into a folder of its own"
    )


@pytest.mark.parametrize("twins", [("frame2.png", "frame02.png"), ("a.png", "a.bmp")])
def test_two_names_that_sort_equal_are_a_fault(tmp_path: Path, twins: tuple[str, str]) -> None:
    touch_frames(tmp_path, "b1.png", *twins)
    with pytest.raises(BadInput, match="its name sorts equal to"):
        find(tmp_path)


def test_decimals_sort_by_their_value(tmp_path: Path) -> None:
    touch_frames(tmp_path, *(f"vort_{number * 0.25:g}.png" for number in range(1, 81)))
    (source,) = find(tmp_path)
    assert names(source) == [f"vort_{number * 0.25:g}.png" for number in range(1, 81)]


def test_names_in_a_doubtful_order_are_named_with_the_remedy(tmp_path: Path) -> None:
    touch_frames(tmp_path / "a", "0.5.png", "0.25.png")
    with pytest.raises(BadInput) as raised:
        find(tmp_path)
    (line,) = str(raised.value).splitlines()
    assert line.startswith(f"{tmp_path}/a: 0.5 and 0.25 can be sorted in two ways, ")
    assert line.endswith("; set time_format, or give all numbers as many digits")
    (source,) = find(tmp_path, time_format="%s.%f")
    assert names(source) == ["0.25.png", "0.5.png"]


def test_sequences_in_a_doubtful_order_are_no_fault(tmp_path: Path) -> None:
    for name in ("run0.5", "run0.25"):
        touch_frames(tmp_path / name, "1.png")
        np.save(tmp_path / f"{name}.npy", np.zeros((3, 8, 8)))
        (tmp_path / f"{name}.npy").rename(tmp_path / f"film{name}.npy")
    assert len(find(tmp_path)) == 4


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


def test_a_sequence_with_a_fault_says_so(tmp_path: Path) -> None:
    touch_frames(tmp_path / "good", "10.png", "11.png")
    touch_frames(tmp_path / "bad", "10.png", "x.png")
    faults = Faults()
    found = sources.find(tmp_path, reading_of(time_format="%H"), faults)
    assert {source.name: source.faulty for source in found} == {"bad": True, "good": False}
    assert faults.count == 1


def test_a_time_format_needs_a_file_for_each_frame(tmp_path: Path) -> None:
    np.save(tmp_path / "12.npy", np.zeros((3, 8, 8)))
    with pytest.raises(BadInput, match="needs a file for each frame"):
        find(tmp_path, time_format="%H")


def test_the_last_frames_must_follow_each_other(tmp_path: Path) -> None:
    touch_frames(tmp_path, *(f"{hour}.png" for hour in (1, 2, 3, 7, 8, 9, 10)))
    (source,) = find(tmp_path, time_format="%H")
    assert names(source.last(4)) == ["7.png", "8.png", "9.png", "10.png"]
    with pytest.raises(BadInput, match="a frame is missing, or the step changes, in the last 5"):
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
