"""Decoding of sequences: frames in order, each checked against the first one.

One thread decodes each frame when it is asked for; several decode ahead. A process that makes one
of many shards has one: to hand frames over costs a tenth of the time, and other processes use the
other cores. Its files were read before, for a hash of their content, so no disk is waited for.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice, repeat, takewhile
from pathlib import Path

from convlstm.ingest import readers, times
from convlstm.ingest.blocks import MOST_PIXEL_BYTES
from convlstm.ingest.params import Reading, TooLarge
from convlstm.ingest.sources import Source
from convlstm.runtime import system
from convlstm.runtime.errors import BadInput, Faults
from convlstm.storage.frames import Frame, RawFrame
from convlstm.storage.prefetch import prefetch

FILES_PER_TASK = 4  # handing over a small image takes a tenth of the time of decoding it
BYTES_PER_TASK = 2.0**22  # of a file of several frames, at a time
TASKS_AHEAD = 2  # per core: enough to keep it busy, and few enough to keep memory small
MEMORY_PART = 0.5  # of the machine's, which frames that are decoded ahead take at most

Decoded = tuple[Path, Frame | BadInput]
Decoding = Callable[[Reading], Iterator[Decoded]]


def read(
    sources: Iterable[Source], reading: Reading, faults: Faults, threads: int | None = None
) -> Iterator[tuple[Source, Iterator[Frame]]]:
    """Yield each sequence with its frames in order, all of one shape, type and meaning.

    Consume the frames of one sequence before the next. A frame that cannot be read is left out and
    noted in `faults`; check them at the end.

    Args:
        sources: sequences, or pieces of them.
        reading: how their files are read.
        faults: collects what cannot be read.
        threads: that decode; one for each core, if it is None.
    """
    sources = list(sources)
    threads = threads or system.cores()
    tasks = (task for source in sources for task in _tasks(source))
    done: Iterator[Iterable[Decoded]]
    if threads == 1:
        done = (decode(reading) for decode, _ in tasks)
    else:
        ahead = reading.limited(_pixels_ahead(TASKS_AHEAD * threads + 1))
        calls = (partial(_begin, decode, reading, ahead, size) for decode, size in tasks)
        done = prefetch(calls, threads=threads, depth=TASKS_AHEAD * threads)
    for source in sources:
        own = islice(done, sum(1 for _ in _tasks(source)))
        decoded: Iterator[Decoded] = chain.from_iterable(own)
        if not reading.apply_scale:
            decoded = map(_as_stored, decoded)
        yield source, _alike(source, decoded, faults)


def _pixels_ahead(tasks: int) -> int:
    """Return the pixels of the largest frame that so many tasks may hold each in their files."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(MEMORY_PART * memory / (tasks * FILES_PER_TASK * MOST_PIXEL_BYTES))


def _tasks(source: Source) -> Iterator[tuple[Decoding, float]]:
    """Yield the calls that decode one sequence, in order, and how many bytes of it ahead."""
    if source.part is not None:
        yield partial(_streamed, source), BYTES_PER_TASK
    else:
        files = (*source.before, *source.files)
        for start in range(0, len(files), FILES_PER_TASK):
            yield partial(_decode_some, files[start : start + FILES_PER_TASK]), math.inf


def _begin(decode: Decoding, reading: Reading, ahead: Reading, size: float) -> Iterator[Decoded]:
    """Return decoded frames; the call decodes the first ones, of together `size` bytes.

    The next ones are decoded on a thread of their own while these are written, which takes as long.
    What is too large to be decoded `ahead` waits, with all that follows, until it is needed: then
    there is one of it at a time, whatever the number of cores.
    """
    stream = decode(ahead)
    first = _some(stream, size)
    rest = () if math.isinf(size) else _read_ahead(stream, size)
    return _resumed(chain(first, rest), partial(decode, reading))


def _some(stream: Iterator[Decoded], size: float) -> list[Decoded]:
    """Return the next frames, of together `size` bytes, or up to one that is too large."""
    found: list[Decoded] = []
    while size > 0 and (decoded := next(stream, None)) is not None:
        found.append(decoded)
        size -= decoded[1].values.nbytes if isinstance(decoded[1], Frame) else 0
        if isinstance(decoded[1], TooLarge):
            break
    return found


