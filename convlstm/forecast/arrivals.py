"""The frames of a folder to which others write: which there are, and which forecast is due.

A frame is a file; names carry its time, or count. Frames may come late, twice, in parts or broken.
They may lie in folders by date, as 2026/11/28 or 20261128, which are one record: only the newest
are looked into, so a look costs the same however long the archive is.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain, islice, pairwise
from pathlib import Path

import numpy as np

from convlstm.ingest import natural, readers, times
from convlstm.ingest.params import Reading
from convlstm.ingest.sources import Source
from convlstm.ingest.time_format import time_format
from convlstm.runtime.errors import BadInput

State = tuple[int, int]
"""The bytes of a file and the time of its last change: it has ended if these stay as they are."""

HISTORY = 3
"""Times the frames of a forecast: the frames whose step tells what a gap is. Of three frames alone
the second step could be twice the first."""


DATED = re.compile(r"(?:19|20)\d\d(?:[-_.]?(?:[0-3]\d\d|(?:0[1-9]|1[0-2])(?:[-_.]?\d\d)*))?")
"""The name of a folder by date. It begins with the year, since 28-11-2026 has no order by name; the
year may be alone, and month or day of the year follow with all their digits."""
PART_OF_DATE = re.compile(r"\d+(?:[-_.]\d+)*")
"""The name of a folder in a folder by date."""
LEVELS = 5  # of folders by date, from year to minute; a link may lead back up
FOLDERS = 400
"""Folders that are looked into at most: those of a year, if somebody makes all its days ahead."""


@dataclass(frozen=True)
class Look:
    """The files of a folder at one moment.

    `frames` are in order, no two of one time, and `times` are microseconds since 1970, if names
    carry them. `others` are passed over, each with the reason in a line. `doubt` says why there is
    no order. `folders` are looks into the folder itself, and into those by date, each alone.
    """

    states: Mapping[Path, State] = field(default_factory=dict)
    frames: tuple[Path, ...] = ()
    times: tuple[int, ...] | None = None
    others: Mapping[Path, str] = field(default_factory=dict)
    doubt: str = ""
    folders: Mapping[Path, "Look"] = field(default_factory=dict)


def look(folder: Path, reading: Reading, before: Look, count: int) -> Look:
    """Return the files of a folder, or of its newest folders by date if it holds no frame itself.

    Hidden files and all other folders are left aside.

    Args:
        folder: to look into.
        reading: how the names are read.
        before: the last look, which is returned as it is if nothing has changed.
        count: the number of frames that a forecast starts from.

    Raises:
        BadInput: the folder is not there.
        OSError: it cannot be listed.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder")
    found, frames = {}, 0
    for path, own in islice(_newest_first(folder, reading, before, DATED, LEVELS), FOLDERS):
        found[path] = own
        frames += len(own.frames)
        if frames >= HISTORY * count:
            break
    return before if found == before.folders else _joined(found, reading)


def due(folder: Path, now: Look, before: Look, count: int) -> Source | str:
    """Return the last frames of a folder, from which a forecast is due, or a line on why none is.

    It is always the newest frame that counts: a forecast from before it has come too late. The line
    is empty while one of the files is still being written.

    Args:
        folder: by which the frames are named.
        now: the folder.
        before: an earlier look. A file that is not as it was then is still being written.
        count: the number of frames that a forecast starts from.
    """
    if now.doubt:
        return now.doubt
    if len(now.frames) < count:
        return f"{folder}: fewer than the {count} frames from which a forecast starts"
    last = now.frames[-count:]
    if any(now.states[path] != before.states.get(path) for path in last):
        return ""
    if now.times is None:
        return Source(folder.name, last)
    own = now.times[-HISTORY * count :]
    begin, end = times.runs(np.array(own, np.int64), len(own))[-1]
    if end - begin < count:
        start, stop = times.shown(own[begin - 1]), times.shown(own[begin])
        return f"{folder}: a frame is missing, or the step changes, between {start} and {stop}"
    return Source(folder.name, last, times=own[-count:])


