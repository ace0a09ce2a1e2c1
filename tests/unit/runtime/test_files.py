"""A file is whole or absent; a number is written as a number, an undefined one as nothing."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.runtime.errors import FAULTS_SHOWN, BadInput, Faults
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


def test_undefined_facts_are_null(tmp_path: Path) -> None:
    write_json(tmp_path / "facts.json", {"model": {"mse": 2 / 3, "ssim": float("nan")}})
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts == {"model": {"mse": 0.66666667, "ssim": None}}


plain = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.floats(allow_nan=False))
facts = st.recursive(
    plain,
    lambda inner: (
        st.dictionaries(st.text(), inner) | st.lists(inner).map(lambda items: tuple(items))
    ),
)


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.text(), facts))
def test_facts_come_back_from_their_text(given_facts: dict[str, object]) -> None:
    assert from_text(to_text(given_facts)) == given_facts


def test_a_text_that_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match="not a JSON object"):
        from_text("[1]")


def test_the_first_faults_are_listed_and_the_others_counted() -> None:
    faults = Faults()
    for number in range(FAULTS_SHOWN + 3):
        with faults.collected():
            raise BadInput(f"file {number}")
    with pytest.raises(BadInput) as raised:
        faults.check()
    lines = str(raised.value).splitlines()
    assert lines[:FAULTS_SHOWN] == [f"file {number}" for number in range(20)]
    assert lines[FAULTS_SHOWN:] == ["... and 3 more"]


def test_without_faults_nothing_stops() -> None:
    Faults().check()


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
