"""The search for sequences under `raw`, in natural order of names or in the order of their times.

A folder of files with one frame each is a sequence; so is each file that holds several frames, and
each part along axis N of an array. Hidden files and files of other kinds are skipped. Symbolic
links are followed; loops are not.
"""

import re
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from convlstm.ingest import readers, times
from convlstm.ingest.params import Reading
from convlstm.runtime.errors import BadInput, Faults


@dataclass(frozen=True)
class Source:
    """One sequence: a frame in each of its files, or part number `part` of its only file.

    `times` are microseconds since 1970, UTC, if the names carry them.
    """

    name: str
    files: tuple[Path, ...]
    part: int | None = None
    times: tuple[int, ...] | None = None

    def last(self, count: int) -> "Source":
        """Return the sequence of the last `count` files, or all of a file that holds a sequence.

        Raises:
            BadInput: there is a gap between these files.
        """
        if self.part is not None:
            return self
        kept = self.times and self.times[-count:]
        if kept is not None and len(times.runs(np.array(kept, np.int64), len(kept))) > 1:
            raise BadInput(f"{self.name}: a frame is missing among the last {count}")
        return replace(self, files=self.files[-count:], times=kept)


def find(raw: Path, reading: Reading, faults: Faults) -> list[Source]:
    """Return the sequences under `raw`, in natural order of their names.

    Args:
        raw: a folder of sequences, a folder of frames, or a file that holds several frames.
        reading: how names and numbers are read.
        faults: collects the faults of single files.

    Raises:
        BadInput: `raw` does not exist, or holds no frame, or frames beside folders of frames.
    """
    if raw.exists() and readers.is_read(raw):
        return _from_file(raw, readers.stem(raw), reading)
    if not raw.is_dir():
        raise BadInput(
            f"raw = '{raw}': no such folder; give a folder of frames, or of folders of frames"
        )
    own = _files(raw)
    inner = {folder.name: _files(folder) for folder in _folders(raw)}
    inner = {name: files for name, files in inner.items() if files}
    if own and inner:
        raise BadInput(
            f"raw = '{raw}': holds frames ({own[0].name}) beside folders of frames "
            f"({next(iter(inner))}); put each sequence into a folder of its own"
        )
    if not own and not inner:
        raise BadInput(
            f"raw = '{raw}': no frame in it or in its folders; "
            f"files are read if they end in {', '.join(readers.KINDS)}"
        )
    if own:
        return _from_files(own, raw.name, "", reading, faults)
    return [
        source
        for name, files in inner.items()
        for source in _from_files(files, name, f"{name}/", reading, faults)
    ]


def skipped_files(raw: Path) -> list[Path]:
    """Return the visible files under `raw` that are of no kind that is read."""
    folders = [raw, *_folders(raw)] if raw.is_dir() else []
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
    return [path for path in files if not readers.is_read(path) and not path.name.startswith(".")]


def natural(path: Path) -> tuple[list[str | int], str]:
    """Return a sort key in which numbers count as numbers: frame2 comes before frame10."""
    parts = re.split(r"(\d+)", readers.stem(path).casefold())
    return [int(part) if part.isdecimal() else part for part in parts], path.name


def _from_files(
    files: list[Path], name: str, prefix: str, reading: Reading, faults: Faults
) -> list[Source]:
    """Return the sequences of one folder: one of all files, or of each file with several frames."""
    for path in files:
        if not f"{name}{path.name}".isprintable():  # neither HDF5 nor a terminal can hold it
            faults.add(f"{str(path)!a}: its name holds characters that are not text; rename it")
    keys = [natural(path)[0] for path in files]
    for number in range(1, len(files)):
        if keys[number] == keys[number - 1]:
            faults.add(
                f"{files[number]}: its name sorts equal to {files[number - 1].name}; "
                f"remove one of them"
            )
    if not _hold_several(files, reading):
        return [_in_time(Source(name, tuple(files)), reading, faults)]
    sources: list[Source] = []
    for path in files:
        with faults.collected():
            sources += _from_file(path, prefix + readers.stem(path), reading)
    known: set[str] = set()
    for source in sources:  # x.npy with two sequences has an x[0], and so has a file x[0].npy
        if source.name in known:
            faults.add(f"{source.files[0]}: a second sequence of the name {source.name}; rename it")
        known.add(source.name)
    return sources


def _from_file(path: Path, name: str, reading: Reading) -> list[Source]:
    if reading.time_format is not None:
        raise BadInput(f"{path}: holds several frames, but time_format needs a file for each frame")
    count, _ = readers.extent(path, reading)
    names = [name] if count == 1 else [f"{name}[{part}]" for part in range(count)]
    return [Source(name, (path,), part) for part, name in enumerate(names)]


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
    if reading.time_format is None:
        return source
    found: list[tuple[int, Path]] = []
    for path in source.files:
        try:
            found.append((times.parse(path.name, reading.time_format), path))
        except ValueError as error:
            faults.add(f"{path}: time_format = '{reading.time_format}' does not fit ({error})")
    found.sort()
    for (before, first), (after, second) in pairwise(found):
        if before == after:
            faults.add(f"{second}: the same time as {first.name}; remove one of them")
    moments, files = zip(*found, strict=True) if found else ((), ())
    return replace(source, files=files, times=moments)


def _files(folder: Path) -> list[Path]:
    """Return the visible files of a kind that is read, in natural order; also broken links."""
    visible = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted((path for path in visible if readers.is_read(path)), key=natural)


def _folders(raw: Path) -> list[Path]:
    """Return the visible folders in `raw`, without links to itself or to a folder above it."""
    here = raw.resolve()
    folders = (path for path in raw.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(
        (
            path
            for path in folders
            if not here.is_relative_to(path.resolve()) and not readers.is_read(path)
        ),
        key=natural,
    )
