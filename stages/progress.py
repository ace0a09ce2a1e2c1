"""The progress of a stage: a bar on a terminal, and lines now and then in a log."""

import sys
from typing import Any, TextIO

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 30.0
LINE = "{desc}: {n_fmt} of {total_fmt}{unit}, {elapsed} gone, {remaining} left{postfix}"
LINE_WITHOUT_TOTAL = "{desc}: {n_fmt}{unit}, {elapsed} gone{postfix}"


def bar(desc: str, total: int | None, unit: str, *, initial: int = 0) -> "tqdm[Any]":
    """Return a bar that `update` moves on.

    Where nobody watches, as under a scheduler or with the output in a file, it is a line every
    half minute, and none for what takes less.

    Args:
        desc: the name of the work, at the beginning of each line.
        total: of the units, if it is known.
        unit: the plural of what is counted.
        initial: the units that an earlier run has done.
    """
    unit = f" {unit}"
    if sys.stderr.isatty():
        return tqdm(desc=desc, total=total, unit=unit, initial=initial)
    return tqdm(
        desc=desc,
        total=total,
        unit=unit,
        initial=initial,
        file=Lines(sys.stderr),
        mininterval=SECONDS_BETWEEN_LINES,
        delay=SECONDS_BETWEEN_LINES,
        bar_format=LINE_WITHOUT_TOTAL if total is None else LINE,
    )


class Lines:
    """Turns what a bar writes over itself into lines."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """Write the text as a line of its own, without the control characters of a terminal."""
        if words := text.strip("\r\n "):
            self._file.write(f"{words}\n")

    def flush(self) -> None:
        """Hand the lines on."""
        self._file.flush()
