"""The spaces of a search are read from the command line; scores are those of validation."""

import importlib.util
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
