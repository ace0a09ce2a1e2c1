r"""The value in `-S key=value`, by the grammar that `dvc exp run -S` takes: Hydra's overrides.

The same text means the same to both. What would start several runs or ask for other keys (sweeps,
functions, mappings, interpolation) is refused. Hydra itself comes with DVC only, which is not
needed to use a model.

Source: hydra-core 1.3, hydra/grammar/OverrideLexer.g4 and OverrideParser.g4.
"""

import re
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

_INT = r"(?:0|[1-9](?:_?[0-9])*)"
_DIGITS = r"[0-9](?:_?[0-9])*"
_POINT = rf"(?:{_INT}?\.{_DIGITS}|{_INT}\.)"
TOKENS = {
    kind: re.compile(pattern)
    for kind, pattern in {
        "refused": r"[ \t]*[(){}=][ \t]*|\$\{[^}]+\}",
        "comma": r"[ \t]*,[ \t]*",
        "open": r"\[[ \t]*",
        "close": r"[ \t]*\]",
        "colon": r"[ \t]*:[ \t]*",
        "float": rf"[+-]?(?:(?:{_POINT}|{_INT})[eE][+-]?{_DIGITS}|{_POINT}|(?i:inf|nan))",
        "int": rf"[+-]?{_INT}",
        "bool": r"(?i:true|false)",
        "null": r"(?i:null)",
        "text": r"[/\-\\+.$%*@?|]|[a-zA-Z_][a-zA-Z0-9_-]*",
        "escape": r"(?:\\[\\()\[\]{}:=, \t])+",
        "blank": r"[ \t]+",
        "quoted": r"(?s:(['\"])(?:(?:\\\\)*|.*?[^\\](?:\\\\)*)\1)",
    }.items()
}
"""Kinds of tokens: the longest one is taken, and of equally long ones the first."""
PLAIN = {"colon", "float", "int", "bool", "null", "text", "escape", "blank"}


class Token(NamedTuple):
    """A piece of the text."""

    kind: str
    text: str


def value(text: str) -> Any:
    """Return the text, number, truth value, None or list of such that the text after `=` means.

    Raises:
        ValueError: it is not of the grammar, or of a part that is refused; the message has a line.
    """
    tokens = list(_tokens(text.lstrip(" \t")))
    if not tokens:
        return ""
    try:
        found, at = _element(tokens, 0)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if at < len(tokens):
        raise ValueError(f"there is {tokens[at].text.strip()!r} in it")
    if "${" in repr(found) or "'???'" in repr(found):
        raise ValueError("${ and ??? stand for other values")
    return found


def quoted(key: str, text: str) -> str:
    """Return an argument for a shell that gives a key this very text, whatever is in it."""
    escaped = re.sub(r"(\\*)('|\Z)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), text)
    return shlex.quote(f"{key}='{escaped}'")


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        found = [(kind, match[0]) for kind, pat in TOKENS.items() if (match := pat.match(text, at))]
        if not found:
            raise ValueError(f"there is {text[at]!r} in it")
        token = Token(*max(found, key=lambda kind_and_text: len(kind_and_text[1])))
        yield token
        at += len(token.text)


def _element(tokens: list[Token], at: int) -> tuple[Any, int]:
    """Return what begins at a token, and where the next thing begins."""
    kind = tokens[at].kind if at < len(tokens) else "end"
    if kind == "open":
        return _list(tokens, at + 1)
    if kind == "quoted":
        return _unquoted(tokens[at].text), at + 1
    stop = at
    while stop < len(tokens) and tokens[stop].kind in PLAIN:
        stop += 1
    if stop == at:
        what = tokens[at].text.strip() if at < len(tokens) else "its end"
        raise ValueError(f"a value is missing before {what!r}")
    return _plain(tokens[at:stop]), stop


def _list(tokens: list[Token], at: int) -> tuple[list[Any], int]:
    if at < len(tokens) and tokens[at].kind == "close":
        return [], at + 1
    items = []
    while True:
        item, at = _element(tokens, at)
        items.append(item)
        kind = tokens[at].kind if at < len(tokens) else "end"
        if kind == "close":
            return items, at + 1
        if kind != "comma":
            raise ValueError("a list does not end with ]")
        at += 1


def _plain(tokens: list[Token]) -> Any:
    """Return what tokens without quotes mean: one alone may be a number, several are a text."""
    own = tokens[tokens[0].kind == "blank" : len(tokens) - (tokens[-1].kind == "blank")]
    if not own:
        raise ValueError("it is blank")
    if len(own) > 1:
        return "".join(t.text[1::2] if t.kind == "escape" else t.text for t in own)
    text = own[0].text
    match own[0].kind:
        case "int":
            return int(text)
        case "float":
            return float(text)
        case "bool":
            return text.lower() == "true"
        case "null":
            return None
        case "escape":
            return text[1::2]
    return text


def _unquoted(text: str) -> str:
    """Return a text without its quotes, and with half of the backslashes before inner quotes."""
    quote = text[0]
    halved = re.sub(rf"(\\+){quote}", lambda found: found[0][1::2], text[1:])
    return halved if re.search(rf"\\{quote}$", text) else halved[:-1]
