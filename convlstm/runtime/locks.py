"""Lock files: one writer at a time; a lock names its holder and ends with the holder's process.

They are of their owner alone, and nothing but a lock file is written to: a link that lies in its
place may lead to any file.
"""

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from convlstm.runtime import system
from convlstm.runtime.errors import BadInput


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` during the block; the file exists while somebody holds it.

    Raises:
        BadInput: another process holds the lock, its folder cannot be written to, or something else
            lies in its place.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(path)
    except OSError as error:
        if error.errno in system.FULL:
            raise
        raise BadInput(f"{path}: cannot be written ({error.strerror})") from None
    try:
        with suppress(OSError):  # a full disk has no room for the name, but the lock holds
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path) -> int:
    """Open and lock the file; returns its descriptor."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
            os.close(descriptor)
            raise OSError(errno.EEXIST, "something else has its name; remove that")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace")
            os.close(descriptor)
            raise BadInput(
                f"{path}: {holder or 'another process'} is at the same work; "
                f"wait until it ends, or stop it"
            ) from None
        # The last holder may have unlinked the file after we opened it. Then we hold a lock on a
        # file without a name, which locks nobody out, so we try again.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)
