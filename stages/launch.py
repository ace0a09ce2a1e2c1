"""The start of every stage: checked params, one process at a time, and an exit status."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from convlstm.params.group import GroupT
from convlstm.params.loading import load
from convlstm.runtime import exits, locks
from convlstm.runtime.errors import BadInput

PARAMS, DATA = Path("params.yaml"), Path("data")
PARENTS = {"DVC_ROOT", "TORCHELASTIC_RUN_ID"}
"""Variables that DVC and torchrun set: a stage ends when the one that has started it was killed."""
SPINS = "2000"
"""How often a thread of GNU's OpenMP, as torch has it on Linux, looks for work before it sleeps.

By default it looks for a hundredth of a second, and two trainings at once take each other's cores.
"""


def start(
    main: Callable[[GroupT], None],
    group: type[GroupT],
    *,
    shared: AbstractContextManager[None] | None = None,
) -> None:
    """Call `main` with its checked params, unless the same stage already runs here.

    Args:
        main: the stage.
        group: of its params.
        shared: of a stage that may run in several processes: in what each of them does all its
            work. Of these `main` says which one holds the lock of the stage.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # before torch is imported
    os.environ.setdefault(
        "THP_MEM_ALLOC_ENABLE", "1"
    )  # large pages for torch, where Linux has them

    def run() -> None:
        with shared or nullcontext():
            params = load(PARAMS, group)
            with nullcontext() if shared else alone(group):
                main(params)

    exits.run(run, child_of_dvc=bool(PARENTS & set(os.environ)))


def alone(group: type[GroupT]) -> AbstractContextManager[None]:
    """Return the lock of the stage with these params, whose holder alone writes its outputs."""
    return locks.locked(DATA / f".{group.__name__.lower()}.lock")


def environment_number(name: str, default: float) -> float:
    """Return a number from an environment variable, for what changes no result.

    Raises:
        BadInput: it is not a number, or negative.
    """
    text = os.environ.get(name, str(default))
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not number >= 0:
        raise BadInput(f"{name} = {text!r}: must be a number of at least 0")
    return number
