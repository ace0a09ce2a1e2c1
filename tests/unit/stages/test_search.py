"""The spaces of a search are read from the command line; scores are those of validation."""

import argparse
import importlib.util
import subprocess
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from convlstm.runtime.errors import BadInput
from stages import search


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("lr=0.001:0.1", ("lr", (0.001, 0.1))),
        ("kernel_size=3|5", ("kernel_size", ["3", "5"])),
        ("hidden_channels=[8,8]|[16]", ("hidden_channels", ["[8,8]", "[16]"])),
    ],
)
def test_a_space_is_a_range_or_values(text: str, found: object) -> None:
    assert search.space(text) == found


@pytest.mark.parametrize("text", ["lr", "lr=1", "lr=a:b", "lr=1:2:3", "lr=2:1", "lr=nan:1"])
def test_what_is_no_space_is_one_line(text: str) -> None:
    with pytest.raises(BadInput, match=f"^{text}: "):
        search.space(text)


def test_a_wide_range_is_drawn_evenly_in_the_logarithm() -> None:
    asked: list[Any] = []

    class Trial:
        def suggest_float(self, *words: object, log: bool) -> float:
            asked.append((*words, log))
            return 0.5

    for own in ((0.001, 0.1), (0.5, 0.9), (-1.0, 20.0)):
        assert search.drawn(Trial(), "x", own) == 0.5
    assert asked == [("x", 0.001, 0.1, True), ("x", 0.5, 0.9, False), ("x", -1.0, 20.0, False)]


@pytest.mark.skipif(importlib.util.find_spec("optuna") is not None, reason="optuna is here")
def test_without_optuna_the_extra_is_named() -> None:
    with pytest.raises(BadInput, match="pip install optuna`, the extra search"):
        search.study_of("lr=0.001:0.1")


class Study:
    """A study as that of Optuna, whose trials have the scores that it is told."""

    def __init__(self) -> None:
        self.trials: list[Any] = []

    @property
    def best_trial(self) -> Any:
        """The trial of the lowest score."""
        return min(
            (own for own in self.trials if own.value is not None), key=lambda own: float(own.value)
        )

    def ask(self) -> Any:
        """Return a new trial."""
        state = SimpleNamespace(is_finished=lambda: True)
        return SimpleNamespace(
            number=len(self.trials), value=None, state=state, suggest_float=lambda *_, **__: 0.5
        )

    def tell(self, trial: Any, score: float | None, **_: object) -> None:
        """Note the score of a trial."""
        trial.value = score
        self.trials.append(trial)


@pytest.fixture
def studies(monkeypatch: pytest.MonkeyPatch) -> dict[str, Study]:
    """Studies by their spaces, kept in memory."""
    kept: dict[str, Study] = {}
    monkeypatch.setattr(search, "study_of", lambda name: kept.setdefault(name, Study()))
    return kept


def searched(
    monkeypatch: pytest.MonkeyPatch, spaces: Sequence[str], scores: Sequence[float | None]
) -> tuple[list[str], list[str]]:
    """Search with trials of these scores; returns the experiments that were run, and removed."""
    run: list[str] = []
    removed: list[str] = []

    def crps(name: str, _: object) -> float | None:
        run.append(name)
        return scores[len(run) - 1]

    monkeypatch.setattr(search, "validation_crps", crps)
    monkeypatch.setattr(subprocess, "run", lambda words, **_: removed.append(words[-1]))
    search.main(argparse.Namespace(spaces=spaces, trials=len(scores)))
    return run, removed


@pytest.mark.usefixtures("studies")
def test_the_best_experiment_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, removed = searched(monkeypatch, ["lr=0:1"], [3.0, None, 2.0])
    assert (len(set(run)), set(removed)) == (3, {run[0], run[1]})
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"search: the best is {run[2]}; `dvc exp apply {run[2]}` brings it here"
    )


@pytest.mark.usefixtures("studies")
def test_a_search_touches_no_experiment_of_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = searched(monkeypatch, ["lr=0:1"], [1.0, 2.0])
    second, removed = searched(monkeypatch, ["lr=0:2"], [2.0, 1.0])
    assert set(first).isdisjoint(second)
    assert set(first).isdisjoint(removed)


@pytest.mark.usefixtures("studies")
@pytest.mark.parametrize("scores", [[], [None, None]])
def test_a_search_without_a_score_is_one_line(
    monkeypatch: pytest.MonkeyPatch, scores: list[float | None]
) -> None:
    with pytest.raises(BadInput, match="search: no trial has a score; what stopped them stands"):
        searched(monkeypatch, ["lr=0:1"], scores)
