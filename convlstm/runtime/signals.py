"""Stop requests: a signal ends the run at a point where nothing is lost, with the usual status."""

import ctypes
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_SECONDS = 8.0  # a scheduler kills after ten, so a run that does not stop by itself ends here
WATCH_SECONDS = 0.25


class Stopped(BaseException):
    """The process was asked to stop; `status` is 128 plus the number of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


class StopRequest:
    """Whether this process has been asked to stop; there is one per process."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self.is_deferred = False

    def handle(self, number: int, _: FrameType | None) -> None:
        """Handle a signal: note the first one, and end the process at the second."""
        if self.signal_number is not None:  # the user is impatient
            os._exit(128 + number)
        self.signal_number = number
        if not self.is_deferred:
            raise Stopped(number)
        timer = threading.Timer(GRACE_SECONDS, os._exit, (128 + number,))
        timer.daemon = True
        timer.start()

    @property
    def pending(self) -> bool:
        """Whether a signal has come."""
        return self.signal_number is not None

    def check(self) -> None:
        """Raise `Stopped` if a signal has come."""
        if self.signal_number is not None:
            raise Stopped(self.signal_number)


_request = StopRequest()


def requested() -> Stopped | None:
    """Return the stop that this process has been asked for, if it has been."""
    number = _request.signal_number
    return None if number is None else Stopped(number)


def end_at_interrupt() -> None:
    """Until `listen`, let Ctrl-C end the process at once with a line: nothing has begun yet.

    The other signals do so by themselves.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end_at_once)


def _end_at_once(number: int, _: FrameType | None) -> None:
    with suppress(OSError):  # where nobody listens, the status says it
        os.write(2, f"error: stopped by {signal.Signals(number).name}\n".encode())
    os._exit(128 + number)


def listen(*, to_parent: bool) -> None:
    """Install the handlers: the first signal raises `Stopped`, the second ends the process at once.

    A signal that our parent has chosen to ignore, as nohup does, stays ignored.

    Args:
        to_parent: the end of the parent process counts as a SIGTERM. Otherwise a stage whose `dvc
            repro` was killed would go on, and a second `dvc repro` would run beside it.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _request.handle)
            _hear_once(number)
    if to_parent:
        end_with_parent()


def end_with_parent() -> None:
    """From now on let the end of the parent process count as a SIGTERM."""
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def hear_nothing() -> None:
    """Ignore further signals: the process is about to end, and what it has said is all."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _hear_once(number: int) -> None:
    """Let the system itself end the process at a second signal of this number.

    Python hears signals between its own instructions only, and a library that waits for memory
    without an end comes to none. Where the C library cannot do it (glibc can), Python is all.
    """
    try:
        install = ctypes.CDLL(None).sysv_signal
    except AttributeError:
        return
    install.argtypes, install.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    install(number, install(number, None))  # the handler of Python again, for one signal


@contextmanager
def deferred() -> Iterator[StopRequest]:
    """Only note signals during the block, and raise `Stopped` at its end if one came.

    Call `check` on the yielded object at the points of the block where it may stop.
    """
    outer, _request.is_deferred = _request.is_deferred, True
    try:
        yield _request
        _request.check()
    finally:
        _request.is_deferred = outer


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    # A signal to the whole process group also ends the parent; that is no second request.
    if not _request.pending:
        os.kill(os.getpid(), signal.SIGTERM)
