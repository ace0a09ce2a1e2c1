"""What the user gave is at fault, and this is how to mend it: one exception, and many at once."""

from collections.abc import Iterator
from contextlib import contextmanager

FAULTS_SHOWN = 20


class BadInput(Exception):  # noqa: N818 - not an error of ours
    """Input that its owner can mend.

    The message is one line for each fault, naming the file or key, its value and the remedy. A
    stage prints it without a traceback and exits with status 2.
    """


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
