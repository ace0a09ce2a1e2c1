"""Sequences to frames: decoded on all cores, in order, each checked against its first."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Num

from convlstm import readers
from convlstm.errors import BadInput, Faults
from convlstm.params import Reading
from convlstm.sources import Source

FILES_A_TASK = 4  # handing over a small image takes as long as a tenth of decoding it
TASKS_AHEAD = 2  # for each core: enough to keep it busy, and memory small

Frame = Num[np.ndarray, "channel row col"]


def read(
    sources: Iterable[Source], reading: Reading, faults: Faults
) -> Iterator[tuple[Source, Iterator[Frame]]]:
    """Each sequence with its frames, in order, each frame of the same shape and type.

    Use up the frames of one sequence before the next. A frame at fault is left out and noted in
    `faults`; check them at the end.
    """
    sources = list(sources)
    single = (path for source in sources if source.part is None for path in source.files)
    decoded = _decoded_ahead(single, reading)
    for source in sources:
        frames = (
            islice(decoded, len(source.files))
            if source.part is None
            else _streamed(source.files[0], source.part, reading)
        )
        yield source, _alike(source, frames, faults)


def _decoded_ahead(
    files: Iterable[Path], reading: Reading
) -> Iterator[tuple[Path, Frame | BadInput]]:
    """Files of one frame each, decoded on all cores, in order."""
    cores = os.cpu_count() or 1
    waiting: deque[Future[list[tuple[Path, Frame | BadInput]]]] = deque()
    files = iter(files)
    with ThreadPoolExecutor(cores) as pool:
        while some := list(islice(files, FILES_A_TASK)):
            waiting.append(pool.submit(_decode_some, some, reading))
            if len(waiting) > TASKS_AHEAD * cores:
                yield from waiting.popleft().result()
        for task in waiting:
            yield from task.result()


def _decode_some(files: Iterable[Path], reading: Reading) -> list[tuple[Path, Frame | BadInput]]:
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


def _streamed(path: Path, part: int, reading: Reading) -> Iterator[tuple[Path, Frame | BadInput]]:
    frame: Frame | None = None
    try:
        for frame in readers.frames(path, reading, part):
            yield path, frame
    except BadInput as error:
        yield path, error
    else:
        if frame is None:
            yield path, BadInput(f"{path}: holds no frame; remove it")


def _alike(
    source: Source, decoded: Iterator[tuple[Path, Frame | BadInput]], faults: Faults
) -> Iterator[Frame]:
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
