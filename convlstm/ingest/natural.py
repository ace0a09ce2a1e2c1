"""The natural order of names: frame2 before frame10, -1 before 0, 0.25 before 0.5, 0f before 10.

How the numbers of a name count is decided for all names of a folder together: so that the fewest
names count the same, digits do not speak against it, and the names are of the fewest kinds. Where
two ways are equally good and would sort differently, the order is in doubt.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import pairwise, takewhile, zip_longest
from typing import NamedTuple

import numpy as np

SIGN = r"(?:(?<![^\W_])[-+])?"  # at the beginning, or after what is neither letter nor digit
SIGN_AFTER_A_LETTER = r"(?:(?<!\d)[-+])?"
DECIMAL = r"(?:\d+(?:\.\d+)?e[-+]\d\d+|\d+\.\d+(?!\d|\.\d)|\d+)"  # of 1.2.2020 the last two numbers
HEX_LETTERS = 3  # of a to f, without which numbers are hardly hexadecimal
EVEN = 0.05  # of a step: decimals are rounded
TWO_WAYS = (
    "can be sorted in two ways, by decimal numbers or by counters, to the base of 10 or of 16"
)

Number = int | Decimal
Key = tuple[str | Number, ...]
"""Texts and numbers in turn; it begins and ends with a text."""


class Order(NamedTuple):
    """The order of some names: their positions, the first name's first.

    `twins` are pairs of positions of names that count the same, and `doubt` are two names whose
    order cannot be told.
    """

    positions: list[int]
    twins: list[tuple[int, int]]
    doubt: tuple[str, str] | None = None


@dataclass(frozen=True)
class Reading:
    """One way to read the numbers of all names of a folder."""

    keys: list[Key]
    against: bool = False
    decimal: bool = False

    @cached_property
    def positions(self) -> list[int]:
        """The positions of the names in order."""
        alike = self.cost[2] == 1  # then numbers alone tell it, in a third of the time
        keys = [key[1::2] for key in self.keys] if alike else self.keys
        return sorted(range(len(keys)), key=keys.__getitem__)

    @cached_property
    def cost(self) -> tuple[int, bool, int]:
        """How many names count the same, whether digits speak against it, how many kinds."""
        kinds = {key[::2] for key in self.keys}
        return len(self.keys) - len(set(self.keys)), self.against, len(kinds)


def order(names: Sequence[str]) -> Order:
    """Return the natural order of names without their suffixes."""
    folded = [name.casefold() for name in names]
    readings = _readings(folded)
    likely = [reading for reading in readings if reading.cost == min(r.cost for r in readings)]
    chosen, rival = likely[0], None
    decimal = next((reading for reading in likely if reading.decimal), None)
    if decimal is not None and not chosen.decimal:
        chosen, rival = _better(folded, chosen, decimal)
    hexadecimal = _hexadecimal(folded) if chosen.cost[2] > 1 else None
    if hexadecimal is not None:
        # Counted as hexadecimal where that is sure; a rival where it is not.
        chosen, rival = (hexadecimal, None) if not hexadecimal.against else (chosen, hexadecimal)
    positions, keys = chosen.positions, chosen.keys
    pairs = pairwise(positions) if chosen.cost[0] else ()
    twins = [(a, b) for a, b in pairs if keys[a] == keys[b]]
    rivals = zip(positions, rival.positions, strict=True) if rival else ()
    doubt = next(((names[a], names[b]) for a, b in rivals if a != b), None)
    return Order(positions, twins, doubt)


def _readings(names: list[str]) -> list[Reading]:
    """Return the ways to read decimal numbers in the names, the plainest first."""
    signs = [SIGN]
    if _any(r"[^\W\d_][-+]\d", names):
        signs.append(SIGN_AFTER_A_LETTER)
    if not _any(r"\d\.\d|\de[-+]\d\d", names):
        return [Reading(_keys(names, rf"({sign}\d+)")) for sign in signs]
    own = _own(names)
    no_counters, no_decimals = _spoken_against(own)
    return [
        *(Reading(_keys(names, rf"({sign}\d+)"), no_counters) for sign in signs),
        *(Reading(_keys(own, f"({sign}{DECIMAL})"), no_decimals, True) for sign in signs),
    ]


def _own(names: list[str]) -> list[str]:
    """Return the names without a number and point with which all begin, as in run3.0.25, run3.1."""
    begin = re.match(r".*\d\.", _shared(names))
    rests = [name[begin.end() :] for name in names] if begin else names
    return rests if _any(r"\d\.\d", rests) else names


def _shared(names: list[str]) -> str:
    """Return the text with which all names begin."""
    first, last = min(names), max(names)
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return first[: sum(1 for _ in same)]


def _any(pattern: str, names: Iterable[str]) -> bool:
    # In one text, which takes a fifth of the time of one call for each name.
    return re.search(pattern, "\n".join(names)) is not None


def _keys(names: Iterable[str], pattern: str) -> list[Key]:
    """Return the parts of each name, where what the pattern finds are numbers."""
    split = re.compile(pattern).split
    keys: list[Key] = []
    for name in names:
        parts: list[str | Number] = list(split(name))
        parts[1::2] = map(_number, parts[1::2])
        keys.append(tuple(parts))
    return keys


def _number(text: str | Number) -> Number:
    try:
        return int(text)
    except ValueError:
        return Decimal(text)


def _spoken_against(names: Iterable[str]) -> tuple[bool, bool]:
    """Return whether digits after points are no counters, and whether they are no decimals.

    Counters have no leading zeros, and decimals no trailing ones, unless all are equally long.
    """
    split = re.compile(f"({DECIMAL})").split
    no_counters = no_decimals = False
    for place in zip_longest(*(split(name)[1::2] for name in names), fillvalue=""):
        digits = [number.partition("e")[0].partition(".")[2] for number in place if "." in number]
        if len(set(map(len, digits))) > 1:
            long = [some for some in digits if len(some) > 1]
            no_counters |= any(some.startswith("0") for some in long)
            no_decimals |= any(some.endswith("0") for some in long)
    return no_counters, no_decimals


def _better(names: list[str], counter: Reading, decimal: Reading) -> tuple[Reading, Reading | None]:
    """Return the better one of two readings of digits after points; and the other, in doubt."""
    if _any(r"\de[-+]\d\d", names):
        return decimal, None
    of_counter, of_decimal = _evenness_of_counters(names), _evenness_of_decimals(decimal.keys)
    if (of_counter >= 0.5) == (of_decimal >= 0.5):
        return counter, decimal
    return (counter if of_counter > of_decimal else decimal), None


def _evenness_of_counters(names: Iterable[str]) -> float:
    """Return how even the steps of the numbers after points are."""
    groups: dict[object, list[Number]] = defaultdict(list)
    for name in names:
        if found := re.fullmatch(r"(.*\d\.)(\d+)(\D.*)?", name):
            groups[found[1], found[3]].append(int(found[2]))
    return _evenness(groups.values())


def _evenness_of_decimals(keys: Iterable[Key]) -> float:
    """Return how even the steps of decimal numbers are, between names that differ in one only."""
    groups: dict[object, list[Number]] = defaultdict(list)
    for key in keys:
        for place in range(1, len(key), 2):
            number = key[place]
            assert not isinstance(number, str)
            groups[key[:place], key[place + 1 :]].append(number)
    decimals = [group for group in groups.values() if any(map(_has_a_part, group))]
    return _evenness(decimals)


def _has_a_part(number: Number) -> bool:
    """Return whether a number is no whole one."""
    return isinstance(number, Decimal) and number != number.to_integral_value()


def _evenness(groups: Iterable[Iterable[Number]]) -> float:
    """Return the share of steps, from one number of a group to the next, that are the usual one."""
    steps = np.array(
        [_step(a, b) for group in groups for a, b in pairwise(sorted(set(group)))], np.float64
    )
    usual = np.median(steps) if len(steps) else 0.0
    return float(np.mean(np.abs(steps - usual) <= EVEN * usual)) if len(steps) else 0.0


def _step(first: Number, second: Number) -> float:
    """Return how much larger the second number is; exact of long integers, such as times."""
    if isinstance(first, int) and isinstance(second, int):
        return float(second - first)
    return float(second) - float(first)


def _hexadecimal(names: list[str]) -> Reading | None:
    """Return the reading in which all that differs between the names is a hexadecimal number.

    It has `against` where that is not sure.
    """
    begin = _shared(names)
    rests = [name[len(begin) :] for name in names]
    end = len(_shared([rest[::-1] for rest in rests]))
    digits = [rest[: len(rest) - end] for rest in rests]
    letters = set("".join(digits)) & set("abcdef")
    if not letters or not all(re.fullmatch("[0-9a-f]+", each) for each in digits):
        return None
    values = [int(each, 16) for each in digits]
    sure = len(letters) >= HEX_LETTERS and _evenness([values]) >= 0.5
    if not sure and len(set(map(len, digits))) > 1:
        return None
    return Reading([(begin, value) for value in values], against=not sure)
