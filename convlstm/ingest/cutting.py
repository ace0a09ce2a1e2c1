"""The cut of sequences into shards, so that what is added changes few of them.

A long sequence is cut into pieces from its first file on, so that later files change its last piece
only. Short sequences share a shard. Where a shard ends is drawn from the name of the sequence that
comes next, once the shard is half full: a new sequence changes the shard that takes it, and the
next ones begin where they did before. A file of several frames is cut likewise, if its reader need
not begin with the first of them. A film is read from its beginning by one task, which makes several
shards of it if it is long; so is what is zipped.

A shard is found again by its sources: by the state of their files (path, size, times, inode), which
is at hand at once, or by their content, if they were copied or touched.
"""

import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from hashlib import blake2b, sha256
from pathlib import Path

from convlstm.ingest.params import Reading
from convlstm.ingest.sources import Source
from convlstm.runtime import system
from convlstm.runtime.files import to_text
from convlstm.storage.hdf5 import FRAMES_PER_CHUNK

LEAST_BYTES = 2**26
"""Of the raw files of a shard, unless there are no more."""
MOST_SHARDS = 400
"""Of `LEAST_BYTES`; an archive that needs more has shards of two, four, ... times as many bytes.

DVC hashes each file of a folder; there are never more than twice as many."""

TIMES_UNPACKED = 8
"""More bytes than its files a shard of films may hold before they are compressed, as radar has."""

State = tuple[str, int, int, int, int]
"""The path of a file, its size, the times of its last changes, and its inode."""


@dataclass(frozen=True)
class Job:
    """The sources of one shard, and how they are read.

    `code` tells apart versions of the code that reads, and `cache` is the folder of the shards. If
    its frames have more than `most` bytes before they are compressed, they go into several shards.
    """

    sources: tuple[Source, ...]
    reading: Reading
    code: str
    cache: Path
    most: int | None = None

    @cached_property
    def source(self) -> str:
        """A key of the state of the files."""
        return self.now()

    def now(self) -> str:
        """Return what `source` is now; it is another one if a file has changed meanwhile."""
        return self._key([state for path in self._files for state in _states(path)])

    def content(self) -> str:
        """Return a key of the content of the files, which are read for it."""
        states = [_states(path) for path in self._files]
        return self._key([_content(state) for own in states for state in own])

    @property
    def frames(self) -> int | None:
        """The number of frames, if it is known before they are read."""
        counts = [_count(source) for source in self.sources]
        return None if None in counts else sum(filter(None, counts))

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        every = (path for own in self.sources for path in (*own.before, *own.files))
        return tuple(dict.fromkeys(every))

    def _key(self, files: list[State] | list[str]) -> str:
        facts = {
            "code": self.code,
            "most": self.most,
            "reading": self.reading.model_dump(include=set(Reading.model_fields)),
            "sources": [
                (
                    own.name,
                    own.part,
                    own.span and [own.span.start, own.span.stop],
                    len(own.before),
                    [path.name for path in own.files],
                )
                for own in self.sources
            ],
            "files": files,
        }
        return sha256(to_text(facts).encode()).hexdigest()[:32]


def jobs(sources: Sequence[Source], reading: Reading, code: str, cache: Path) -> list[Job]:
    """Return the shards to be made of sequences, in their order."""
    parts = Counter(source.files[0] for source in sources if source.part is not None)
    sizes = {path: _size(path) for source in sources for path in source.files}
    sizes |= {path: sizes[path] // count for path, count in parts.items()}
    most = LEAST_BYTES
    while most * MOST_SHARDS < sum(sizes[path] for own in sources for path in own.files):
        most *= 2
    pieces = [piece for source in sources for piece in _pieces(source, sizes, most)]
    return [Job(own, reading, code, cache, _unpacked(own, most)) for own in _grouped(pieces, most)]


def _unpacked(sources: tuple[Source, ...], most: int) -> int | None:
    """Return how many bytes of frames a shard may hold, where the bytes of files do not tell."""
    is_film = any(source.part is not None and source.span is None for source in sources)
    return TIMES_UNPACKED * most if is_film else None


def _count(source: Source) -> int | None:
    if source.span is not None:
        return len(source.span)
    return len(source.files) if source.part is None else None


def _pieces(source: Source, sizes: dict[Path, int], most: int) -> Iterator[tuple[Source, int]]:
    """Yield a sequence in pieces of at least `most` bytes each, but for the last one."""
    if source.span:
        yield from _spans(source, source.span, sizes[source.files[0]], most)
        return
    start = held = 0
    for stop, path in enumerate(source.files, start=1):
        held += sizes[path]
        whole = held >= most and (stop - start) % FRAMES_PER_CHUNK == 0
        if stop == len(source.files) or whole:
            yield _piece(source, start, stop), held
            start, held = stop, 0


def _spans(source: Source, whole: range, size: int, most: int) -> Iterator[tuple[Source, int]]:
    """Yield the pieces of a file of `size` bytes, whose frames are taken to have as many each."""
    step = FRAMES_PER_CHUNK * -(-len(whole) * most // (max(1, size) * FRAMES_PER_CHUNK))
    for start in range(0, len(whole), step):
        span = whole[start : start + step]
        yield replace(source, span=span), size * len(span) // len(whole)


def _piece(source: Source, start: int, stop: int) -> Source:
    """Return some files of a sequence, with the first one and the last one before them."""
    files = source.files
    before = tuple(dict.fromkeys((files[0], files[start - 1]))) if start else ()
    times = source.times and source.times[start:stop]
    return replace(source, files=files[start:stop], times=times, before=before)


def _grouped(pieces: list[tuple[Source, int]], most: int) -> Iterator[tuple[Source, ...]]:
    """Yield pieces that go into one shard, of together `most` bytes or a single one."""
    held: list[Source] = []
    held_bytes = 0
    for piece, size in pieces:
        begins = held_bytes >= most / 2 and _drawn(piece) < 2 * size / most
        if held and (begins or held_bytes + size > most):
            yield tuple(held)
            held, held_bytes = [], 0
        held.append(piece)
        held_bytes += size
    if held:
        yield tuple(held)


def _drawn(piece: Source) -> float:
    """Return a number between 0 and 1 that follows from the names of a piece."""
    name = f"{piece.name}/{piece.files[0].name}".encode(errors="surrogateescape")
    return int.from_bytes(blake2b(name, digest_size=8).digest()) / 2**64


def _size(path: Path) -> int:
    return sum(size for _, size, *_ in _states(path))


def _states(path: Path) -> list[State]:
    """Return the state of a file, or of all files of a zarr store; nothing of what is not there."""
    found = []
    for file in sorted(path.rglob("*")) if system.is_folder(path) else [path]:
        with suppress(OSError, ValueError):  # a name may be too long, or no name at all
            state = file.stat()
            if stat.S_ISREG(state.st_mode):
                times = state.st_mtime_ns, state.st_ctime_ns
                found.append((str(file.absolute()), state.st_size, *times, state.st_ino))
    return found


@lru_cache(maxsize=2**16)
def _content(state: State) -> str:
    """Return the hash of a file; several shards may come from one."""
    found = blake2b(digest_size=16)
    with Path(state[0]).open("rb") as file:
        while block := file.read(2**20):
            found.update(block)
    return found.hexdigest()
