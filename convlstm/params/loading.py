"""Params from params.yaml, the command line or a model file to a checked group."""

import difflib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import Node

from convlstm.params import overrides
from convlstm.params.group import Group, GroupT
from convlstm.runtime.errors import BadInput

MOST_BYTES = 2**20
"""A hundred times the shipped file."""
WORDS = {
    "tuple_type": "should be a list, such as [1, 2]",
    "too_short": "should hold at least {min_length} value(s)",
    "too_long": "should hold at most {max_length} values",
    "string_too_short": "should not be empty",
}
"""Words for what pydantic says of Python's types, by its names of the faults."""
DEEPEST = 10
"""Values inside each other; the shipped keys take four: a list of lists in the file's mapping."""


class Flat(Composer):
    """A composer that refuses what a few lines can make endless: deep nesting and aliases.

    An alias stands for a value elsewhere; ten lines of aliases of aliases make billions of values.
    """

    depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node:
        """Return the node that begins at the next event.

        Raises:
            ComposerError: it is an alias, or too deep.
        """
        event = self.parser.peek_event()
        if isinstance(event, AliasEvent):
            found = f"found the alias *{event.anchor[:20]}; write out what it stands for"
            raise ComposerError(None, None, found, event.start_mark)
        if self.depth == DEEPEST:
            found = f"found more than {DEEPEST} values inside each other"
            raise ComposerError(None, None, found, event.start_mark)
        self.depth += 1
        node: Node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class Texts(SafeConstructor):
    """A constructor that leaves dates as they are written: folders are named so, no key is one."""


Texts.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)


def read(path: Path) -> dict[Any, Any]:
    """Return the keys and values of a params.yaml, unchecked, as DVC's own parser reads them.

    A date without quotes is a text here.

    Raises:
        BadInput: the file is missing, or is not YAML with lines of the form `key: value`.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer, yaml.Constructor = Flat, Texts
    try:
        values = yaml.load(_text(path))
    except (YAMLError, ValueError) as error:
        raise BadInput(f"{path}: {' '.join(str(error).split())}") from None
    except LookupError as error:  # raised for a text that is not of the kind that its tag says
        raise BadInput(f"{path}: a tag (!!) does not fit its value: {error}; remove it") from None
    if not isinstance(values, Mapping):
        raise BadInput(f"{path}: must hold lines of the form `key: value`")
    return dict(values)


def _text(path: Path) -> str:
    """Return the content of a params.yaml.

    Raises:
        BadInput: it is missing, is no regular file, or is larger than any params are.
        ValueError: it is not UTF-8.
    """
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait forever
            raise BadInput(f"{path}: must be a file of lines of the form `key: value`")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise BadInput(
            f"{path}: no such file here; run this from the root of the repository"
        ) from None
    if len(content) > MOST_BYTES:
        raise BadInput(f"{path}: has more than {MOST_BYTES:,} bytes, which no params take")
    return content.decode()


def load(path: Path, group: type[GroupT]) -> GroupT:
    """Return one group of a params.yaml; keys of other groups are not looked at.

    A stage that is given its own group alone cannot come to depend on a key that dvc.yaml does not
    list for it.

    Raises:
        BadInput: the file cannot be read, or a key is missing, of the wrong type or out of its
            range; one line for each fault.
    """
    values = read(path)
    own = {key: values[key] for key in group.model_fields if key in values}
    return check(own, group, where=str(path))


def change(
    values: Mapping[str, Any], changes: Iterable[str], group: type[GroupT], *, where: str
) -> GroupT:
    """Return a group of `values`, some of them changed by texts as DVC's -S takes.

    Args:
        values: for every key of the group.
        changes: texts `key=value`; `overrides` says how the value is read.
        group: the class to make.
        where: the origin of the values, for messages.

    Raises:
        BadInput: a text does not change a key of the group, or a value is wrong.
    """
    changed = dict(values)
    for text in changes:
        key, equals, value = text.partition("=")
        if not equals or key not in group.model_fields:
            raise BadInput(f"-S {text}: give key=value, with a key of {list(group.model_fields)}")
        try:
            changed[key] = overrides.value(value)
        except ValueError as error:
            raise BadInput(
                f"-S {text}: {error}; in quotes it is a text: -S {overrides.quoted(key, value)}"
            ) from None
    return check(changed, group, where=where)


def check(values: Mapping[Any, Any], group: type[GroupT], *, where: str) -> GroupT:
    """Return `values` as a group.

    Raises:
        BadInput: a key is unknown, missing, of the wrong type or out of its range, or keys do not
            fit together; one line for each fault, which begins with `where`.
    """
    try:
        return group.model_validate(values)
    except ValidationError as error:
        faults = _faults_by_key(error.errors(), values, group)
    # Rules are asked again, because pydantic leaves them out where a key is wrong by itself.
    rest = {key: values[key] for key in group.model_fields if key in values and key not in faults}
    lines = [*faults.values(), *group.broken_rules(rest)]
    raise BadInput(*(f"{where}: {line}" for line in lines))


def _faults_by_key(
    findings: list[ErrorDetails], values: Mapping[Any, Any], group: type[Group]
) -> dict[str, str]:
    """Return one line for each key that is wrong by itself."""
    faults: dict[str, str] = {}
    for finding in findings:
        if finding["loc"]:
            faults.setdefault(str(finding["loc"][0]), _fault(finding, values, group))
    return faults


def _fault(finding: ErrorDetails, values: Mapping[Any, Any], group: type[Group]) -> str:
    """Turn a finding of pydantic into a line of ours: key, value, what is allowed."""
    key, *places = (str(part) for part in finding["loc"])
    if finding["type"] == "invalid_key":
        return f"{key}: this key is not a text; remove it"
    if finding["type"] == "missing" and not places:
        return f"{key}: this key is missing; add it"
    shown = f"{key} = {_shown(values[key])}"
    if finding["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, group.model_fields, n=1)
        return f"{shown}: unknown key" + (f"; the nearest is {near[0]}" if near else "")
    if finding["type"] == "string_type":
        finding["msg"] += ", in quotes if it looks like a number"
    what = finding["msg"].removeprefix("Value error, ")
    what = what.replace("Input should", "should").replace("Field required", "is missing")
    if finding["type"] in WORDS:
        what = WORDS[finding["type"]].format(**finding.get("ctx", {}))
    number = next((f"number {int(place) + 1} " for place in places if place.isdecimal()), "")
    return f"{shown}: {number}{what}"


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more digits than this
        text = f"a number of more than {sys.get_int_max_str_digits()} digits"
    return text if len(text) <= 60 else text[:57] + "..."
