"""A file is whole or absent; a number is written as a number, an undefined one as nothing."""

import errno
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.runtime import system
from convlstm.runtime.errors import BadInput, NoRoom
from convlstm.runtime.files import (
    check_new_folder,
    check_sums,
    from_text,
    replacing,
    replacing_folder,
    to_text,
    write_csv,
    write_json,
    write_sums,
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


def test_a_new_folder_of_which_a_file_does_not_reach_the_disk_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old").touch()
    plain, synced = os.fsync, set[str]()

    def fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        synced.add(name)
        if name == "lost":
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(descriptor)

    def write(*names: str) -> None:
        with replacing_folder(tmp_path / "out") as folder:
            (folder / "inner").mkdir()
            for name in names:
                (folder / "inner" / name).touch()

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(NoRoom):
        write("kept", "lost")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]
    write("kept", "too")
    assert synced >= {".out.partial", "inner", "kept", "too", tmp_path.name}


def in_the_place(kind: str, place: Path, victim: Path) -> None:
    """Put something where we are about to write, by which other files could be reached."""
    match kind:
        case "link":
            place.symlink_to(victim)
        case "broken link":
            place.symlink_to(victim.with_name("made by us"))
        case "link to a folder":
            place.symlink_to(victim.parent, target_is_directory=True)
        case "hard link":
            place.hardlink_to(victim)
        case "pipe":
            os.mkfifo(place)
        case "file":
            place.write_text("half of a killed run")
        case "folder":
            place.mkdir()
            (place / "in it").touch()


KINDS = ["link", "broken link", "link to a folder", "hard link", "pipe", "file"]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file in a folder of its own, which nobody should write to."""
    path = tmp_path / "elsewhere" / "victim"
    path.parent.mkdir()
    path.write_text("mine")
    return path


def untouched(victim: Path) -> bool:
    return victim.read_text() == "mine" and list(victim.parent.iterdir()) == [victim]


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_in_the_place_of_a_new_file_is_not_written_through(
    tmp_path: Path, victim: Path, kind: str
) -> None:
    in_the_place(kind, tmp_path / ".file.partial.txt", victim)
    with replacing(tmp_path / "file.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "file.txt").read_text() == "new"
    assert not (tmp_path / "file.txt").is_symlink()
    assert untouched(victim)


@pytest.mark.parametrize("kind", [*KINDS, "folder"])
@pytest.mark.parametrize("name", [".out.partial", ".out.old"])
def test_what_lies_in_the_place_of_a_new_folder_is_not_written_into(
    tmp_path: Path, victim: Path, kind: str, name: str
) -> None:
    (tmp_path / "out").mkdir()
    in_the_place(kind, tmp_path / name, victim)
    with replacing_folder(tmp_path / "out") as temporary:
        (temporary / "new").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]
    assert not (tmp_path / name).exists()
    assert untouched(victim)


def last_line(error: BaseException) -> str:
    """Return the line with which a command ends."""
    assert isinstance(error, Exception)
    return str(system.told(error))


def test_a_folder_in_the_place_of_a_new_file_is_named(tmp_path: Path, victim: Path) -> None:
    in_the_place("folder", tmp_path / ".file.partial.txt", victim)
    with pytest.raises(OSError, match="directory") as raised, replacing(tmp_path / "file.txt"):
        pass
    assert last_line(raised.value).startswith(f"{tmp_path}/.file.partial.txt: is in the way (")


@pytest.mark.parametrize("name", [".out.partial", ".out.old"])
def test_a_folder_of_another_that_cannot_be_removed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "out").mkdir()
    in_the_place("folder", tmp_path / name, tmp_path)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(OSError, match=r"xists|empty") as raised, replacing_folder(tmp_path / "out"):
        pass
    assert last_line(raised.value).startswith(f"{tmp_path / name}: is in the way (")
    assert (tmp_path / name / "in it").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user, too")
@pytest.mark.parametrize("kind", ["file", "link", "folder"])
@pytest.mark.parametrize(
    ("write", "name"),
    [
        (replacing, ".out.partial"),
        (replacing_folder, ".out.partial"),
        (replacing_folder, ".out.old"),
    ],
)
def test_what_another_user_has_left_is_named_with_a_remedy(
    open_folder: Path, kind: str, write: Callable[[Path], Any], name: str
) -> None:
    """In a folder of all users, as the system's temporary one, where each removes only his own."""
    (open_folder / "victim").touch()
    if write is replacing_folder:
        with another_user():
            (open_folder / "out").mkdir()
    in_the_place(kind, open_folder / name, open_folder / "victim")
    with (
        another_user(),
        pytest.raises((BadInput, OSError)) as raised,
        write(open_folder / "out"),
    ):
        pass
    said = raised.value if isinstance(raised.value, BadInput) else last_line(raised.value)
    assert re.fullmatch(
        rf"{open_folder / name}: is in the way \(.*\); move it elsewhere", str(said)
    )


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder into which every user may write; those of pytest are closed."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o1777)
        yield Path(name)


@contextmanager
def another_user() -> Iterator[None]:
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def edited(content: bytes) -> bytes:
    return content.replace(b"0.5", b"0.4")


def flipped(content: bytes) -> bytes:
    return content[:-2] + bytes([content[-2] ^ 1]) + content[-1:]


def sums_of_two_tables(folder: Path) -> tuple[list[Path], Path]:
    """Write two tables with their sums; returns their paths."""
    tables, sums = [folder / "by_lead.csv", folder / "summary.json"], folder / "evaluate.sha256"
    write_csv(tables[0], [{"lead": 1, "mse": 0.5}, {"lead": 2, "mse": 0.25}])
    write_json(tables[1], {"mse": 0.5})
    write_sums(sums, tables)
    return tables, sums


def test_sums_are_those_of_sha256sum(tmp_path: Path) -> None:
    _, sums = sums_of_two_tables(tmp_path)
    command = ["sha256sum", "--check", "--strict", sums.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "by_lead.csv: OK\nsummary.json: OK\n"


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("change", [truncated, edited, flipped])
def test_a_table_that_was_changed_is_named(
    tmp_path: Path, number: int, change: Callable[[bytes], bytes]
) -> None:
    tables, sums = sums_of_two_tables(tmp_path)
    check_sums(tables, [sums])
    tables[number].write_bytes(change(tables[number].read_bytes()))
    with pytest.raises(BadInput) as raised:
        check_sums(tables, [sums])
    assert str(raised.value) == (
        f"{tables[number]}: not as its stage wrote it; `dvc repro` makes it again"
    )


def test_every_table_and_all_sums_must_be_there(tmp_path: Path) -> None:
    tables, sums = sums_of_two_tables(tmp_path)
    tables[0].unlink()
    tables[1].unlink()
    with pytest.raises(BadInput) as raised:
        check_sums(tables, [sums])
    assert str(raised.value).splitlines() == [
        f"{path}: cannot be read (No such file or directory); run `dvc repro`" for path in tables
    ]
    sums.write_bytes(truncated(sums.read_bytes()))
    write_csv(tables[0], [{"lead": 1, "mse": 0.5}, {"lead": 2, "mse": 0.25}])
    write_json(tables[1], {"mse": 0.5})
    with pytest.raises(BadInput, match=r"summary\.json: not as its stage wrote it"):
        check_sums(tables, [sums])
    sums.unlink()
    with pytest.raises(BadInput, match=r"evaluate\.sha256: cannot be read"):
        check_sums(tables, [sums])
