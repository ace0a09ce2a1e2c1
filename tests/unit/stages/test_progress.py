"""Progress is a bar for who watches, and lines without control characters in a log."""

import io
import sys

import pytest

from stages import progress


class Terminal(io.StringIO):
    """A file that says that it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Terminal()
    monkeypatch.setattr(sys, "stderr", written)
    with progress.bar("train", 8, "batches", initial=2) as bar:
        bar.update(6)
    assert written.getvalue().startswith("\rtrain:  25%|")
    assert "8/8" in written.getvalue()


def test_a_log_has_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 1e-9)
    for total in (8, None):
        with progress.bar("train", total, "batches") as bar:
            bar.set_postfix_str("epoch 1 of 2", refresh=False)
            bar.update(6)
    assert "\r" not in written.getvalue()
    lines = written.getvalue().splitlines()
    assert "train: 6 of 8 batches, 00:00 gone, 00:00 left, epoch 1 of 2" in lines
    assert lines[-1] == "train: 6 batches, 00:00 gone, epoch 1 of 2"


def test_a_log_says_nothing_of_what_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    with progress.bar("patch", 8, "sequences") as bar:
        bar.update(8)
    assert not written.getvalue()
