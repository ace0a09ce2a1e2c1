"""Failures that the user can fix, shown in plain lines without a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

from convlstm.runtime.console import visible

FAULTS_SHOWN = 20


class UserError(Exception):
    """A failure that the user can fix.

    The message has one line for each fault and names the file or key, its value and the remedy. A
    command prints it without a traceback and exits with `status`.

    Args:
        lines: of the message. A name in them may hold anything; what is not seen is spelt, and so
            no name makes a line of its own.
    """

    status: int

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(map(visible, lines)))

    def __reduce__(self) -> tuple[type["UserError"], tuple[str, ...]]:
        """Travel to another process line by line, or the ends of lines would be spelt there."""
        return type(self), tuple(str(self).split("\n"))


class BadInput(UserError):
    """The params or the files are wrong."""

    status = 2


class NonFinite(UserError):
    """A loss, a gradient or a validation score is infinite or not a number."""

    status = 3


class NoRoom(UserError):
    """The disk or the memory is too small."""

    status = 4


class RankLost(UserError):
    """Another process of the same run has ended, and this one cannot go on."""

    status = 1


class Faults:
    """Collects the faults of one input, so that the user can fix all of them at once.

    It keeps the first `FAULTS_SHOWN` lines and counts the rest, so its memory is constant.
    """

    def __init__(self) -> None:
        self.count = 0
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """Note one fault; the pieces of one file may find the same one, which is noted once."""
        if line in self._lines:
            return
        self.count += 1
        if len(self._lines) < FAULTS_SHOWN:
            self._lines.append(line)

    def add_all(self, others: "Faults") -> None:
        """Note the faults of a part of the input, which were collected apart."""
        unseen = others.count - len(others._lines)
        for line in others._lines:
            self.add(line)
        self.count += unseen

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Note a `BadInput` that the block raises, and go on after the block."""
        try:
            yield
        except BadInput as error:
            for line in str(error).splitlines():
                self.add(line)

    def check(self) -> None:
        """Stop if any fault was noted.

        Raises:
            BadInput: with the first `FAULTS_SHOWN` faults, a line each, and the number of others.
        """
        if self.count:
            more = self.count - len(self._lines)
            rest = [f"... and {more} more"] if more else []
            raise BadInput(*self._lines, *rest)
