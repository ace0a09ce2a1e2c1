"""The making of shards of frames from their sources, each by a task of its own."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain

from convlstm.ingest import decoding
from convlstm.ingest.cutting import Job
from convlstm.ingest.sources import Source
from convlstm.ingest.summary import Tallied
from convlstm.runtime.errors import Faults
from convlstm.storage import frames as frames_h5
from convlstm.storage import hdf5
from convlstm.storage.frames import Frame
from convlstm.storage.shards import Cache
from convlstm.storage.tasks import Made

Tick = Callable[[int], object]


def make(job: Job, /, *, threads: int, tick: Tick) -> Made:
    """Make the shards of a job in its cache, if they are not there; there is none if faults are.

    Args:
        job: what goes into them.
        threads: that decode.
        tick: called with 1 after each frame.
    """
    cache, faults = Cache(job.cache), Faults()
    content = None
    with suppress(OSError):  # what cannot be read is named below
        content = job.content()
    if content is not None and (known := cache.find(content)):
        cache.note(job.source, *known)
        return Made(known[0], faults, 0, known[1:])
    filling = Filling(job, faults, threads, tick)
    names: list[str] = []
    while not filling.is_done:
        with cache.new() as path:
            with hdf5.create(path) as file:
                filling.fill(file)
            if not faults.count:
                names.append(cache.keep(path))
    if faults.count:
        return Made("", faults, filling.steps)
    if content is not None and job.now() == job.source:  # no file has changed meanwhile
        for key in (content, job.source):
            cache.note(key, *names)
    return Made(names[0], faults, filling.steps, tuple(names[1:]))


class Filling:
    """The frames of a job on their way into shards, one after the other.

    `steps` is the number of frames that have passed.
    """

    def __init__(self, job: Job, faults: Faults, threads: int, tick: Tick) -> None:
        self._sequences = decoding.read(job.sources, job.reading, faults, threads)
        self._most, self._tick = job.most, tick
        self._held = self.steps = 0
        self._left: tuple[Source, Iterator[Frame]] | None = next(self._sequences, None)

    @property
    def is_done(self) -> bool:
        """Whether there are no more frames."""
        return self._left is None

    def fill(self, file: hdf5.New) -> None:
        """Append sequences to a shard until it is full, or there are no more."""
        self._held = 0
        while self._left is not None and not self._is_full():
            source, frames = self._left
            self.steps += _append(file, source, self._until_full(frames), self._tick)
            following = next(frames, None) if self._is_full() else None
            rest = None if following is None else (source, chain([following], frames))
            self._left = rest or next(self._sequences, None)

    def _is_full(self) -> bool:
        return self._most is not None and self._held >= self._most

    def _until_full(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Yield frames that fill whole chunks, until the shard is full."""
        for number, frame in enumerate(frames, start=1):
            self._held += frame.values.nbytes
            yield frame
            if self._is_full() and number % hdf5.FRAMES_PER_CHUNK == 0:
                return


def _append(file: hdf5.New, source: Source, frames: Iterable[Frame], tick: Tick) -> int:
    """Append a piece of a sequence, with a tally of its values, and return how many frames."""
    if source.faulty:  # its names may be no text, but its files are looked at, too
        return sum(1 for _ in frames)
    tallied = Tallied(frames, tick)
    labels = tuple(path.name for path in source.files) if source.part is None else ()
    return frames_h5.append_sequence(
        file,
        source.name,
        tallied,
        labels=labels,
        times=source.times,
        tally=lambda: tallied.tally.text,
    )
