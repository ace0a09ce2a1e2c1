"""Nobody else's code is run: where DVC unpickles, no other user of the machine can write."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.repository import call, clone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user, too"),
]
NOBODY = 65534


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can look into; those of pytest are closed."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def writable_for_others(folder: Path) -> list[str]:
    """Return what another user could write to, or into, by the word of the system."""
    command = ["find", str(folder), "-writable", "-not", "-type", "l"]
    found = subprocess.run(
        command, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True
    )
    return found.stdout.splitlines()


@pytest.mark.parametrize("name", ["a clone", "späces and 雨"])
def test_where_dvc_unpickles_nobody_else_can_write(open_folder: Path, name: str) -> None:
    folder = clone(open_folder / name, private=False)
    call(folder, "make", "--old-file=.venv/bin/.installed", ".dvc/site")
    for command in (("status",), ("repro", "check"), ("checkout", "--allow-missing")):
        call(folder, "dvc", *command)
    site = folder / ".dvc/site"
    assert list(site.glob("repo/*/**/cache.db"))  # it is in use
    assert (site / "repo").stat().st_mode & 0o002  # DVC itself would let everybody in
    assert writable_for_others(open_folder) == []
