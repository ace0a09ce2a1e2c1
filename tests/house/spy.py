"""A spy on groups of params, which notes the keys that code reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from convlstm.params.group import Group


@contextmanager
def keys_read() -> Iterator[set[str]]:
    """Yield a set to which each key of a group is added when an attribute access reads it.

    Copies of a whole group, as `model_dump` makes them for the record, count for nothing.
    """
    keys: set[str] = set()

    def spying(self: Group, name: str) -> Any:
        if name in type.__getattribute__(type(self), "__pydantic_fields__"):
            keys.add(name)
        return object.__getattribute__(self, name)

    Group.__getattribute__ = spying  # type: ignore[method-assign,assignment]
    try:
        yield keys
    finally:
        del Group.__getattribute__
