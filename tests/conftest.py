"""Fixtures that several tests share, and what holds for the whole session."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two threads gain nothing on nets as small as here

import pytest

from convlstm.demo import rain
from convlstm.model.batches import Batches
from convlstm.runtime import signals
from tests.builders import SmallRun, open_patches, patches_of, run_all_stages


@pytest.fixture(scope="session", autouse=True)
def heard() -> None:
    """Let the stages that tests start get signals that nohup or a script's `&` made us ignore.

    A process inherits that a signal is ignored, but not that a handler passes it over.
    """
    for number in signals.SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture(scope="session")
def patches_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve rain sequences of 6 frames, 18 x 18 padded to 20 x 20; windows of 3 to 2 frames."""
    films = {
        f"rain{index}": rain.sequence(frames=6, size=18, seed=1, index=index)[:, None]
        for index in range(12)
    }
    return patches_of(
        tmp_path_factory.mktemp("patches"),
        films,
        context_frames=3,
        forecast_frames=2,
        stride=1,
        split=(0.5, 0.25, 0.25),
    )


@pytest.fixture
def batches(patches_path: Path) -> Iterator[Batches]:
    with open_patches(patches_path) as stored:
        yield Batches(stored, repeated=True)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    return run_all_stages(tmp_path_factory.mktemp("small run"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Send all tests of the small run to one process, so that it is made once."""
    for item in items:
        if "small_run" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("small run"))
