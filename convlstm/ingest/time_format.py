"""The times that names of files carry: `time_format` in the directives of strptime, read exactly.

`datetime.strptime` alone takes fewer digits than a directive has where that makes a name fit: hour
24 becomes hour 2, and the 4 is left over. Here each directive is cut out of the name by its own
width first, and the time that comes out must say again what stood there.
"""

import calendar
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DIGITS = dict.fromkeys("dmyHIMSUWV", 2) | {"Y": 4, "G": 4, "j": 3, "f": 6, "s": 10, "w": 1, "u": 1}
SHORTHAND = {"F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M"}  # which strptime does not know
WORDS: dict[str, Iterable[str]] = {
    "a": calendar.day_abbr,
    "A": calendar.day_name,
    "b": calendar.month_abbr,
    "B": calendar.month_name,
    "p": ("AM", "PM"),
    "Z": ("UTC", "GMT"),  # of any other strptime keeps the name and loses the offset
}
LEVELS = (
    set("YyGs"),
    set("mbBjUWVs"),
    set("dajAwuUWVs"),
    set("HIs"),
    set("Ms"),
    set("Ss"),
    set("f"),
)
"""The directives that tell year, month, day, hour, minute, second and fraction."""


@dataclass(frozen=True)
class Piece:
    """A directive such as "Y", or the text between two of them, which `literal` says."""

    text: str
    literal: bool


@dataclass(frozen=True)
class TimeFormat:
    """A checked format of the times in names; `time_format` makes one."""

    pieces: tuple[Piece, ...]

    @property
    def directives(self) -> str:
        """The letters of the directives in their order."""
        return "".join(piece.text for piece in self.pieces if not piece.literal)

    @property
    def dated(self) -> bool:
        """Whether a time has its year and no hole below it, so that it is the time of one moment.

        Without, times order the frames of a folder but cannot be compared between folders.
        """
        told = [bool(level & set(self.directives)) for level in LEVELS]
        return told[0] and True not in told[told.index(False) :] if False in told else True

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """A pattern of the beginning of a name, with a group for each directive.

        A number has all its digits where other digits come next to it in the format; elsewhere
        leading zeros may be missing, but no digit may follow that belongs to it.
        """
        pieces = self.pieces
        parts = []
        for number, piece in enumerate(pieces):
            before = pieces[number - 1] if number else None
            after = pieces[number + 1] if number + 1 < len(pieces) else None
            crowded = _is_digit_at(after, 0) or (_is_digit_at(before, -1) and piece.text != "f")
            parts.append(_pattern(piece, crowded=crowded, last=after is None))
        return re.compile("".join(parts), re.IGNORECASE)

    def parse(self, name: str) -> int:
        """Return the time with which a name begins, in microseconds since 1970, UTC.

        The rest of the name is ignored. Hour 24 is hour 0 of the next day.

        Raises:
            ValueError: the name does not begin like that, or tells a time that does not exist.
        """
        found = self.pattern.match(name)
        if found is None:
            raise ValueError("the name does not match it")
        told = dict(zip(self.directives, found.groups(), strict=True))
        try:
            time = _since_1970(told) if "s" in told else _from_calendar(told)
            return round((time - EPOCH) / timedelta(microseconds=1))
        except (ValueError, OverflowError):
            shown = ", ".join(f"%{letter} = {text}" for letter, text in told.items())
            raise ValueError(f"no time is {shown}") from None

    def name(self, time: int) -> str:
        """Return the name that `parse` reads as this time, its numbers with leading zeros."""
        moment = EPOCH + timedelta(microseconds=time)
        return "".join(
            piece.text if piece.literal else _shown(moment, piece.text) for piece in self.pieces
        )


