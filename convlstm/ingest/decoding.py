"""Decoding of sequences on threads: frames in order, each checked against the first one."""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path

from convlstm.ingest import readers
from convlstm.ingest.params import Reading
from convlstm.ingest.sources import Source
from convlstm.runtime.errors import BadInput, Faults
from convlstm.storage.frames import RawFrame
from convlstm.storage.prefetch import prefetch

FILES_PER_TASK = 4  # handing over a small image takes a tenth of the time of decoding it
BYTES_PER_TASK = 2**22  # of a file of several frames; its other frames are decoded when needed
TASKS_AHEAD = 2  # per core: enough to keep it busy, and few enough to keep memory small

Decoded = tuple[Path, RawFrame | BadInput]


def read(
    sources: Iterable[Source], reading: Reading, faults: Faults
) -> Iterator[tuple[Source, Iterator[RawFrame]]]:
    """Yield each sequence with its frames in order, all of one shape and type.

    Consume the frames of one sequence before the next. A frame that cannot be read is left out and
    noted in `faults`; check them at the end.
    """
    sources = list(sources)
    tasks = (task for source in sources for task in _tasks(source, reading))
    cores = os.cpu_count() or 1
    done = prefetch(tasks, threads=cores, depth=TASKS_AHEAD * cores)
    for source in sources:
        own = islice(done, sum(1 for _ in _tasks(source, reading)))
        yield source, _alike(source, chain.from_iterable(own), faults)


def _tasks(source: Source, reading: Reading) -> Iterator[Callable[[], Iterable[Decoded]]]:
    """Yield the calls that decode one sequence, in order."""
    if source.part is not None:
        yield partial(_begin, source.files[0], source.part, reading)
    else:
        for start in range(0, len(source.files), FILES_PER_TASK):
            some = source.files[start : start + FILES_PER_TASK]
            yield partial(_decode_some, some, reading)


def _decode_some(files: Iterable[Path], reading: Reading) -> list[Decoded]:
    return [(path, _decode(path, reading)) for path in files]


def _decode(path: Path, reading: Reading) -> RawFrame | BadInput:
    try:
        found = list(islice(readers.frames(path, reading), 2))
    except BadInput as error:
        return error
    if len(found) != 1:
        count = "several frames" if found else "no frame"
        return BadInput(f"{path}: holds {count}, but other files of its folder one; move it")
    return found[0]


def _begin(path: Path, part: int, reading: Reading) -> Iterator[Decoded]:
    """Return the frames of one part of a file; the call decodes the first `BYTES_PER_TASK`."""
    stream = _streamed(path, part, reading)
    first: list[Decoded] = []
    size = 0
    while size < BYTES_PER_TASK and (decoded := next(stream, None)) is not None:
        first.append(decoded)
        size += getattr(decoded[1], "nbytes", 0)
    return chain(first, stream)


def _streamed(path: Path, part: int, reading: Reading) -> Iterator[Decoded]:
    frame: RawFrame | None = None
    try:
        for frame in readers.frames(path, reading, part):
            yield path, frame
    except BadInput as error:
        yield path, error
    else:
        if frame is None:
            yield path, BadInput(f"{path}: holds no frame; remove it")


def _alike(source: Source, decoded: Iterator[Decoded], faults: Faults) -> Iterator[RawFrame]:
    """Yield the frames with the shape and type of the first one; the others are faults."""
    first: RawFrame | None = None
    for path, frame in decoded:
        if isinstance(frame, BadInput):
            faults.add(str(frame))
            continue
        first = frame if first is None else first
        if (frame.shape, frame.dtype) == (first.shape, first.dtype):
            yield frame
        else:
            faults.add(
                f"{path}: {_shown(frame)}, but {source.name} begins with {_shown(first)}; "
                f"all frames of a sequence need the same size and type"
            )


def _shown(frame: RawFrame) -> str:
    channels, rows, cols = frame.shape
    return f"{rows} x {cols} pixels of {channels} {frame.dtype}"
