"""One writer at a time: a lock that names its holder, and ends with the holder's process."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from convlstm.runtime.errors import BadInput


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` during the block; it is there as long as somebody holds it.

    Raises:
        BadInput: another process holds it, or its folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _taken(path)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror})") from None
    try:
        with suppress(OSError):  # a full disk has no room for a name, but the lock holds
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _taken(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace")
            os.close(descriptor)
            raise BadInput(
                f"{path}: {holder or 'another process'} is at the same work; "
                f"wait until it ends, or stop it"
            ) from None
        # a holder that ends removes the file, and then this lock is one of nothing
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)
