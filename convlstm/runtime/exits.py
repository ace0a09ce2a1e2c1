"""How a command ends: with a status that says why, and in plain lines instead of a traceback."""

import sys
from collections.abc import Callable

from convlstm.runtime import signals
from convlstm.runtime.errors import UserError


def run(command: Callable[[], None], *, child_of_dvc: bool = False) -> None:
    """Run `command`; turn a `UserError` or a signal into lines on stderr and an exit status.

    Args:
        command: the work to do.
        child_of_dvc: the command is a stage, which ends when the `dvc repro` that started it ends.
    """
    signals.listen(to_parent=child_of_dvc)
    try:
        command()
    except UserError as error:
        _print_errors(str(error))
        sys.exit(error.status)
    except signals.Stopped as stopped:
        _print_errors(f"stopped by {stopped}")
        sys.exit(stopped.status)


def _print_errors(text: str) -> None:
    for line in text.splitlines():
        print(f"error: {line}", file=sys.stderr, flush=True)
