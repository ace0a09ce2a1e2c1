"""A file is whole or absent; a number is written as a number, an undefined one as nothing."""

import errno
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.runtime.errors import BadInput, NoRoom
from convlstm.runtime.files import (
    check_new_folder,
    from_text,
    replacing,
    replacing_folder,
    to_text,
    write_csv,
    write_json,
)


def test_a_new_file_replaces_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "file.txt"
    for content in ("old", "new"):
        with replacing(path) as temporary:
            temporary.write_text(content)
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_table_has_eight_digits_and_empty_cells(tmp_path: Path) -> None:
    rows = [{"lead": 1, "mse": 1 / 3}, {"lead": 20, "mse": float("nan")}]
    write_csv(tmp_path / "table.csv", rows)
    assert (tmp_path / "table.csv").read_bytes() == b"lead,mse\n1,0.33333333\n20,\n"


def test_an_undefined_number_is_null(tmp_path: Path) -> None:
    write_json(tmp_path / "summary.json", {"model": {"mse": 2 / 3, "ssim": float("nan")}})
    content = json.loads((tmp_path / "summary.json").read_text())
    assert content == {"model": {"mse": 0.66666667, "ssim": None}}


plain = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.floats(allow_nan=False))
contents = st.recursive(
    plain,
    lambda inner: (
        st.dictionaries(st.text(), inner) | st.lists(inner).map(lambda items: tuple(items))
    ),
)


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.text(), contents))
def test_content_comes_back_from_its_text(content: dict[str, object]) -> None:
    assert from_text(to_text(content)) == content


def test_equal_content_is_equal_text() -> None:
    assert to_text({"a": 1, "b": (2, 3)}) == to_text({"b": [2, 3], "a": 1})


@pytest.mark.parametrize(
    ("text", "words"), [("[1]", "not a JSON object"), ('{"a":' + 10**5 * "[", "too deeply")]
)
def test_a_text_that_is_not_an_object_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_text(text)


def test_a_folder_for_new_files_is_new_or_empty_and_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("mine")
    check_new_folder(tmp_path / "new", beside=tmp_path / "frames")
    for bad in ("frames", "frames/out", "full", "full/file"):
        with pytest.raises(BadInput):
            check_new_folder(tmp_path / bad, beside=tmp_path / "frames")


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(BadInput, match="cannot be written"), replacing(tmp_path / "data/new/x"):
        pass


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("7200 requested and 4096 written"),  # NumPy
        RuntimeError("file write failed: errno = 28, error message = 'No space'"),  # HDF5
    ],
)
def test_a_full_disk_is_reported_with_the_bytes_that_are_needed(
    tmp_path: Path, error: Exception
) -> None:
    def fail() -> None:
        with replacing(tmp_path / "file.txt") as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(NoRoom, match=r"file\.txt: no room for it: it needs at least 5 bytes"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_new_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with replacing_folder(tmp_path / "out") as folder:
            (folder / name).touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "new"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old").touch()
    plain = Path.replace

    def replace(path: Path, target: Path) -> Path:
        if "partial" in path.name:
            raise OSError("stopped")
        return plain(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match="stopped"), replacing_folder(tmp_path / "out") as folder:
        (folder / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]
