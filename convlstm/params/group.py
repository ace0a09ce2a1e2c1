"""The base of all groups of params: strict, frozen, checked when made, and without defaults.

A group is a class that lists the keys of one purpose; the group of a stage stands in the room of
that stage. All values stand in params.yaml, so that a shipped value can change without a change of
code, and a new key of one stage is no change to the others.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Number = float | int
"""A number as YAML has it, before it has become a float."""

Rule = Callable[..., str | None]
"""A check of several keys together: its parameters are named like the keys that it is given.

It returns one line with key, value and what is allowed, or None if nothing is wrong.
"""


def as_tuple(value: object) -> object:
    """Turn a list, the only sequence that YAML has, into a tuple, which a frozen group can hold."""
    return tuple(value) if isinstance(value, list) else value


def nan_of_text(value: object) -> object:
    """Turn the text nan, in which YAML sees no number, into one; also .nan, as YAML spells it."""
    is_nan = isinstance(value, str) and value.lower() in ("nan", ".nan")
    return float("nan") if is_nan else value


def without_null(text: str) -> str:
    """Refuse the character that no name of a file can hold."""
    if "\0" in text:
        raise ValueError("must not hold a null character")
    return text


def always_tuple(value: object) -> object:
    """Turn null, one value or several into a tuple."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def nested_tuple(value: object) -> object:
    """Turn lists, and lists in them, into tuples."""
    return tuple(map(nested_tuple, value)) if isinstance(value, list | tuple) else value


def one_or_several(value: object) -> str:
    """Say whether a value is meant as one list, or as a list of lists for each channel."""
    nested = isinstance(value, tuple) and any(isinstance(part, tuple) for part in value)
    return "several" if nested else "one"


MOST = 10**12
"""The highest count: more than any run can take, and few enough for every library's arithmetic."""

Count = Annotated[int, Field(ge=1, le=MOST)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
PositivePercent = Annotated[float, Field(gt=0, le=100)]
Factor = Annotated[float, Field(gt=0, le=1)]
NumberOrNan = Annotated[float, Field(allow_inf_nan=True), BeforeValidator(nan_of_text)]
Text = Annotated[str, Field(min_length=1), AfterValidator(without_null)]
Texts = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
Counts = Annotated[
    tuple[Count, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=100)
]


class Group(BaseModel):
    """Some keys of params.yaml: no unknown key, no conversion, no infinity, no later change."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    RULES: ClassVar[tuple[Rule, ...]] = ()
    """The rules of this class; those of its bases hold as well."""

    @classmethod
    def broken_rules(cls, values: Mapping[str, Any]) -> list[str]:
        """Return a line for each rule that `values` break.

        Args:
            values: keys that are right by themselves; a rule about other keys is left out.
        """
        found = []
        for base in reversed(cls.__mro__):
            for rule in vars(base).get("RULES", ()):
                keys = list(inspect.signature(rule).parameters)
                if all(key in values for key in keys):
                    found.append(rule(*(values[key] for key in keys)))
        return [line for line in found if line is not None]

    @model_validator(mode="after")
    def _check_rules(self) -> "Group":
        if lines := self.broken_rules(dict(self)):
            raise ValueError("\n".join(lines))
        return self


GroupT = TypeVar("GroupT", bound=Group)
