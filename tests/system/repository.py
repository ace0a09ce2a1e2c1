"""A repository of a stranger's, in which tests call `dvc` as a user does."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.builders import ROOT, SMALL, write_params


def clone(folder: Path, *, private: bool = True, **changes: object) -> Path:
    """Copy all that git tracks or would add here to a repository of its own, with small params.

    DVC keeps its pickles in a folder of it, as README says, unless it shall not be `private`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    write_params(folder, **SMALL | changes)
    call(folder, "git", "init", "--quiet", "--initial-branch=main")
    commit(folder)
    if private:
        (folder / ".dvc/site").mkdir(mode=0o700)
        call(folder, "dvc", "config", "--local", "core.site_cache_dir", f"{folder}/.dvc/site")
    return folder


def commit(folder: Path) -> None:
    identity = ("-c", "user.name=a stranger", "-c", "user.email=stranger@example.org")
    call(folder, "git", "add", "--all")
    call(folder, "git", *identity, "commit", "--quiet", "--allow-empty", "--message", "as it is")


def begin(folder: Path, *command: str) -> subprocess.Popen[str]:
    """Start a command as in an activated environment; all that it prints is its stdout."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "GIT_CONFIG_GLOBAL": os.devnull}
    environment.pop("OMP_NUM_THREADS", None)  # as a user runs it
    environment["OMP_WAIT_POLICY"] = "passive"  # but two tests at once share the cores
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        environment |= {f"{name}_NAME": "a stranger", f"{name}_EMAIL": "stranger@example.org"}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def call(folder: Path, *command: str, status: int = 0) -> str:
    """Run a command to its end; returns all that it printed."""
    process = begin(folder, *command)
    output, _ = process.communicate()
    assert process.returncode == status, output
    return output


def ran(output: str) -> list[str]:
    """Return the stages that a `dvc` command has computed."""
    return re.findall(r"Running stage '(\w+)'", output)