def _newest_first(
    folder: Path, reading: Reading, before: Look, dated: re.Pattern[str], levels: int
) -> Iterator[tuple[Path, Look]]:
    """Yield the folder and the look into it, then those by date in it if it holds no frame."""
    states, inner = _listed(folder, dated)
    own = _of_one(states, reading, before.folders.get(folder, Look()))
    yield folder, own
    if own.frames or not levels:
        return
    for name in sorted(inner, key=lambda name: (len(name), name), reverse=True):
        with suppress(FileNotFoundError):  # removed in this moment
            yield from _newest_first(folder / name, reading, before, PART_OF_DATE, levels - 1)


def _listed(folder: Path, dated: re.Pattern[str]) -> tuple[dict[Path, State], list[str]]:
    """Return the visible files of a folder, by name, and the names of the folders by date in it."""
    found: dict[str, State] = {}
    inner = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):  # removed in this moment
                if dated.fullmatch(entry.name) and entry.is_dir():
                    inner.append(entry.name)
                elif entry.is_file() and not entry.name.startswith("."):
                    state = entry.stat()
                    found[entry.name] = (state.st_size, state.st_mtime_ns)
    return {folder / name: found[name] for name in sorted(found)}, inner


def _of_one(states: Mapping[Path, State], reading: Reading, before: Look) -> Look:
    """Return the look into one folder."""
    if states == before.states:
        return before
    # What is known by its content stays so; else each look would open all files.
    known = {*before.frames, *before.others}
    files = [path for path in states if path in known or readers.is_read(path)]
    if reading.time_format is not None:
        return _by_time(states, files, reading.time_format)
    return _by_name(states, files)


def _joined(folders: Mapping[Path, Look], reading: Reading) -> Look:
    """Return one look of those into several folders, of which the newest is the first."""
    parts = list(folders.values())[::-1]
    states = {path: state for part in parts for path, state in part.states.items()}
    others = {path: line for part in parts for path, line in part.others.items()}
    if reading.time_format is None:
        frames = tuple(chain.from_iterable(part.frames for part in parts))
        doubt = next((part.doubt for part in parts if part.doubt), "")
        return Look(states, frames, None, others, doubt, folders)
    found = [pair for part in parts for pair in zip(part.times or (), part.frames, strict=True)]
    return replace(_in_order(states, found, others), folders=folders)


def _by_time(states: Mapping[Path, State], files: Iterable[Path], text: str) -> Look:
    found, others = [], {}
    for path in files:
        try:
            found.append((time_format(text).parse(path.name), path))
        except ValueError as error:
            others[path] = f"{path}: passed over: time_format = '{text}' does not fit ({error})"
    return _in_order(states, found, others)


def _in_order(
    states: Mapping[Path, State], found: Sequence[tuple[int, Path]], others: Mapping[Path, str]
) -> Look:
    """Return the look at frames in the order of their times; of one time the first counts."""
    twins = {}
    for (before, first), (after, second) in pairwise(sorted(found)):
        if before == after:
            name = first.name if first.parent == second.parent else first
            twins[second] = f"{second}: passed over: the same time as {name}"
    kept = [(time, path) for time, path in sorted(found) if path not in twins]
    moments, frames = zip(*kept, strict=True) if kept else ((), ())
    return Look(states, frames, moments, {**others, **twins})


def _by_name(states: Mapping[Path, State], files: list[Path]) -> Look:
    order = natural.order([readers.stem(path) for path in files])
    others = {
        files[second]: f"{files[second]}: passed over: its name sorts equal to {files[first].name}"
        for first, second in order.twins
    }
    doubt = ""
    if order.doubt:
        doubt = f"{files[0].parent}: {' and '.join(order.doubt)} {natural.TWO_WAYS}"
    frames = tuple(files[n] for n in order.positions if files[n] not in others)
    return Look(states, frames, None, others, f"{doubt}; set time_format" if doubt else "")
