"""The making of shards of frames from their sources, each by a task of its own."""

from collections.abc import Callable, Iterable
from contextlib import suppress

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


def make(job: Job, /, *, threads: int, tick: Callable[[int], object]) -> Made:
    """Make the shard of a job in its cache, if it is not there; there is none if there are faults.

    Args:
        job: what goes into it.
        threads: that decode.
        tick: called with 1 after each frame.
    """
    cache, faults = Cache(job.cache), Faults()
    content, steps = None, 0
    with suppress(OSError):  # what cannot be read is named below
        content = job.content()
    if content is not None and (known := cache.find(content)) is not None:
        cache.note(job.source, known)
        return Made(known, faults, 0)
    with cache.new() as path:
        with hdf5.create(path) as file:
            for source, frames in decoding.read(job.sources, job.reading, faults, threads):
                steps += _append(file, source, frames, tick)
        if faults.count:
            return Made("", faults, steps)
        name = cache.keep(path)
    if content is not None and job.now() == job.source:  # no file has changed meanwhile
        for key in (content, job.source):
            cache.note(key, name)
    return Made(name, faults, steps)


def _append(
    file: hdf5.New, source: Source, frames: Iterable[Frame], tick: Callable[[int], object]
) -> int:
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
