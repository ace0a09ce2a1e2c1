"""The six stages of the pipeline: files in, one call into `convlstm`, files out.

Each runs as `python -m stages.NAME` from the root of the repository. stages.forecast is no stage of
the pipeline: it uses the model that the pipeline has made.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from convlstm.errors import BadInput
from convlstm.loading import load
from convlstm.params import GroupT

PARAMS = Path("params.yaml")


def start(main: Callable[[GroupT], None], group: type[GroupT]) -> None:
    """Call a stage with its checked params."""
    guard(lambda: main(load(PARAMS, group)))


def guard(call: Callable[[], None]) -> None:
    """Make a call; plain words and status 2 if the input is at fault."""
    try:
        call()
    except BadInput as error:
        sys.exit(_complain(str(error), status=2))
    except KeyboardInterrupt:
        sys.exit(_complain("interrupted", status=130))


def _complain(text: str, *, status: int) -> int:
    for line in text.splitlines():
        print(f"error: {line}", file=sys.stderr)
    return status
