"""All faults of one input are reported at once: the first in full, the others as a count."""

import pytest

from convlstm.runtime.errors import FAULTS_SHOWN, BadInput, Faults


def test_the_first_faults_are_listed_and_the_others_counted() -> None:
    faults = Faults()
    for number in range(FAULTS_SHOWN + 3):
        with faults.collected():
            raise BadInput(f"file {number}")
    with pytest.raises(BadInput) as raised:
        faults.check()
    lines = str(raised.value).splitlines()
    assert lines[:FAULTS_SHOWN] == [f"file {number}" for number in range(20)]
    assert lines[FAULTS_SHOWN:] == ["... and 3 more"]


def test_an_error_of_several_lines_is_several_faults() -> None:
    faults = Faults()
    faults.add("one")
    with faults.collected():
        raise BadInput("two", "three")
    assert faults.count == 3
    with pytest.raises(BadInput, match=r"^one\ntwo\nthree$"):
        faults.check()


def test_an_error_of_another_kind_is_not_collected() -> None:
    faults = Faults()
    with pytest.raises(OSError, match="disk"), faults.collected():
        raise OSError("disk")
    assert faults.count == 0


def test_without_faults_nothing_stops() -> None:
    Faults().check()


def test_a_fault_that_several_find_is_noted_once() -> None:
    faults = Faults()
    for line in ("one", "two", "one"):
        faults.add(line)
    with pytest.raises(BadInput) as raised:
        faults.check()
    assert str(raised.value).splitlines() == ["one", "two"]
