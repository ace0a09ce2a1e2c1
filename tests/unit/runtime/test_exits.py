"""A command ends with the status of its error and in plain lines, and never with a traceback."""

import signal

import pytest

from convlstm.runtime import exits, signals
from convlstm.runtime.errors import BadInput, NonFinite, NoRoom, UserError


@pytest.fixture(autouse=True)
def _signals_stay_those_of_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "listen", lambda **_: None)


@pytest.mark.parametrize(("error", "status"), [(BadInput, 2), (NonFinite, 3), (NoRoom, 4)])
def test_an_error_of_the_user_is_printed_line_by_line_and_gives_its_status(
    error: type[UserError], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error("lr = 0: too small", "epochs = 0: too few")

    with pytest.raises(SystemExit) as ended:
        exits.run(fail)
    assert ended.value.code == status
    assert capsys.readouterr() == (
        "",
        "error: lr = 0: too small\nerror: epochs = 0: too few\n",
    )


def test_every_error_of_the_user_has_a_status_of_its_own() -> None:
    statuses = [error.status for error in UserError.__subclasses__()]
    assert sorted(statuses) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_stop_is_printed_and_gives_128_plus_the_number_of_its_signal(
    number: signal.Signals, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop() -> None:
        raise signals.Stopped(number)

    with pytest.raises(SystemExit) as ended:
        exits.run(stop)
    assert ended.value.code == status
    assert capsys.readouterr().err == f"error: stopped by {number.name}\n"


def test_a_command_that_succeeds_prints_nothing_and_does_not_exit(
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = []
    exits.run(lambda: done.append(1))
    assert done == [1]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (PermissionError(13, "", "data"), 2, "error: data: Permission denied\n"),
        (OSError(24, "", "a"), 4, "error: a: Too many open files; the system gives this process"),
        (MemoryError(), 4, "error: the memory is too small ("),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_an_error_of_the_system_is_a_line_whoever_meets_it(
    error: Exception, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        exits.run(fail)
    assert ended.value.code == status
    assert capsys.readouterr().err.startswith(line)


def test_what_fails_after_a_request_to_stop_is_that_stop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Matplotlib's film raises an IndexError of its own where its first frame is interrupted."""
    monkeypatch.setattr(signals, "requested", lambda: signals.Stopped(signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        exits.run(lambda: [][0])
    assert ended.value.code == 143
    assert capsys.readouterr().err == "error: stopped by SIGTERM\n"


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    def fail() -> None:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        exits.run(fail)


@pytest.mark.parametrize("child_of_dvc", [True, False])
def test_only_a_stage_listens_to_the_end_of_its_parent(
    child_of_dvc: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, bool]] = []
    monkeypatch.setattr(signals, "listen", lambda **options: calls.append(options))
    exits.run(lambda: None, child_of_dvc=child_of_dvc)
    assert calls == [{"to_parent": child_of_dvc}]
