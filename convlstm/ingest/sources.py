"""The search for sequences under `raw`, in natural order of names or in the order of their times.

A folder of files with one frame each, at any depth, is a sequence; so is each file that holds
several frames, and each part along axis N of an array. A sequence is named by its path. Hidden
files are passed over, and what else is not read can be named. Symbolic links are followed; loops
are not.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from convlstm.ingest import folders, natural, readers, times
from convlstm.ingest.params import Reading
from convlstm.ingest.time_format import time_format
from convlstm.runtime.errors import BadInput, Faults


@dataclass(frozen=True)
class Source:
    """One sequence: a frame in each of its files, or part number `part` of its only file.

    `times` are microseconds since 1970, UTC, if the names carry them. It is `faulty` if something
    is wrong with the names of its files, so that it is not whole or not in order. Of a piece of a
    sequence, `before` are its first file and the last one before the piece, to be compared with.
    `span` are the numbers of the frames of its only file, if it can be read from any of them on.
    """

    name: str
    files: tuple[Path, ...]
    part: int | None = None
    times: tuple[int, ...] | None = None
    faulty: bool = False
    before: tuple[Path, ...] = ()
    span: range | None = None

    @property
    def compared(self) -> int:
        """The number of frames before a piece that it is compared with: the first and the last."""
        return 2 if self.span and self.span.start else len(self.before)

    def last(self, count: int) -> "Source":
        """Return the sequence of the last `count` files, or all of a file that holds a sequence.

        Raises:
            BadInput: these files are not evenly spaced in time.
        """
        if self.part is not None:
            return self
        kept = self.times and self.times[-count:]
        if kept is not None and len(times.runs(np.array(kept, np.int64), len(kept))) > 1:
            raise BadInput(
                f"{self.name}: a frame is missing, or the step changes, in the last {count}"
            )
        return replace(self, files=self.files[-count:], times=kept)


def find(raw: Path, reading: Reading, faults: Faults) -> list[Source]:
    """Return the sequences under `raw`, at any depth, in natural order of the parts of their names.

    Args:
        raw: a folder of sequences, a folder of frames, or a file that holds several frames.
        reading: how names and numbers are read.
        faults: collects the faults of single files; their sequences are faulty, or not returned.

    Raises:
        BadInput: `raw` does not exist, or holds no frame, or a folder holds files of one frame each
            beside folders of frames.
    """
    if raw.exists() and readers.is_read(raw):
        return _from_file(raw, readers.stem(raw), reading)
    if not raw.is_dir():
        raise BadInput(
            f"raw = '{raw}': no such folder; give a folder of frames, or of folders of frames"
        )
    tree = folders.walk(raw)
    if not tree.frames:
        raise BadInput(
            f"raw = '{raw}': no frame in it or in its folders; "
            f"files are read if they end in {', '.join(readers.KINDS)}"
        )
    found: list[Source] = []
    for folder, files in tree.frames.items():
        several = _hold_several(files, reading)
        if not several:
            _check_alone(raw, folder, tree)
        found += _from_files(raw, folder, files, several=several, reading=reading, faults=faults)
    known: set[str] = set()
    for number, source in enumerate(found):  # an x.npy of two has an x[0], and so has an x[0].npy
        if source.name in known:
            faults.add(f"{source.files[0]}: a second sequence of the name {source.name}; rename it")
            found[number] = replace(source, faulty=True)
        known.add(source.name)
    return found


def left_out(raw: Path) -> list[Path]:
    """Return what is visible under `raw` and not read, relative to `raw`.

    These are files of other kinds, folders that are empty or cannot be listed, and folders that a
    link shows a second time.
    """
    return [path.relative_to(raw) for path in folders.walk(raw).others] if raw.is_dir() else []


def _check_alone(raw: Path, folder: str, tree: folders.Tree) -> None:
    """Check that a folder of frames has no folders of frames below it, which may belong together.

    Raises:
        BadInput: it has.
    """
    begin = f"{folder}/" if folder else ""
    below = next((name for name in tree.frames if name != folder and name.startswith(begin)), None)
    if below is not None:
        shown = raw / folder if folder else f"raw = '{raw}'"
        raise BadInput(
            f"{shown}: holds frames ({tree.frames[folder][0].name}) beside folders of frames "
            f"({below.removeprefix(begin)}); put each sequence into a folder of its own"
        )


def _from_files(
    raw: Path, folder: str, files: list[Path], *, several: bool, reading: Reading, faults: Faults
) -> list[Source]:
    """Return the sequences of one folder: one of all files, or of each file with several frames."""
    name, before = folder or raw.name, faults.count
    for path in files:
        if not f"{name}{path.name}".isprintable():  # neither HDF5 nor a terminal can hold it
            faults.add(f"{str(path)!a}: its name holds characters that are not text; rename it")
    if not several:
        source = Source(name, tuple(files))
        if reading.time_format is not None:
            source = _in_time(source, reading, faults)
        else:
            _check_order(files, faults)
        return [replace(source, faulty=faults.count > before)]
    sources: list[Source] = []
    for path in files:
        with faults.collected():
            own = f"{folder}/{readers.stem(path)}" if folder else readers.stem(path)
            sources += _from_file(path, own, reading)
    return sources


def _check_order(files: list[Path], faults: Faults) -> None:
    """Check that the names of the frames of a sequence have one order."""
    order = natural.order([readers.stem(path) for path in files])
    for first, second in order.twins:
        faults.add(
            f"{files[second]}: its name sorts equal to {files[first].name}; remove one of them"
        )
    if order.doubt:
        faults.add(
            f"{files[0].parent}: {' and '.join(order.doubt)} {natural.TWO_WAYS}; set time_format, "
            f"or give all numbers as many digits"
        )


def _from_file(path: Path, name: str, reading: Reading) -> list[Source]:
    if reading.time_format is not None:
        raise BadInput(f"{path}: holds several frames, but time_format needs a file for each frame")
    count, frames = readers.extent(path, reading)
    names = [name] if count == 1 else [f"{name}[{part}]" for part in range(count)]
    span = range(frames) if readers.is_begun_anywhere(path) else None
    return [Source(name, (path,), part, span=span) for part, name in enumerate(names)]


def _hold_several(files: list[Path], reading: Reading) -> bool:
    """Return whether the first readable file holds several frames; others are named when read."""
    for path in files:
        try:
            sequences, frames = readers.extent(path, reading)
        except BadInput:
            continue
        return sequences * frames > 1
    return False


def _in_time(source: Source, reading: Reading, faults: Faults) -> Source:
    """Return the sequence in the order of the times in its names."""
    assert reading.time_format is not None
    form = time_format(reading.time_format)
    found: list[tuple[int, Path]] = []
    for path in source.files:
        try:
            found.append((form.parse(path.name), path))
        except ValueError as error:
            faults.add(f"{path}: time_format = '{reading.time_format}' does not fit ({error})")
    found.sort()
    for (before, first), (after, second) in pairwise(found):
        if before == after:
            faults.add(f"{second}: the same time as {first.name}; remove one of them")
    moments, files = zip(*found, strict=True) if found else ((), ())
    return replace(source, files=files, times=moments)
