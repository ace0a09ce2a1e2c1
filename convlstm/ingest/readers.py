"""One raw file of any kind: which module reads it, what it holds."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
from jaxtyping import Num

from convlstm.ingest import arrays, images, video
from convlstm.params.groups import Reading
from convlstm.runtime.errors import BadInput

KINDS: dict[str, ModuleType] = {
    suffix: kind for kind in (images, arrays, video) for suffix in kind.SUFFIXES
}
"""By suffix. A new kind of file is one more module with `SUFFIXES`, `extent` and `frames`."""

Frame = Num[np.ndarray, "channel row col"]


def suffix(path: Path) -> str:
    """The suffix by which a file is read; empty if it is not."""
    suffixes = path.name.lower().split(".")[1:]
    last = [".".join(["", *suffixes[-count:]]) for count in (2, 1)]  # .pgm.gz before .gz
    return next((suffix for suffix in last if suffix in KINDS), "")


def stem(path: Path) -> str:
    """The name without that suffix."""
    return path.name[: len(path.name) - len(suffix(path))]


def is_array(path: Path) -> bool:
    """Whether the file holds arrays, not pictures."""
    return suffix(path) in arrays.SUFFIXES


def extent(path: Path, reading: Reading) -> tuple[int, int]:
    """How many sequences a file holds, and how many frames each.

    Raises:
        BadInput: it cannot be read, or not by these params.
    """
    sequences, frames = _kind(path).extent(path, reading)
    return sequences, frames


def frames(path: Path, reading: Reading, part: int = 0) -> Iterator[Frame]:
    """The frames of one of a file's sequences, streamed as they are stored: no scaling, no cast.

    Raises:
        BadInput: it cannot be read, or not by these params.
    """
    yield from _kind(path).frames(path, reading, part)


def _kind(path: Path) -> ModuleType:
    if not path.is_file() and path.exists():  # a pipe would be waited for without end
        raise BadInput(f"{path}: no regular file; remove it")
    return KINDS[suffix(path)]
