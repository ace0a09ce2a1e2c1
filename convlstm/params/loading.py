"""Params from params.yaml, the command line or a model file, checked; a line for each fault."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from convlstm.params.groups import GroupT, Params
from convlstm.params.rules import broken
from convlstm.runtime.errors import BadInput


def load(path: Path, group: type[GroupT]) -> GroupT:
    """Read and check a whole params.yaml, and hand out the keys of one group alone.

    A stage that is given its own group cannot come to depend on a key that dvc.yaml does not list
    for it.

    Raises:
        BadInput: the file is missing or no YAML, or a key is unknown, missing, of the wrong type or
            out of its range; one line for each fault.
    """
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(
            f"{path}: no such file here; run this from the root of the repository"
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(values, Mapping):
        raise BadInput(f"{path}: must hold lines of the form `key: value`")
    _check(Params, dict(values), where=str(path))
    return group.model_validate({key: values[key] for key in group.model_fields})


def change(
    values: Mapping[str, Any], changes: Iterable[str], group: type[GroupT], *, where: str
) -> GroupT:
    """Values of a group, some of them changed by texts `key=value`, as DVC's -S takes them.

    Args:
        values: of the group's keys.
        changes: `key=value`, the value in YAML, or any text that is none.
        group: what they must be.
        where: the values are from, for the message.

    Raises:
        BadInput: a text is no change of a key of the group, or the values are at fault.
    """
    changed = dict(values)
    for text in changes:
        key, equals, value = text.partition("=")
        if not equals or key not in group.model_fields:
            raise BadInput(f"-S {text}: give key=value, with a key of {list(group.model_fields)}")
        try:
            changed[key] = YAML(typ="safe", pure=True).load(value)
        except YAMLError:  # as %Y%m%d, which DVC takes for a text as well
            changed[key] = value
    return _check(group, changed, where=where)


def _check(group: type[GroupT], values: Mapping[str, Any], *, where: str) -> GroupT:
    absent = [key for key in group.model_fields if key not in values]
    faults = {key: f"{key}: this key is missing; add it" for key in absent}
    checked: GroupT | None = None
    try:
        checked = group.model_validate(values)
    except ValidationError as error:
        faults |= _faults(error.errors(), values)
    if checked is not None and not faults:
        return checked
    lines = [*faults.values(), *broken({key: values[key] for key in values if key not in faults})]
    raise BadInput("\n".join(f"{where}: {line}" for line in lines))


def _faults(findings: list[ErrorDetails], values: Mapping[str, Any]) -> dict[str, str]:
    """One line for each key that is wrong by itself."""
    faults: dict[str, str] = {}
    for finding in findings:
        if finding["loc"]:
            faults.setdefault(str(finding["loc"][0]), _fault(finding, values))
    return faults


def _fault(finding: ErrorDetails, values: Mapping[str, Any]) -> str:
    """One line of ours for a finding of pydantic's: key, value, what is allowed."""
    key, *places = (str(part) for part in finding["loc"])
    if finding["type"] == "invalid_key":
        return f"{key}: this key is no text; remove it"
    shown = f"{key} = {_shown(values[key])}"
    if finding["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, Params.model_fields, n=1)
        return f"{shown}: unknown key" + (f"; the nearest is {near[0]}" if near else "")
    what = finding["msg"].replace("Input should", "should").replace("Field required", "is missing")
    number = f"number {int(places[0]) + 1} " if places and places[0].isdecimal() else ""
    return f"{shown}: {number}{what}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
