"""Whatever a user does, a stage ends with 0, 2, 3 or 4, or by a signal, and prints no traceback.

Draws of params, of raw folders and of the files of data/ are given to the stages. Each stage runs
in a fork of this process, which has loaded all libraries already, and without the rights of root.
"""

import ctypes
import os
import random
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convlstm.params.group import Group
from convlstm.runtime import exits
from stages import launch
from tests.builders import SMALL, STAGES, SmallRun, write_params

GROUPS = {stage: stage.capitalize() for stage in STAGES if stage != "check"}
DROP_BOUND, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER = 24, 1, 2, 3  # of linux/prctl.h, capability.h
MOST_SECONDS = 30
MEMORY_BYTES = 6 * 2**30
LONG = settings(
    max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


def without_the_rights_of_root() -> None:
    """Let the modes of files hold in this process, though it be root's."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresuid(65534, 65534, 65534)


def main_of(stage: str) -> Callable[[], None]:
    """Return what `python -m stages.STAGE` calls."""
    module = import_module(f"stages.{stage}")
    if stage == "check":
        return lambda: exits.run(module.main)
    group: type[Group] = getattr(import_module(f"convlstm.{stage}.params"), GROUPS[stage])
    return lambda: launch.start(module.main, group)


def forecast() -> None:
    """Call what `python -m stages.forecast data/demo out` calls."""
    from convlstm.forecast.command import run

    run(["data/demo", "out"], prog="forecast", default_model="data/model.safetensors")


def ended(folder: Path, call: Callable[[], None]) -> tuple[int, str]:
    """Return the status with which a call ends in a fork, and its stderr.

    A status is negative where a signal ended it.
    """
    errors = folder / "stderr"
    with errors.open("w") as file:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.chdir(folder)
                os.dup2(file.fileno(), 2)
                os.dup2(file.fileno(), 1)
                sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)
                sys.stdout = open(1, "w", closefd=False)
                resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
                without_the_rights_of_root()
                call()
                status = 0
            except SystemExit as exit_:
                status = int(exit_.code or 0)
            except BaseException:
                import traceback

                traceback.print_exc(file=sys.stderr)
            finally:
                sys.stderr.flush()
                os._exit(status)
    _, state = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(state), errors.read_text(errors="replace")
