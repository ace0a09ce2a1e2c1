"""The pipeline in places that are not a developer's desk."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.builders import STAGES, run_stage, write_params
from tests.system.repository import call, clone, ran

pytestmark = pytest.mark.slow

ALONE = ("unshare", "--map-root-user", "--net")


def can_be_alone() -> bool:
    """Whether this system lets a process have no network."""
    return (
        shutil.which(ALONE[0]) is not None
        and subprocess.run([*ALONE, "true"], capture_output=True).returncode == 0
    )


@pytest.fixture
def poor(monkeypatch: pytest.MonkeyPatch) -> None:
    """No display, no language, no home."""
    for name in ("DISPLAY", "LANG", "LC_CTYPE", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LC_ALL", "C")


@pytest.mark.usefixtures("poor")
def test_without_git_dvc_says_so_and_with_one_setting_runs(tmp_path: Path) -> None:
    folder = clone(tmp_path / "a path with späces", private=False)
    shutil.rmtree(folder / ".git")
    assert "is not a git repository" in call(folder, "dvc", "repro", status=255)
    call(folder, "dvc", "config", "--local", "core.no_scm", "true")
    assert ran(call(folder, "dvc", "repro")) == list(STAGES)
    assert (folder / "data/plots/report.html").exists()


@pytest.mark.usefixtures("poor")
@pytest.mark.skipif(not can_be_alone(), reason="this system gives nobody a network of his own")
def test_without_a_commit_and_without_a_network_it_runs(tmp_path: Path) -> None:
    folder = clone(tmp_path)
    shutil.rmtree(folder / ".git")
    call(folder, "git", "init", "--quiet")
    assert ran(call(folder, *ALONE, "dvc", "repro")) == list(STAGES)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_frames_that_cannot_be_written_to_are_read(tmp_path: Path) -> None:
    write_params(tmp_path, demo_sequences=1, demo_frames=3, demo_size=22)
    assert run_stage(tmp_path, "-m", "stages.demo").returncode == 0
    (tmp_path / "data/demo/000").chmod(0o500)
    assert run_stage(tmp_path, "-m", "stages.ingest").returncode == 0
    (tmp_path / "data").chmod(0o500)
    done = run_stage(tmp_path, "-m", "stages.patch")
    assert done.returncode == 2
    assert done.stderr == "error: data/.patch.lock: cannot be written (Permission denied)\n"
