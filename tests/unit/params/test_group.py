"""A group takes its own keys only, converts nothing, and checks its rules and its bases' rules."""

from typing import ClassVar

import pytest
from pydantic import ValidationError

from convlstm.params.group import Group, Rule, Texts, as_tuple


def low_is_below_high(low: float, high: float) -> str | None:
    return None if low < high else f"low = {low}: must be below high = {high}"


def high_is_not_seven(high: float) -> str | None:
    return None if high != 7 else "high = 7: must be another"


class Limits(Group):
    """Two numbers and a rule about them."""

    RULES: ClassVar[tuple[Rule, ...]] = (low_is_below_high,)

    low: float
    high: float


class Named(Limits):
    """The limits with names, and another rule."""

    RULES: ClassVar[tuple[Rule, ...]] = (high_is_not_seven,)

    names: Texts


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"low": 0.0, "high": 1.0, "middle": 0.5}, "Extra inputs are not permitted"),
        ({"low": 0.0}, "Field required"),
        ({"low": "0", "high": 1.0}, "should be a valid number"),
        ({"low": True, "high": 2.0}, "should be a valid number"),
        ({"low": 0.0, "high": float("inf")}, "should be a finite number"),
        ({"low": float("nan"), "high": 1.0}, "should be a finite number"),
        ({"low": 1.0, "high": 0.0}, "low = 1.0: must be below high = 0.0"),
    ],
)
def test_a_group_refuses_what_is_not_exactly_its_keys(
    values: dict[str, object], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        Limits.model_validate(values)


def test_a_whole_number_is_a_number() -> None:
    assert Limits.model_validate({"low": 0, "high": 1}) == Limits(low=0.0, high=1.0)


def test_a_group_cannot_be_changed() -> None:
    limits = Limits(low=0.0, high=1.0)
    with pytest.raises(ValidationError, match="frozen"):
        limits.low = 0.5


def test_a_list_becomes_a_tuple_and_nothing_else_does() -> None:
    assert as_tuple([1, 2]) == (1, 2)
    assert as_tuple("text") == "text"
    assert Named.model_validate({"low": 0, "high": 1, "names": ["a"]}).names == ("a",)
    with pytest.raises(ValidationError, match="should be a valid tuple"):
        Named.model_validate({"low": 0, "high": 1, "names": "a"})


def test_the_rules_of_the_bases_come_first_and_hold_as_well() -> None:
    broken = {"low": 8.0, "high": 7.0, "names": ()}
    assert Named.broken_rules(broken) == [
        "low = 8.0: must be below high = 7.0",
        "high = 7: must be another",
    ]
    assert Limits.broken_rules(broken) == ["low = 8.0: must be below high = 7.0"]
    with pytest.raises(ValidationError, match=r"must be below high(.|\n)*must be another"):
        Named.model_validate(broken)


def test_a_rule_is_left_out_where_one_of_its_keys_is_not_given() -> None:
    assert Named.broken_rules({"low": 8.0}) == []
    assert Named.broken_rules({"high": 7.0}) == ["high = 7: must be another"]
