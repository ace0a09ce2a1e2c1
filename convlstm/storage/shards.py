"""Shards: HDF5 files of bounded size in one folder, read as if they were one file.

Shards are named by the hash of their bytes, so one that was there before keeps its name and its
place on the disk, and DVC neither hashes nor stores it again. They are made in a cache beside
`.checkpoints/`, because DVC empties a folder of outputs before its stage runs, and are linked from
there. The cache also knows from what each was made, by names that end in `.made`; it keeps what
the last run used.
"""

import os
import shutil
import socket
import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from hashlib import blake2b
from math import prod
from pathlib import Path
from threading import RLock
from typing import NamedTuple

import numpy as np

from convlstm.runtime.errors import BadInput
from convlstm.runtime.files import replacing
from convlstm.storage import hdf5

INDEX = "index.h5"
"""The file of a folder of shards that names them, and all that is to be known before reading."""
MOST_OPEN = 256
"""Shards at a time, of the 1,024 files that a process may have open."""
MADE = ".made"


class Place(NamedTuple):
    """The dataset `path` of a shard, and the `digest` that it bears."""

    shard: str
    path: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    digest: str


class Shelf:
    """The shards of a folder, opened when they are needed; those used last stay open.

    Threads may share it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, RLock()
        self._open: OrderedDict[str, tuple[ExitStack, hdf5.File, dict[str, hdf5.Array]]]
        self._open = OrderedDict()

    def __enter__(self) -> "Shelf":
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._open.popitem()[1][0].close()

    def read(self, place: Place, picks: hdf5.Picks) -> np.ndarray:
        """Return a part of a dataset.

        Raises:
            BadInput: its shard is missing, damaged or another one; the line names the shard.
        """
        with self._lock:
            return self._array(place)[picks]

    def _array(self, place: Place) -> hdf5.Array:
        _, file, arrays = self._opened(place.shard)
        if place.path not in arrays:
            array = hdf5.Array(file[place.path]) if place.path in file else None
            if array is None or (place.digest and hdf5.text(array, "digest") != place.digest):
                path = self._folder / place.shard
                raise BadInput(
                    f"{path}: holds other data than {INDEX} says; delete it and run `dvc repro`"
                )
            arrays[place.path] = array
        return arrays[place.path]

    def _opened(self, shard: str) -> tuple[ExitStack, hdf5.File, dict[str, hdf5.Array]]:
        if shard not in self._open:
            while len(self._open) >= MOST_OPEN:
                self._open.popitem(last=False)[1][0].close()
            stack = ExitStack()
            file = stack.enter_context(hdf5.open_complete(self._folder / shard))
            self._open[shard] = stack, file, {}
        self._open.move_to_end(shard)
        return self._open[shard]


class Joined:
    """Datasets that follow each other on their first axis, each in a shard, as one array."""

    def __init__(self, shelf: Shelf, places: Sequence[Place]) -> None:
        self._shelf, self._places = shelf, tuple(places)
        self._ends = np.cumsum([place.shape[0] for place in places]).tolist()
        first = self._places[0]
        self.shape: tuple[int, ...] = (self._ends[-1], *first.shape[1:])
        self.chunks, self.dtype = first.chunks, np.dtype(first.dtype)
        self.size = prod(self.shape)
        self.nbytes = self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, picks: hdf5.Picks) -> np.ndarray:
        """Return a part; on the first axis it has no step.

        Raises:
            BadInput: a shard is missing or damaged; the line names it.
        """
        first, *others = picks if isinstance(picks, tuple) else (picks,)
        if isinstance(first, int):
            at = range(len(self))[first]
            found: np.ndarray = self[(slice(at, at + 1), *others)][0]
            return found
        start, stop, _ = first.indices(len(self))
        parts = []
        for place, end in zip(self._places, self._ends, strict=True):
            begin = end - place.shape[0]
            if start < end and begin < stop:
                own = slice(max(start, begin) - begin, min(stop, end) - begin)
                parts.append(self._shelf.read(place, (own, *others)))
        parts = parts or [self._shelf.read(self._places[0], (slice(0, 0), *others))]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


Stored = hdf5.Array | Joined
"""An array on the disk, of which parts are read."""


class Cache:
    """Shards that were made before, and from what.

    Args:
        folder: of its own; it may be deleted at any time between runs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, source: str) -> tuple[str, ...]:
        """Return the names of the shards made from what has this key; none if not all are here.

        One that cannot be opened does not count. Its chunks are compared with their sums where they
        are read.
        """
        with suppress(OSError, ValueError, BadInput):
            names = tuple((self.folder / f"{source}{MADE}").read_text(encoding="ascii").split())
            for name in names:
                with hdf5.open_complete(self.folder / name):
                    pass
            return names
        return ()

    def is_noted(self, source: str) -> bool:
        """Return whether shards were made from what has this key, without a look at them."""
        return (self.folder / f"{source}{MADE}").exists()

    @contextmanager
    def new(self) -> Iterator[Path]:
        """Yield the path of a shard to be written, which no other process has; `keep` it, or not.

        A task that is run twice, as a cluster does when it has lost a worker, disturbs no other.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"new-{socket.gethostname()}-{os.getpid()}.h5"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def keep(self, path: Path) -> str:
        """Check a shard that has been written, and return the name by which it is kept.

        Raises:
            BadInput: the disk does not return what was written.
        """
        name = f"{hdf5.check(path)}.h5"
        path.replace(self.folder / name)
        return name

    def note(self, source: str, *names: str) -> None:
        """Note from what shards were made; it is mostly one."""
        with replacing(self.folder / f"{source}{MADE}") as temporary:
            temporary.write_text("\n".join(names), encoding="ascii")

    def link(self, name: str, folder: Path) -> None:
        """Put a shard into a folder; it takes no room where the disk can link it.

        DVC takes the write permission from what it stores, so no shard is ever written to again.
        """
        try:
            os.link(self.folder / name, folder / name)
        except FileExistsError:  # two of the same content
            pass
        except OSError:
            shutil.copyfile(self.folder / name, folder / name)

    def forget_but(self, names: Iterable[str]) -> None:
        """Remove all but these shards, and what killed runs have left."""
        kept = set(names)
        for path in self.folder.iterdir():
            with suppress(OSError):
                names = {path.name}
                if path.suffix == MADE and not path.name.startswith("."):
                    names = set(path.read_text(encoding="ascii").split())
                if not names <= kept:
                    path.unlink()


def code() -> str:
    """Return a hash of the loaded modules of the package, which have made what this run makes."""
    found = blake2b(digest_size=16)
    for name, module in sorted(sys.modules.items()):
        if name.startswith("convlstm.") and module.__file__:
            found.update(Path(module.__file__).read_bytes())
    return found.hexdigest()
