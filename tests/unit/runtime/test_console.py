"""No name acts on a terminal: what would is spelt, and all else is as it was."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.runtime import console
from convlstm.runtime.console import visible
from convlstm.runtime.errors import BadInput, Faults
from tests.builders import ROOT

ACTS = [*range(0x20), *range(0x7F, 0xA0), 0xAD, 0x061C, 0x200B, *range(0x200E, 0x2010)]
ACTS += [0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF, 0xDCFF]
"""Controls C0 and C1, marks of direction, ends of lines, and a byte that is no text."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x1b[31m", r"a\x1b[31m"),
        ("a\nerror: b", r"a\nerror: b"),
        ("\x9b2J\r\t", r"\x9b2J\r\t"),
        ("gnp.\u202e", r"gnp.\u202e"),
        ("\udcff.png", r"\udcff.png"),
        ("Zürich (2020), a=b \\ 雲 ☁ é\u00a0\u3000", "Zürich (2020), a=b \\ 雲 ☁ é\u00a0\u3000"),
    ],
)
def test_what_acts_is_spelt_and_all_else_stays(text: str, expected: str) -> None:
    assert visible(text) == expected


@given(st.text(st.characters() | st.sampled_from([chr(number) for number in ACTS])))
def test_no_text_keeps_a_character_that_acts(text: str) -> None:
    assert not set(visible(text)) & set(map(chr, ACTS))
    assert len(visible(text).splitlines()) <= 1
    assert visible(visible(text)) == visible(text)


def test_a_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("a\nb", "c")
    console.say("\x1b[2J", error=True)
    assert capsys.readouterr() == ("a\\nb\nc\n", "\\x1b[2J\n")


def test_a_name_in_an_error_makes_no_second_line() -> None:
    faults = Faults()
    faults.add("a\nerror: b: forged")
    with faults.collected():
        raise BadInput("first", "second\u2028third")
    with pytest.raises(BadInput) as raised:
        faults.check()
    assert str(raised.value).splitlines() == [r"a\nerror: b: forged", "first", r"second\u2028third"]


def test_nothing_is_printed_but_here() -> None:
    code = [path for room in ("convlstm", "stages") for path in (ROOT / room).rglob("*.py")]
    printing = {
        path.relative_to(ROOT).as_posix()
        for path in code
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "warnings.warn")
    }
    # The second prints errors, whose lines are visible, and the last what it says without packages.
    rooms = "convlstm/runtime"
    assert printing <= {f"{rooms}/console.py", f"{rooms}/exits.py", "stages/__init__.py"}
