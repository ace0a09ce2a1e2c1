"""params.yaml -> data/params.checked: every key is there, known and right, before any work.

It takes half a second and runs as `python -m stages.check`. The other stages depend on its output,
whose content never changes: a new key or value runs this stage again, and of the others only those
whose own keys or code have changed. A wrong value of any stage ends the run here, before DVC has
removed an output that would have to be computed again.
"""

import os
from contextlib import suppress
from pathlib import Path

from convlstm.demo.params import Demo
from convlstm.evaluate.params import Evaluate
from convlstm.ingest.params import Ingest
from convlstm.params import loading
from convlstm.patch.params import Patch
from convlstm.plot.params import Plot
from convlstm.runtime import exits, files
from convlstm.train.params import Train
from stages.launch import PARAMS

CHECKED = Path("data/params.checked")


class Params(Demo, Ingest, Patch, Train, Evaluate, Plot):
    """All of params.yaml: its keys are those of the groups, and no others."""


def main() -> None:
    """Check all keys, and say so in a file."""
    # Git tells a change by size and second, and DVC writes the old and the new file in one second.
    with suppress(OSError):
        os.utime(PARAMS)
    loading.check(loading.read(PARAMS), Params, where=str(PARAMS))
    with files.replacing(CHECKED) as temporary:
        temporary.write_text("Every value of params.yaml was checked.\n", encoding="utf-8")


if __name__ == "__main__":
    exits.run(main)
