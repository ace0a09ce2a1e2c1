"""The frames of a folder to which others write: which there are, and which forecast is due.

A frame is a file; names carry its time, or count. Frames may come late, twice, in parts or broken.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
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


@dataclass(frozen=True)
class Look:
    """The files of a folder at one moment.

    `frames` are in order, no two of one time, and `times` are microseconds since 1970, if names
    carry them. `others` are passed over, each with the reason in a line. `doubt` says why there is
    no order.
    """

    states: Mapping[Path, State] = field(default_factory=dict)
    frames: tuple[Path, ...] = ()
    times: tuple[int, ...] | None = None
    others: Mapping[Path, str] = field(default_factory=dict)
    doubt: str = ""


def look(folder: Path, reading: Reading, before: Look) -> Look:
    """Return the files of a folder; hidden ones and folders are left aside.

    Args:
        folder: to look into.
        reading: how the names are read.
        before: the last look, which is returned as it is if nothing has changed.

    Raises:
        BadInput: the folder is not there.
        OSError: it cannot be listed.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder")
    states = _states(folder)
    if states == before.states:
        return before
    # What is known by its content stays so; else each look would open all files.
    known = {*before.frames, *before.others}
    files = [path for path in states if path in known or readers.is_read(path)]
    if reading.time_format is not None:
        return _by_time(states, files, reading.time_format)
    return _by_name(states, files)


def due(now: Look, before: Look, count: int) -> Source | str:
    """Return the last frames of a folder, from which a forecast is due, or a line on why none is.

    It is always the newest frame that counts: a forecast from before it has come too late. The line
    is empty while one of the files is still being written.

    Args:
        now: the folder.
        before: an earlier look. A file that is not as it was then is still being written.
        count: the number of frames that a forecast starts from.
    """
    name = _folder_of(now)
    if now.doubt:
        return now.doubt
    if len(now.frames) < count:
        return f"{name}fewer than the {count} frames from which a forecast starts"
    last = now.frames[-count:]
    if any(now.states[path] != before.states.get(path) for path in last):
        return ""
    if now.times is None:
        return Source(last[-1].parent.name, last)
    own = now.times[-HISTORY * count :]
    begin, end = times.runs(np.array(own, np.int64), len(own))[-1]
    if end - begin < count:
        start, stop = times.shown(own[begin - 1]), times.shown(own[begin])
        return f"{name}a frame is missing, or the step changes, between {start} and {stop}"
    return Source(last[-1].parent.name, last, times=own[-count:])


def _folder_of(now: Look) -> str:
    return next((f"{path.parent}: " for path in now.frames), "")


def _states(folder: Path) -> dict[Path, State]:
    """Return the visible files of a folder, by name."""
    found: dict[Path, State] = {}
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            with suppress(OSError):  # removed in this moment
                if entry.is_file() and not entry.name.startswith("."):
                    state = entry.stat()
                    found[folder / entry.name] = (state.st_size, state.st_mtime_ns)
    return found


def _by_time(states: Mapping[Path, State], files: Iterable[Path], text: str) -> Look:
    found, others = [], {}
    for path in files:
        try:
            found.append((time_format(text).parse(path.name), path))
        except ValueError as error:
            others[path] = f"{path}: passed over: time_format = '{text}' does not fit ({error})"
    found.sort()
    for (before, first), (after, second) in pairwise(found):
        if before == after:
            others[second] = f"{second}: passed over: the same time as {first.name}"
    kept = [(time, path) for time, path in found if path not in others]
    moments, frames = zip(*kept, strict=True) if kept else ((), ())
    return Look(states, frames, moments, others)


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
