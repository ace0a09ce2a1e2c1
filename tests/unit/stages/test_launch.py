"""A stage starts with its own checked params, alone in its repository, and as a child of DVC."""

import os
from pathlib import Path

import pytest

from convlstm.demo.params import Demo
from convlstm.plot.params import Plot
from convlstm.runtime import exits, signals
from convlstm.runtime.errors import BadInput
from stages import launch
from tests.builders import write_params


@pytest.fixture
def listened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, bool]]:
    """Work in an empty folder; return how often and to whom the stages listen."""
    calls: list[dict[str, bool]] = []
    monkeypatch.setattr(signals, "listen", lambda **options: calls.append(options))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return calls


@pytest.mark.usefixtures("listened")
def test_a_stage_is_given_the_params_of_its_group(tmp_path: Path) -> None:
    write_params(tmp_path, demo_size=33, lr="not looked at")
    given: list[Demo] = []
    launch.start(given.append, Demo)
    assert [params.demo_size for params in given] == [33]


def test_wrong_params_end_a_stage_before_its_work(
    tmp_path: Path, listened: list[dict[str, bool]], capsys: pytest.CaptureFixture[str]
) -> None:
    write_params(tmp_path, demo_size=1)
    given: list[Demo] = []
    with pytest.raises(SystemExit) as ended:
        launch.start(given.append, Demo)
    assert (ended.value.code, given, len(listened)) == (2, [], 1)
    assert capsys.readouterr().err == (
        "error: params.yaml: demo_size = 1: should be greater than or equal to 7\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


@pytest.mark.usefixtures("listened")
def test_a_stage_runs_once_at_a_time_beside_other_stages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_params(tmp_path)
    ran = []

    def demo(_: Demo) -> None:
        ran.append("demo")
        launch.start(lambda _: ran.append("plot"), Plot)
        launch.start(lambda _: ran.append("a second demo"), Demo)

    with pytest.raises(SystemExit) as ended:
        launch.start(demo, Demo)
    assert (ended.value.code, ran) == (2, ["demo", "plot"])
    assert capsys.readouterr().err.startswith("error: data/.demo.lock: process ")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("under_dvc", [True, False])
def test_under_dvc_a_stage_listens_to_the_end_of_its_parent(
    tmp_path: Path,
    listened: list[dict[str, bool]],
    monkeypatch: pytest.MonkeyPatch,
    under_dvc: bool,
) -> None:
    write_params(tmp_path)
    if under_dvc:
        monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    launch.start(lambda _: None, Demo)
    assert listened == [{"to_parent": under_dvc}]


@pytest.mark.parametrize(("text", "number"), [(None, 5.0), ("0", 0.0), ("2.5", 2.5), ("1e3", 1e3)])
def test_an_environment_variable_is_a_number_or_its_default(
    monkeypatch: pytest.MonkeyPatch, text: str | None, number: float
) -> None:
    monkeypatch.delenv("CONVLSTM_NUMBER", raising=False)
    if text is not None:
        monkeypatch.setenv("CONVLSTM_NUMBER", text)
    assert launch.environment_number("CONVLSTM_NUMBER", 5.0) == number


@pytest.mark.parametrize("text", ["", "five", "-1", "nan"])
def test_an_environment_variable_that_is_not_a_number_is_refused(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("CONVLSTM_NUMBER", text)
    with pytest.raises(BadInput, match=f"CONVLSTM_NUMBER = '{text}': must be a number of at least"):
        launch.environment_number("CONVLSTM_NUMBER", 5.0)


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, "2000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_threads_that_wait_leave_the_cores_to_others(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], found: str | None
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(exits, "run", lambda *_, **__: None)
    launch.start(lambda _: None, Plot)
    assert os.environ.get("GOMP_SPINCOUNT") == found
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
