"""Lock files: one writer at a time; a lock names its holder and ends with the holder's process.

They are of their owner alone, and nothing but a lock file is written to: a link that lies in its
place may lead to any file.
"""

import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from convlstm.runtime import system
from convlstm.runtime.errors import BadInput

WAITS = ".waits"
"""The suffix of the lock that a process holds while it waits for another one."""
WAIT_SECONDS = 0.25
"""Between two looks at a lock that another process holds; a signal ends the wait at once."""


class Held(BadInput):
    """Another process holds the lock, or the lock is another user's, who alone may ask it.

    That one counts as held: two runs at one work spoil it, and a needless wait costs time alone.
    `doubt` then says how a lock that a killed process has left is told and removed.
    """

    def __init__(self, path: Path, holder: str, doubt: str = "") -> None:
        self.holder, self.doubt = holder or "another process", doubt
        super().__init__(
            f"{path}: {self.holder} is at the same work; wait until it ends, or stop it{doubt}"
        )

    @classmethod
    def by_user(cls, path: Path, user: int) -> "Held":
        """Return the refusal of a lock of another user, whose number is all that is known."""
        holder = f"a process of user {user}"
        return cls(path, holder, f"; if no process of user {user} runs any more, remove {path}")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` during the block; the file exists while somebody holds it.

    Raises:
        BadInput: another process holds the lock, its folder cannot be written to, or something else
            lies in its place.
    """
    with _holding(path, _acquire(path)):
        yield


@contextmanager
def awaited(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file `path` as `locked` does, and wait while another process holds it.

    Args:
        path: of the lock.
        say: called with a line, once, if there is something to wait for.

    Raises:
        BadInput: its folder cannot be written to, or something else lies in its place.
    """
    # The wait has a lock of its own, by which the holder knows of it, and which ends with us.
    own = path.with_suffix(f".{socket.gethostname()}-{os.getpid()}{WAITS}")
    with _holding(own, _wait(own)):  # for a moment `is_awaited` may hold it
        descriptor = _wait(path, say)
    with _holding(path, descriptor):
        yield


def is_awaited(path: Path) -> bool:
    """Return whether a process waits for this lock; what killed ones have left goes."""
    for waits in path.parent.glob(f"{path.stem}.*{WAITS}"):
        try:
            with locked(waits):
                pass
        except BadInput:
            return True
    return False


def _wait(path: Path, say: Callable[[str], None] | None = None) -> int:
    """Lock the file as soon as nobody else does; returns its descriptor."""
    while True:
        try:
            return _acquire(path)
        except Held as held:
            if say:
                say(
                    f"waits for the result of {held.holder}, which is at the same work; Ctrl-C, or "
                    f"`kill {os.getpid()}`, ends the wait{held.doubt}"
                )
            say = None
        time.sleep(WAIT_SECONDS)


@contextmanager
def _holding(path: Path, descriptor: int) -> Iterator[None]:
    """Write our name into the file that we have locked; let go of it at the end of the block."""
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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _opened(path)
    except OSError as error:
        if error.errno in system.FULL:
            raise
        raise BadInput(f"{path}: cannot be written ({error.strerror})") from None


def _opened(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    while True:
        try:
            descriptor = os.open(path, flags, 0o600)
        except PermissionError:
            if _is_just_gone(path):
                continue
            raise
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
            os.close(descriptor)
            raise OSError(errno.EEXIST, "something else has its name; remove that")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace")
            os.close(descriptor)
            raise Held(path, holder) from None
        # The last holder may have unlinked the file after we opened it. Then we hold a lock on a
        # file without a name, which locks nobody out, so we try again.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)


def _is_just_gone(path: Path) -> bool:
    """Whether the lock that we may not open was another user's, and has ended since.

    Raises:
        Held: it is there.
    """
    try:
        owner = path.lstat().st_uid
    except FileNotFoundError:  # else it is the folder that refuses us
        return os.access(path.parent, os.W_OK | os.X_OK, effective_ids=True)
    if owner != os.geteuid():
        raise Held.by_user(path, owner) from None
    return False
