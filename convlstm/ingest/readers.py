"""The choice of the reader for one raw file, by its suffix."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from convlstm.ingest import arrays, gifs, images, tiffs, video
from convlstm.ingest.params import Reading
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame

KINDS: dict[str, ModuleType] = {
    suffix: kind for kind in (images, gifs, tiffs, arrays, video) for suffix in kind.SUFFIXES
}
"""The reader of each suffix. A new kind of file is a module with `SUFFIXES`, `extent`, `frames`."""


def suffix(path: Path) -> str:
    """Return the suffix by which a file is read; empty if it is of no kind that is read."""
    suffixes = path.name.lower().split(".")[1:]
    last = [".".join(["", *suffixes[-count:]]) for count in (2, 1)]  # .pgm.gz before .gz
    return next((suffix for suffix in last if suffix in KINDS), "")


def stem(path: Path) -> str:
    """Return the name without that suffix."""
    return path.name[: len(path.name) - len(suffix(path))]


def is_array(path: Path) -> bool:
    """Return whether the file holds arrays, not pictures."""
    return suffix(path) in arrays.SUFFIXES


def extent(path: Path, reading: Reading) -> tuple[int, int]:
    """Return how many sequences a file holds, and how many frames each has.

    Raises:
        BadInput: it cannot be read with these params.
    """
    sequences, frames = _kind(path).extent(path, reading)
    return sequences, frames


def frames(path: Path, reading: Reading, part: int = 0) -> Iterator[Frame]:
    """Yield the frames of one of a file's sequences as they are stored: no scaling, no cast.

    A reader of files that say when their frames were taken yields them in the order of time.

    Raises:
        BadInput: it cannot be read with these params.
    """
    yield from _kind(path).frames(path, reading, part)


def _kind(path: Path) -> ModuleType:
    if not path.is_file() and path.exists():  # reading a pipe would wait forever
        raise BadInput(f"{path}: not a regular file; remove it")
    return KINDS[suffix(path)]
