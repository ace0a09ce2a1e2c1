"""In another Python a stage says in one line which one it needs, instead of a traceback."""

import subprocess
import sys

import pytest

from tests.builders import ROOT, STAGES

OLDER = "import sys; sys.version_info = (3, 10, 1); sys.argv = ['-m']; import stages"


@pytest.mark.parametrize(
    "words",
    [*(("-S", "-m", f"stages.{stage}") for stage in (*STAGES, "compare")), ("-c", OLDER)],
    ids=" ".join,
)
def test_another_python_is_named_with_the_remedy(words: tuple[str, ...]) -> None:
    """Without its site-packages (-S) an interpreter is as one of another environment."""
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {sys.executable} is older than 3.11, or has not the packages of this project; "
        "run `. .venv/bin/activate` first, which `make` installs\n"
    )
