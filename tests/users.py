"""Two users of one folder: what the first one has made is looked at with the rights of another."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT, NOBODY = 0, 65534
for_root = pytest.mark.skipif(os.geteuid() != ROOT, reason="only root can be another user, too")


@contextmanager
def shared_folder() -> Iterator[Path]:
    """Yield a folder that every user can write to; those of pytest are closed."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


@contextmanager
def rights_of(user: int) -> Iterator[None]:
    """Be this user during the block, by the word of the system, which judges each access."""
    before = os.geteuid()
    _become(user)
    try:
        yield
    finally:
        _become(before)


def _become(user: int) -> None:
    os.seteuid(ROOT)  # who alone may change the group
    os.setegid(user)
    os.seteuid(user)
