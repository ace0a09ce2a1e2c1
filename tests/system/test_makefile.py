"""`make` says what it does, and what it needs before it installs anything."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.builders import ROOT

MAKE = shutil.which("make")
pytestmark = pytest.mark.skipif(MAKE is None, reason="no make here")


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run make beside a copy of the Makefile, as from a shell even if make runs the tests."""
    shutil.copy(ROOT / "Makefile", folder)
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run([str(MAKE), *words], cwd=folder, env=env, capture_output=True, text=True)


def test_help_lists_the_targets(tmp_path: Path) -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert phony
    lines = make(tmp_path, "help").stdout.splitlines()
    listed = [line.split(":")[0].removeprefix("  make ") for line in lines]
    assert {*listed, "repository"} == set(phony[1].split())


def test_without_git_nothing_is_installed(tmp_path: Path) -> None:
    done = make(tmp_path)
    assert done.returncode == 2
    first, *_ = done.stderr.splitlines()
    assert first.startswith("error: this folder is no git repository; 'git init' makes it one")
    assert not (tmp_path / ".venv").exists()
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config.local").write_text("[core]\n    no_scm = true\n", encoding="utf-8")
    assert "git repository" not in make(tmp_path, "PYTHON=false").stderr


def test_an_older_python_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").touch()
    done = make(tmp_path, "test", "PYTHON=false")  # ends as a Python does whose version is too low
    assert done.returncode == 2
    assert done.stderr.startswith("error: Python 3.11 or newer is needed, and false is older;")
    assert not (tmp_path / ".venv").exists()


def test_clean_leaves_data_and_experiments(tmp_path: Path) -> None:
    for name in ("data/demo", ".dvc/cache", ".checkpoints", ".venv/bin", "dvc_plots"):
        (tmp_path / name).mkdir(parents=True)
    assert make(tmp_path, "clean").returncode == 0
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"data", ".dvc", ".checkpoints", "Makefile"}
