"""What a user is told in plain lines instead of a traceback, with the exit status of each kind."""

from collections.abc import Iterator
from contextlib import contextmanager

FAULTS_SHOWN = 20


class Told(Exception):  # noqa: N818 - not an error of ours
    """An end that its owner can mend.

    The message is one line for each fault, naming the file or key, its value and the remedy. A
    stage prints it without a traceback and exits with `status`.
    """

    status: int


class BadInput(Told):
    """Params or files are at fault."""

    status = 2


class NonFinite(Told):
    """Training has left the finite numbers."""

    status = 3


class NoRoom(Told):
    """The disk or the memory is too small."""

    status = 4


class Faults:
    """All faults of one input, so that its owner can mend them in one go; the first ones in full.

    Constant memory, however many there are.
    """

    def __init__(self) -> None:
        self.count = 0
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """Note a fault."""
        self.count += 1
        if len(self._lines) < FAULTS_SHOWN:
            self._lines.append(line)

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Note a `BadInput` of the block instead of stopping."""
        try:
            yield
        except BadInput as error:
            for line in str(error).splitlines():
                self.add(line)

    def check(self) -> None:
        """Stop if there were any.

        Raises:
            BadInput: a line for each of the first `FAULTS_SHOWN`, and how many more there are.
        """
        if self.count:
            more = self.count - len(self._lines)
            rest = [f"... and {more} more"] if more else []
            raise BadInput("\n".join(self._lines + rest))
