"""A text after `-S key=` means what `dvc exp run -S` makes of it, through Hydra; or is refused."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from dvc.exceptions import DvcException
from dvc.utils.hydra import apply_overrides
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.params import loading, overrides

TABLE: list[tuple[str, Any]] = [
    ("", ""),
    ("gray", "gray"),
    ("255", 255),
    ("-1.5e3", -1500.0),
    ("1_000", 1000),
    ("007", "007"),
    ("true", True),
    ("False", False),
    ("null", None),
    ("[0, 255]", [0, 255]),
    ("[ [1,2] , [3] ]", [[1, 2], [3]]),
    ("[]", []),
    ("[may, 'june 2']", ["may", "june 2"]),
    ("RAD_%Y-%m-%d %H:%M", "RAD_%Y-%m-%d %H:%M"),
    ("/data/x$y/100%", "/data/x$y/100%"),
    ("'/d/radar (2020)'", "/d/radar (2020)"),
    ('"a,b=c#d"', "a,b=c#d"),
    ("'Dati \N{LATIN SMALL LETTER E WITH ACUTE}'", "Dati \N{LATIN SMALL LETTER E WITH ACUTE}"),
    (r"'with\'quote'", "with'quote"),
    (r"a\,b\ c\\", "a,b c\\"),
    ("yes", "yes"),
    ("2020-01-01", "2020-01-01"),
    ("12:30", "12:30"),
]
REFUSED = ["/d/radar (2020)", "a,b", "year=2020", "a#b", "[1", "1]", "'a'b", "it's", "{a", "'", "~"]


def of_dvc(folder: Path, text: str) -> Any:
    """Return what a params.yaml has after `dvc exp run -S key=TEXT`."""
    path = folder / "params.yaml"
    path.write_text("key: 1\n", encoding="utf-8")
    apply_overrides(str(path), [f"key={text}"])
    return loading.read(path)["key"]


@pytest.mark.parametrize(("text", "expected"), TABLE)
def test_a_text_means_what_dvc_makes_of_it(text: str, expected: Any, tmp_path: Path) -> None:
    assert repr(overrides.value(text)) == repr(of_dvc(tmp_path, text)) == repr(expected)


@pytest.mark.parametrize("text", ["nan", "NaN", "[nan,-1]", "-inf", "[1, null]"])
def test_numbers_that_are_none_are_read_as_dvc_does(text: str, tmp_path: Path) -> None:
    assert repr(overrides.value(text)) == repr(of_dvc(tmp_path, text))
    assert not isinstance(overrides.value(text), str)


@pytest.mark.parametrize("text", REFUSED)
def test_what_dvc_refuses_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(DvcException):
        of_dvc(tmp_path, text)
    with pytest.raises(ValueError, match=r"in it|missing|end with"):
        overrides.value(text)


@pytest.mark.parametrize("text", ["int('5')", "{a: 1}", "${lr}", "'${lr}'", "???", "choice(1,2)"])
def test_what_asks_for_other_values_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"in it|missing|stand for"):
        overrides.value(text)


ALPHABET = "a1-+.e_nN ,[]()'\"\\=:#%/$x\t"
PIECES = [
    "nan",
    "null",
    "true",
    "-1",
    "1.5",
    "e3",
    ", ",
    "[",
    "]",
    "'",
    '"',
    "\\",
    " ",
    "a",
    "%Y",
    ":",
]
texts = st.one_of(
    st.text(ALPHABET, max_size=10),
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
    st.text(max_size=6),
)


def of_hydra(text: str) -> Any:
    """Return what Hydra makes of a text; an exception if it is refused, there or only here."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        found = OverridesParser.create().parse_override(f"key={text}").value()
    except HydraException as error:
        return error
    only_there = "${" in repr(found) or "'???'" in repr(found) or not is_value(found)
    return ValueError(text) if only_there else found


def is_value(found: object) -> bool:
    """Say whether it holds no sweep and no mapping."""
    if isinstance(found, list):
        return all(map(is_value, found))
    return isinstance(found, str | int | float | None)


def of_ours(text: str) -> Any:
    try:
        return overrides.value(text)
    except ValueError as error:
        return error


@settings(max_examples=500, deadline=None)
@given(texts)
def test_any_text_means_what_hydra_makes_of_it_or_is_refused(text: str) -> None:
    expected, found = of_hydra(text), of_ours(text)
    if isinstance(expected, Exception):
        assert isinstance(found, ValueError)
    else:
        assert repr(found) == repr(expected)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))
def test_any_text_can_be_quoted(text: str) -> None:
    (argument,) = shlex.split(overrides.quoted("raw", text))
    key, _, value = argument.partition("=")
    assert key == "raw"
    if "${" not in text and text != "???":
        assert overrides.value(value) == text


def test_a_deep_list_is_refused() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        overrides.value("[" * 10_000)
