"""The six stages of the pipeline: files in, one call into `convlstm`, files out.

Each runs as `python -m stages.NAME` from the root of the repository. stages.forecast is no stage of
the pipeline: it uses the model that the pipeline has made.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from convlstm.params.groups import GroupT
from convlstm.params.loading import load
from convlstm.runtime import locks, signals
from convlstm.runtime.errors import BadInput, Told

PARAMS, DATA = Path("params.yaml"), Path("data")


def start(main: Callable[[GroupT], None], group: type[GroupT]) -> None:
    """Call a stage with its checked params, unless the same stage is already at work here."""

    def alone() -> None:
        params = load(PARAMS, group)
        with locks.locked(DATA / f".{group.__name__.lower()}.lock"):
            main(params)

    guard(alone)


def guard(call: Callable[[], None]) -> None:
    """Make a call; if it cannot come to its end, plain words and the status that says why."""
    # under DVC a stage is a child that should not outlive its parent
    signals.listen(to_parent="DVC_ROOT" in os.environ)
    try:
        call()
    except Told as error:
        _complain(str(error))
        sys.exit(error.status)
    except signals.Stopped as stopped:
        _complain(f"stopped by {stopped}")
        sys.exit(stopped.status)


def setting(name: str, default: float) -> float:
    """A number from the environment: what changes no result is no param.

    Raises:
        BadInput: it is no number, or negative.
    """
    text = os.environ.get(name, str(default))
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not number >= 0:
        raise BadInput(f"{name} = {text!r}: must be a number of at least 0")
    return number


def _complain(text: str) -> None:
    for line in text.splitlines():
        print(f"error: {line}", file=sys.stderr, flush=True)
