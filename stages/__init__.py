"""The stages of the pipeline, run as `python -m stages.NAME` from the root of the repository."""

import sys


def _is_ours() -> bool:
    """Return whether this Python is that of the environment, told by a package that few have."""
    if sys.version_info < (3, 11):  # noqa: UP036 - DVC runs the first `python` of PATH
        return False
    from importlib.util import find_spec

    return find_spec("hdf5plugin") is not None


if sys.argv[0] == "-m":  # Python says so while it looks for the stage, which loads libraries
    if not _is_ours():
        print(
            f"error: {sys.executable} is older than 3.11, or has not the packages of this project;",
            "run `. .venv/bin/activate` first, which `make` installs",
            file=sys.stderr,
        )
        sys.exit(2)
    from convlstm.runtime import exits

    exits.before_loading()