def _read_ahead(stream: Iterator[Decoded], size: float) -> Iterator[Decoded]:
    """Yield the frames of a stream, of which the next `size` bytes are decoded meanwhile."""
    blocks = prefetch(repeat(partial(_some, stream, size)), threads=1, depth=1)
    yield from chain.from_iterable(takewhile(bool, blocks))


def _resumed(
    stream: Iterator[Decoded], again: Callable[[], Iterator[Decoded]]
) -> Iterator[Decoded]:
    """Yield what was decoded ahead, then from the first frame that was too large on all of it."""
    for number, decoded in enumerate(stream):
        if isinstance(decoded[1], TooLarge):
            yield from islice(again(), number, None)
            return
        yield decoded


def _decode_some(files: Sequence[Path], reading: Reading) -> Iterator[Decoded]:
    return ((path, _decode(path, reading)) for path in files)


def _decode(path: Path, reading: Reading) -> Frame | BadInput:
    try:
        found = list(islice(readers.frames(path, reading), 2))
    except BadInput as error:
        return error
    if len(found) != 1:
        count = "several frames" if found else "no frame"
        return BadInput(f"{path}: holds {count}, but other files of its folder one; move it")
    return found[0]


def _streamed(source: Source, reading: Reading) -> Iterator[Decoded]:
    """Yield the frames of a file of several, or of a piece of it behind two that are compared."""
    span = source.span
    if span and span.start:
        for number in (0, span.start - 1):
            yield from _some_of(source, range(number, number + 1), reading)
    yield from _some_of(source, span, reading)


def _some_of(source: Source, span: range | None, reading: Reading) -> Iterator[Decoded]:
    """Yield the frames of a file in a span, or all of them; one fault, if there is any."""
    (path,), part = source.files, source.part or 0
    first, count = (span.start, len(span)) if span else (0, None)
    frame: Frame | None = None
    try:
        for frame in islice(readers.frames(path, reading, part, first), count):
            yield path, frame
    except BadInput as error:
        yield path, error
    else:
        if frame is None:
            yield path, BadInput(f"{path}: holds no frame; remove it")


def _as_stored(decoded: Decoded) -> Decoded:
    """Forget what a file says of its numbers, but for those that mark what was not measured."""
    path, frame = decoded
    if isinstance(frame, BadInput):
        return decoded
    return path, frame._replace(meaning=frame.meaning.as_stored)


def _alike(source: Source, decoded: Iterator[Decoded], faults: Faults) -> Iterator[Frame]:
    """Yield the frames that are like the first one and later than the last; others are faults.

    Those before a piece are neither: they belong to other pieces.
    """
    first: tuple[Path, Frame] | None = None
    last: tuple[Path, int] | None = None
    for number, (path, frame) in enumerate(decoded):
        own = number >= source.compared
        if isinstance(frame, BadInput):
            if own:
                faults.add(str(frame))
            continue
        first = (path, frame) if first is None else first
        if not own:
            last = last if frame.time is None else (path, frame.time)
            continue
        with faults.collected():
            _check_alike(source, path, frame, first)
            if frame.time is not None:
                _check_later(path, frame.time, last)
                last = path, frame.time
            yield frame


def _check_alike(source: Source, path: Path, frame: Frame, first: tuple[Path, Frame]) -> None:
    """Check a frame against the first one of its sequence.

    Raises:
        BadInput: it has another size or type, or its file says otherwise what its numbers mean.
    """
    (values, meaning, _), (first_path, (first_values, first_meaning, _)) = frame, first
    if (values.shape, values.dtype) != (first_values.shape, first_values.dtype):
        raise BadInput(
            f"{path}: {_shown(values)}, but {source.name} begins with {_shown(first_values)}; "
            f"all frames of a sequence need the same size and type"
        )
    different = meaning.differences(first_meaning)
    if different:
        raise BadInput(
            f"{path}: another {', '.join(different)} than {first_path}; all frames of a sequence "
            f"need the same; put them into folders of their own"
        )


def _check_later(path: Path, time: int, last: tuple[Path, int] | None) -> None:
    """Check that the time inside a file comes after that of the frame before.

    Raises:
        BadInput: it does not.
    """
    if last is None or time > last[1]:
        return
    raise BadInput(
        f"{path}: the time inside it, {times.shown(time)}, does not come after that of {last[0]}, "
        f"{times.shown(last[1])}; remove one of them, or name the files in their order"
    )


def _shown(values: RawFrame) -> str:
    channels, rows, cols = values.shape
    return f"{rows} x {cols} pixels of {channels} {values.dtype}"
