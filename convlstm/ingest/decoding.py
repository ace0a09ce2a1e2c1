"""Sequences to frames: decoded on all cores, in order, each checked against its first."""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np
from jaxtyping import Num

from convlstm.ingest import readers
from convlstm.ingest.sources import Source
from convlstm.params.groups import Reading
from convlstm.runtime.errors import BadInput, Faults
from convlstm.storage.prefetch import ahead

FILES_A_TASK = 4  # handing over a small image takes as long as a tenth of decoding it
BYTES_A_TASK = 2**22  # of a file of several frames; those after them are decoded when asked for
TASKS_AHEAD = 2  # for each core: enough to keep it busy, and memory small

Frame = Num[np.ndarray, "channel row col"]
Decoded = tuple[Path, Frame | BadInput]


def read(
    sources: Iterable[Source], reading: Reading, faults: Faults
) -> Iterator[tuple[Source, Iterator[Frame]]]:
    """Each sequence with its frames, in order, each frame of the same shape and type.

    Use up the frames of one sequence before the next. A frame at fault is left out and noted in
    `faults`; check them at the end.
    """
    sources = list(sources)
    tasks = (task for source in sources for task in _tasks(source, reading))
    cores = os.cpu_count() or 1
    done = ahead(tasks, threads=cores, most=TASKS_AHEAD * cores)
    for source in sources:
        own = islice(done, sum(1 for _ in _tasks(source, reading)))
        yield source, _alike(source, chain.from_iterable(own), faults)


def _tasks(source: Source, reading: Reading) -> Iterator[Callable[[], Iterable[Decoded]]]:
    """What gives the frames of one sequence."""
    if source.part is not None:
        yield partial(_begin, source.files[0], source.part, reading)
    else:
        for start in range(0, len(source.files), FILES_A_TASK):
            some = source.files[start : start + FILES_A_TASK]
            yield partial(_decode_some, some, reading)


def _decode_some(files: Iterable[Path], reading: Reading) -> list[Decoded]:
    return [(path, _decode(path, reading)) for path in files]


def _decode(path: Path, reading: Reading) -> Frame | BadInput:
    try:
        found = list(islice(readers.frames(path, reading), 2))
    except BadInput as error:
        return error
    if len(found) != 1:
        count = "several frames" if found else "no frame"
        return BadInput(f"{path}: holds {count}, but other files of its folder one; move it")
    return found[0]


def _begin(path: Path, part: int, reading: Reading) -> Iterator[Decoded]:
    """The frames of one part of a file, the first of them decoded in the call."""
    stream = _streamed(path, part, reading)
    first: list[Decoded] = []
    size = 0
    while size < BYTES_A_TASK and (decoded := next(stream, None)) is not None:
        first.append(decoded)
        size += getattr(decoded[1], "nbytes", 0)
    return chain(first, stream)


def _streamed(path: Path, part: int, reading: Reading) -> Iterator[Decoded]:
    frame: Frame | None = None
    try:
        for frame in readers.frames(path, reading, part):
            yield path, frame
    except BadInput as error:
        yield path, error
    else:
        if frame is None:
            yield path, BadInput(f"{path}: holds no frame; remove it")


def _alike(source: Source, decoded: Iterator[Decoded], faults: Faults) -> Iterator[Frame]:
    """The frames that are like the first one; the others are faults."""
    first: Frame | None = None
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


def _shown(frame: Frame) -> str:
    channels, rows, cols = frame.shape
    return f"{rows} x {cols} pixels of {channels} {frame.dtype}"
