"""What one clone pushes another one pulls, and computes nothing; a model alone is enough."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.builders import STAGES
from tests.system.repository import call, clone, commit, ran

pytestmark = pytest.mark.slow

MODEL = "data/model.safetensors"
KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
BUCKET = "frames"
S3_SERVER = f"""
import boto3
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
url = "http://{{}}:{{}}".format(*server.get_host_and_port())
boto3.client("s3", endpoint_url=url).create_bucket(Bucket="{BUCKET}")
print(url, flush=True)
input()
"""
"""A server that ends when its stdin does."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with a small run in its cache, committed."""
    folder = clone(tmp_path_factory.mktemp("trained"))
    assert ran(call(folder, "dvc", "repro")) == list(STAGES)
    commit(folder)
    return folder


def fresh_clone(trained: Path, folder: Path) -> Path:
    """Clone a repository, as a colleague does who has none of its data."""
    call(folder.parent, "git", "clone", "--quiet", str(trained), str(folder))
    (folder / ".dvc/site").mkdir(mode=0o700)
    call(folder, "dvc", "config", "--local", "core.site_cache_dir", f"{folder}/.dvc/site")
    assert not (folder / MODEL).exists()
    return folder


def push(trained: Path, *remote: tuple[str, ...]) -> None:
    """Name a remote, as docs/operations.md has it, and push all outputs to it."""
    for words in remote:
        call(trained, "dvc", "remote", *words)
    commit(trained)
    call(trained, "dvc", "push")


def check_pull(trained: Path, folder: Path) -> None:
    """Pull into a fresh clone: all outputs are there, and there is nothing to compute."""
    other = fresh_clone(trained, folder)
    call(other, "dvc", "pull")
    for name in (MODEL, "data/frames/index.h5", "data/plots/report.html", "data/demo/000/00.png"):
        assert (other / name).read_bytes() == (trained / name).read_bytes(), name
    assert ran(call(other, "dvc", "repro")) == []
    assert "up to date" in call(other, "dvc", "status")


def check_model_alone(trained: Path, folder: Path) -> None:
    """Pull the model and nothing else, and forecast the same bytes with it."""
    other = fresh_clone(trained, folder)
    call(other, "dvc", "pull", MODEL)
    assert not (other / "data/frames").exists()
    shutil.copytree(trained / "data/demo/000", other / "mine")
    shutil.copytree(trained / "data/demo/000", trained / "mine", dirs_exist_ok=True)
    for place in (trained, other):
        call(place, "python", "-m", "stages.forecast", "mine", "out", "--overwrite")
    assert (other / "out/002.png").read_bytes() == (trained / "out/002.png").read_bytes()


def test_what_is_pushed_to_a_folder_is_pulled_elsewhere(trained: Path, tmp_path: Path) -> None:
    push(trained, ("add", "--default", "--force", "storage", str(tmp_path / "storage")))
    check_pull(trained, tmp_path / "all of it")
    check_model_alone(trained, tmp_path / "the model")


def test_clones_with_one_cache_share_it_without_a_remote(trained: Path, tmp_path: Path) -> None:
    shared = tmp_path / "cache"
    shutil.copytree(trained / ".dvc/cache", shared)
    other = fresh_clone(trained, tmp_path / "other")
    for words in (("cache.dir", str(shared)), ("cache.shared", "group")):
        call(other, "dvc", "config", "--local", *words)
    assert ran(call(other, "dvc", "repro")) == []
    assert (other / MODEL).read_bytes() == (trained / MODEL).read_bytes()
    assert not (other / ".dvc/cache").exists()


@contextmanager
def s3_server() -> Iterator[str]:
    """Yield the address of an S3 server on this machine alone."""
    with subprocess.Popen(
        [sys.executable, "-c", S3_SERVER],
        env={**os.environ, **KEYS},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.kill()


@pytest.mark.s3
@pytest.mark.skipif(not (find_spec("moto") and find_spec("dvc_s3")), reason="needs moto, dvc-s3")
def test_what_is_pushed_to_s3_is_pulled_elsewhere(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in KEYS.items():
        monkeypatch.setenv(key, value)
    with s3_server() as url:
        push(
            trained,
            ("add", "--default", "--force", "storage", f"s3://{BUCKET}/convlstm"),
            ("modify", "storage", "endpointurl", url),
        )
        check_pull(trained, tmp_path / "all of it")
        check_model_alone(trained, tmp_path / "the model")