@lru_cache
def time_format(text: str) -> TimeFormat:
    """Return the format that a text means.

    Raises:
        ValueError: a directive is unknown or stands there twice, or no time can be told from it.
    """
    spelt = re.sub("%([FTR])", lambda found: SHORTHAND[found[1]], text)
    pieces = []
    for directive, literal in re.findall(r"%(.?)|([^%]+)", spelt):
        if literal or directive == "%":
            pieces.append(Piece(literal or "%", literal=True))
        elif directive in DIGITS or directive in WORDS or directive == "z":
            pieces.append(Piece(directive, literal=False))
        else:
            raise ValueError(f"%{directive} is no directive of a time that is read here")
    made = TimeFormat(tuple(pieces))
    letters = made.directives
    for letter in letters:
        if letters.count(letter) > 1:
            raise ValueError(f"%{letter} stands in it twice")
    if not set(letters) - set("pzZ"):
        raise ValueError("there is no time in it, such as %Y%m%d%H%M")
    if "I" in letters and "p" not in letters:
        raise ValueError("%I counts to 12, so %p must say which half of the day; or is it %H?")
    if "s" in letters and set(letters) - set("sf"):
        raise ValueError("%s is the whole time in seconds since 1970; only %f goes with it")
    return made


def fault(text: str | None) -> str | None:
    """Return what is wrong with a `time_format`, in a line; None if nothing is."""
    try:
        if text is not None:
            time_format(text)
    except ValueError as error:
        return f"time_format = {text!r}: {error}"
    return None


def _is_digit_at(piece: Piece | None, end: int) -> bool:
    if piece is None:
        return False
    return piece.text[end].isdigit() if piece.literal else piece.text in DIGITS


def _pattern(piece: Piece, *, crowded: bool, last: bool) -> str:
    """Return the pattern of one piece, with a group if it is a directive."""
    if piece.literal:
        return re.sub(r"(\\\s|\s)+", r"\\s+", re.escape(piece.text))
    letter = piece.text
    if letter in WORDS:
        words = sorted((word for word in WORDS[letter] if word), key=len, reverse=True)
        return f"({'|'.join(map(re.escape, words))})"
    if letter == "z":
        return r"([+-][0-9]{2}:?[0-9]{2}(?::?[0-9]{2})?|Z)"
    width = DIGITS[letter]
    full = f"[0-9]{{{width}}}"
    if letter == "f":  # a name may tell nanoseconds
        return f"({full})" if crowded else "([0-9]{1,6})[0-9]*"
    if crowded or letter in "YG":
        return f"({full})"
    if letter == "s":
        return "(-?[0-9]+)"
    # What a name tells after the time, such as seconds after %M, is not asked for.
    rest = "" if last else "(?![0-9])"
    return f"({full}{rest}|[0-9]{{1,{max(1, width - 1)}}}(?![0-9]))"


def _since_1970(told: dict[str, str]) -> datetime:
    seconds = timedelta(seconds=int(told["s"]))
    fraction = timedelta(microseconds=int(told.get("f", "").ljust(6, "0")))
    return EPOCH + seconds + (-fraction if told["s"].startswith("-") else fraction)


def _from_calendar(told: dict[str, str]) -> datetime:
    """Return the time that directives tell.

    Raises:
        ValueError: there is none, or they contradict each other.
    """
    told = dict(told)
    midnight = told.get("H") == "24"
    if midnight:
        if any(int(told.get(letter, 0)) for letter in "MSf"):
            raise ValueError("24:00 is the end of a day")
        told["H"] = "00"
    # A year of its own where there is none, because strptime is about to ask for one.
    whole = told if set(told) & set("YyG") else {"Y": "1900", **told}
    # A blank between them: nothing can pass from one directive to another.
    time = datetime.strptime(" ".join(whole.values()), " ".join(f"%{letter}" for letter in whole))
    for letter, text in told.items():
        if letter not in "fzZ" and _plain(_shown(time, letter)) != _plain(text):
            raise ValueError("they contradict each other")
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return aware + timedelta(days=1) if midnight else aware


def _plain(text: str) -> str:
    """Return a number without leading zeros, or a word in small letters."""
    return str(int(text)) if text.isdecimal() else text.casefold()


def _shown(time: datetime, letter: str) -> str:
    """Return what a directive says of a time; strftime depends on the platform in some of them."""
    match letter:
        case "Y":
            return f"{time.year:04d}"
        case "s":
            return str((time - EPOCH) // timedelta(seconds=1))
    return time.strftime(f"%{letter}")
