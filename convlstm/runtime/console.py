"""Lines for a terminal or a log, in which nothing can hide, whoever chose the names in them."""

import sys
from unicodedata import category

HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of Unicode: control characters, of direction and other format, halves of pairs, as
Python reads bytes that are no text, and ends of lines and paragraphs."""


def visible(text: str) -> str:
    r"""Return a text in which characters that would act on a terminal are spelt, as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(
        one.encode("unicode_escape").decode() if category(one) in HIDDEN else one for one in text
    )


def say(*lines: str, error: bool = False) -> None:
    """Print lines; what begins a new one inside of them is spelt."""
    for line in lines:
        print(visible(line), file=sys.stderr if error else sys.stdout, flush=True)
