"""How a command ends: with a status that says why, and in plain lines instead of a traceback."""

import os
import sys
from collections.abc import Callable
from io import TextIOWrapper

from convlstm.runtime import signals, system
from convlstm.runtime.errors import UserError

BROKEN_PIPE = 141
"""128 plus the number of SIGPIPE, by which other programs end when nobody reads what they print."""


def before_loading() -> None:
    """Make ready for the seconds in which libraries are loaded; call it before they are.

    A Ctrl-C then ends the process with a line, and a limit under which libraries would wait for
    memory without an end ends it with the status of a memory that is too small.
    """
    signals.end_at_interrupt()
    run_in_lines(system.check_address_space)


def run(command: Callable[[], None], *, child_of_dvc: bool = False) -> None:
    """Run `command`; turn an error of the user or the system, or a signal, into lines and a status.

    Args:
        command: the work to do.
        child_of_dvc: the command is a stage, which ends when the `dvc repro` that started it ends.
    """
    signals.listen(to_parent=child_of_dvc)
    if isinstance(sys.stdout, TextIOWrapper):  # names of files need not be of its characters
        sys.stdout.reconfigure(errors="backslashreplace")
    run_in_lines(command)


def run_in_lines(command: Callable[[], None]) -> None:
    """Run `command` as `run` does, without a change of how signals are heard."""
    try:
        command()
        sys.stdout.flush()  # if that failed later, the interpreter would choose the status
    except UserError as error:
        _end(str(error), error.status)
    except signals.Stopped as stopped:
        _end(f"stopped by {stopped}", stopped.status)
    except BrokenPipeError:
        _end("", BROKEN_PIPE)
    except Exception as error:
        # What fails after a request to stop fails because of it: a library that was interrupted
        # may raise an error of its own instead.
        if (request := signals.requested()) is not None:
            _end(f"stopped by {request}", request.status)
        if (told := system.told(error)) is None:
            raise
        _end(str(told), told.status)


def _end(text: str, status: int) -> None:
    """Print lines to stderr, drop what stdout cannot take, and end the process."""
    for line in text.splitlines():
        print(f"error: {line}", file=sys.stderr, flush=True)
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)
