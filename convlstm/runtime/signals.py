"""Being told to stop: a run ends where nothing is lost, with the status that shells expect."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_SECONDS = 8.0  # then a run ends where it is, for a scheduler kills after ten
WATCH_SECONDS = 0.25


class Stopped(BaseException):
    """The first signal has come; `status` is 128 and its number."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


class Ear:
    """What has been heard; one for a process, as signals are."""

    heard: int | None = None
    holding = False

    def hear(self, number: int, _: FrameType | None) -> None:
        """Take a signal, as the handler that it is."""
        if self.heard is not None:  # somebody is impatient
            os._exit(128 + number)
        self.heard = number
        if not self.holding:
            raise Stopped(number)
        timer = threading.Timer(GRACE_SECONDS, os._exit, (128 + number,))
        timer.daemon = True
        timer.start()

    @property
    def asked(self) -> bool:
        """Whether to stop."""
        return self.heard is not None

    def check(self) -> None:
        """Stop, if asked to."""
        if self.heard is not None:
            raise Stopped(self.heard)


_ear = Ear()


def listen(*, to_parent: bool) -> None:
    """From now on the first signal raises `Stopped`, and the second one ends the process at once.

    A signal that whoever started us has chosen to ignore, as nohup does, stays ignored.

    Args:
        to_parent: the end of the parent process counts as a SIGTERM. A stage whose `dvc repro` was
            killed would go on, and a second `dvc repro` would run beside it.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _ear.hear)
    if to_parent:
        threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


@contextmanager
def held() -> Iterator[Ear]:
    """In the block a signal is only noted; `check` what is yielded where it may raise `Stopped`.

    The end of the block checks as well.
    """
    outer, _ear.holding = _ear.holding, True
    try:
        yield _ear
        _ear.check()
    finally:
        _ear.holding = outer


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    if not _ear.asked:  # a signal to the whole group, whose end of the parent is no second one
        os.kill(os.getpid(), signal.SIGTERM)
