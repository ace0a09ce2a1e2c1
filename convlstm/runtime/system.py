"""The grants and refusals of the system, the latter in lines that say what is full or forbidden."""

import errno
import os
import resource
import stat
from pathlib import Path

from convlstm.runtime.errors import BadInput, NoRoom, UserError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
SCARCE = {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE}
IN_THE_WAY = {errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR}
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")  # as a container sees it; "max" is none
LEAST_ADDRESS_BYTES = 3 * 2**29
"""The libraries of some stages ask the system again and again, without an end, under less."""


def told(error: Exception) -> UserError | None:
    """Return an error of the system as one that the user can fix; None if it is of another kind."""
    if isinstance(error, MemoryError):
        return NoRoom(
            f"the memory is too small ({peak_bytes():,} bytes were in use at most): "
            f"{str(error) or 'no more could be had'}"
        )
    if not isinstance(error, OSError) or error.errno is None:  # a library's own, about its data
        return None
    what = os.strerror(error.errno)
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if _is_name(name)]
    if error.errno in FULL:
        return NoRoom(f"{': '.join([*names[:1], what])} ({scarcity(Path(*names[:1]))}); make room")
    if error.errno in SCARCE:
        return NoRoom(f"{': '.join([*names[:1], what])}; the system gives this process no more")
    if error.errno in IN_THE_WAY and names:  # of a move, the second name is that of the place
        return in_the_way(Path(names[-1]), error.errno)
    return BadInput(": ".join([*names[:1], what]))


def in_the_way(path: Path, number: int) -> BadInput:
    """Return the error for what lies where we write, and may not be removed by this user."""
    return BadInput(f"{path}: is in the way ({os.strerror(number)}); move it elsewhere")


def scarcity(path: Path, bytes_needed: int = 1) -> str:
    """Return what the file system of a path has too little of, when it has refused to take more."""
    there = next((folder for folder in (path, *path.absolute().parents) if folder.exists()), path)
    try:
        state = os.statvfs(there)
    except OSError:
        return "the disk is full"
    if state.f_files and not state.f_favail:
        return "the disk has no inodes left, one of which each file takes: remove files"
    free = state.f_bavail * state.f_frsize
    return (
        f"{free:,} bytes are free" if free < bytes_needed else "a limit of the system allows less"
    )


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_address_space() -> None:
    """Check that the limit on the addresses of this process, if there is one, leaves enough.

    Raises:
        NoRoom: it does not.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESS_BYTES:
        raise NoRoom(
            f"the limit on virtual memory, {limit:,} bytes, is too small; raise it to at least "
            f"{LEAST_ADDRESS_BYTES:,} bytes (ulimit -v {LEAST_ADDRESS_BYTES // 1024})"
        )


def memory_bytes() -> int:
    """Return the bytes of memory that this machine has, or our container, if that has fewer."""
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(there, int(CONTAINER_LIMIT.read_text()))
    except (OSError, ValueError):
        return there


def check_memory(what: str, bytes_needed: int) -> None:
    """Check that the memory could hold so many bytes, if it held nothing else.

    Linux grants more than there is, and kills the process that then uses it, without a line.

    Args:
        what: key, value and use of what takes the memory; fewer of it take less.
        bytes_needed: at least.

    Raises:
        NoRoom: it could not.
    """
    if bytes_needed > (there := memory_bytes()):
        raise NoRoom(
            f"{what} take at least {bytes_needed:,} bytes of memory, and there are {there:,}; give "
            f"fewer"
        )


def peak_bytes() -> int:
    """Return the most bytes of memory that this process has used since it began."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def is_there(path: Path) -> bool:
    """Return whether a path leads to anything that may be looked at."""
    return bool(_mode(path))


def is_file(path: Path) -> bool:
    """Return whether a path leads to a regular file; one that may not be looked at does not."""
    return stat.S_ISREG(_mode(path))


def is_folder(path: Path) -> bool:
    """Return whether a path leads to a folder; one that may not be looked at does not."""
    return stat.S_ISDIR(_mode(path))


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except (OSError, ValueError):  # a name may be too long, or no name at all
        return 0


def _is_name(name: object) -> bool:
    return isinstance(name, str | bytes | os.PathLike)
