"""What the system refuses is one line with a status: 4 for what is too small, 2 for the rest."""

import errno
import os
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest

from convlstm.runtime import system
from convlstm.runtime.errors import BadInput, NoRoom, UserError


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (PermissionError(errno.EACCES, "", "a/b"), BadInput, "a/b: Permission denied"),
        (OSError(errno.ENAMETOOLONG, "", "x"), BadInput, "x: File name too long"),
        (OSError(errno.ELOOP, "", "x"), BadInput, "x: Too many levels of symbolic links"),
        (OSError(errno.EIO, ""), BadInput, "Input/output error"),
        (OSError(errno.EEXIST, "", "x"), BadInput, "x: is in the way (File exists); move it"),
        (OSError(errno.ENOTEMPTY, "", "x", None, "y"), BadInput, "y: is in the way (Directory not"),
        (OSError(errno.ENOSPC, "", b"x"), NoRoom, "x: No space left on device ("),
        (OSError(errno.EDQUOT, ""), NoRoom, "Disk quota exceeded ("),
        (OSError(errno.EMFILE, "", "x"), NoRoom, "x: Too many open files; the system gives"),
        (OSError(errno.ENOMEM, ""), NoRoom, "Cannot allocate memory; the system gives"),
        (MemoryError("8 GiB"), NoRoom, "the memory is too small ("),
    ],
)
def test_an_error_of_the_system_is_a_line_that_names_the_file(
    error: Exception, kind: type[UserError], words: str
) -> None:
    told = system.told(error)
    assert type(told) is kind
    assert str(told).startswith(words)
    assert len(str(told).splitlines()) == 1


@pytest.mark.parametrize("error", [OSError("no chunk"), ValueError("7"), RuntimeError("memory")])
def test_an_error_of_a_library_about_its_data_is_none_of_the_system(error: Exception) -> None:
    assert system.told(error) is None


@pytest.mark.parametrize(
    ("free", "inodes", "words"),
    [
        (9, 5, "36 bytes are free"),
        (9, 0, "no inodes left"),
        (99, 5, "a limit of the system allows less"),
    ],
)
def test_a_full_disk_says_what_it_has_no_more_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, inodes: int, words: str
) -> None:
    state = SimpleNamespace(f_files=100, f_favail=inodes, f_bavail=free, f_frsize=4)
    monkeypatch.setattr(os, "statvfs", lambda _: state)
    assert words in system.scarcity(tmp_path / "not yet there", 100)


def test_a_file_system_that_does_not_count_inodes_is_not_out_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = SimpleNamespace(f_files=0, f_favail=0, f_bavail=1, f_frsize=1)  # as btrfs says
    monkeypatch.setattr(os, "statvfs", lambda _: state)
    assert system.scarcity(tmp_path, 2) == "1 bytes are free"


@pytest.mark.parametrize(
    ("limit", "fits"),
    [(resource.RLIM_INFINITY, True), (3 * 2**29, True), (3 * 2**29 - 1, False), (0, False)],
)
def test_a_limit_on_addresses_is_refused_before_libraries_hang(
    monkeypatch: pytest.MonkeyPatch, limit: int, fits: bool
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, resource.RLIM_INFINITY))
    if fits:
        system.check_address_space()
        return
    with pytest.raises(NoRoom, match=f"{limit:,} bytes, is too small; raise it to at least"):
        system.check_address_space()


@pytest.mark.parametrize(
    ("limit", "expected"), [("8191\n", 8191), ("12289\n", 12288), ("max\n", 12288), (None, 12288)]
)
def test_the_memory_is_that_of_the_machine_or_of_a_container_that_has_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str | None, expected: int
) -> None:
    """Three pages of 4 KiB; the limit is that of cgroups of version 2."""
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 3, "SC_PAGE_SIZE": 4096}.get)
    monkeypatch.setattr(system, "CONTAINER_LIMIT", tmp_path / "memory.max")
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
    assert system.memory_bytes() == expected


def test_the_memory_of_this_machine_is_what_linux_says() -> None:
    with Path("/proc/meminfo").open() as file:
        kilobytes = int(file.readline().split()[1])
    assert 0 < system.memory_bytes() <= 1024 * kilobytes


@pytest.mark.parametrize("name", ["none", "loop", "x" * 300, "a\0b"])
def test_what_cannot_be_looked_at_is_neither_a_file_nor_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    path = tmp_path / name
    looks = (system.is_there, system.is_file, system.is_folder)
    assert [look(path) for look in looks] == [False] * 3


def test_files_and_folders_are_told_through_links(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    assert system.is_file(tmp_path / "link")
    assert system.is_folder(tmp_path)
    assert not system.is_folder(tmp_path / "link")
    assert not system.is_file(tmp_path)
