"""HDF5 files of ours: complete or absent, and a flipped bit anywhere in one raises when it is read.

Frames carry HDF5's own checksum chunk by chunk, so that a terabyte need not be read to trust a
window of it. The layout of HDF5 1.10 adds checksums to all that describes them; texts have a fixed
length, because the heap for others has none.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from convlstm.runtime import signals
from convlstm.runtime.errors import BadInput
from convlstm.runtime.files import from_text, replacing, to_text

File = h5py.File
Dataset = h5py.Dataset
"""For signatures elsewhere: few modules import h5py."""


class _Target(FileIO):
    """What HDF5 writes to. It crashes of a full disk, so that is kept from it and told later."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`, as HDF5 expects."""
        left = memoryview(data)
        try:
            while left:
                left = left[super().write(left) :]
        except OSError as error:
            self.failure = self.failure or error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        """Set the length."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0

    def check(self) -> None:
        """Tell what was kept from HDF5."""
        if self.failure is not None:
            raise self.failure


class New(h5py.File):  # type: ignore[misc] # h5py ships no types
    """A file that is being written."""

    def __init__(self, path: Path, stop: signals.Ear) -> None:
        self.folder, self._target, self._stop = path.parent, _Target(path, "w+"), stop
        super().__init__(self._target, "w", libver=("v110", "v110"))

    def check(self) -> None:
        """All that was written so far has found room; to be called from time to time.

        Raises:
            OSError: it has not.
            Stopped: somebody wants the run to end.
        """
        self._target.check()
        self._stop.check()

    def close(self) -> None:
        """Write what is left."""
        super().close()
        self._target.close()
        self._target.check()


@contextmanager
def create(path: Path) -> Iterator[New]:
    """A new file, marked complete as the last thing that is written into it.

    Signals are held back, because HDF5 calls `_Target` and cannot bear an exception out of it.
    """
    with replacing(path) as temporary, signals.held() as stop, New(temporary, stop) as file:
        yield file
        file.attrs["complete"] = True


@contextmanager
def reading(path: Path) -> Iterator[h5py.File]:
    """A file that `create` finished.

    Raises:
        BadInput: it is missing, is no HDF5 file, its writer did not finish, or what is read of it
            is damaged.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; `dvc repro` makes it")
    try:
        # every open dataset would keep a cache of its own, and nothing here is read twice in a row
        file = h5py.File(path, "r", rdcc_nbytes=0)
    except OSError as error:
        raise _refused(path, f"no readable HDF5 file: {error}") from None
    with file:
        _check_whole(file, path)
        try:
            yield file
        except OSError as error:
            if error.errno is not None:  # the system's, and of another file
                raise
            raise _refused(path, f"damaged: {error}") from None


def _check_whole(file: h5py.File, path: Path) -> None:
    """All that describes the data is sound, and its writer came to the end."""

    def look(_: str, node: h5py.Group | h5py.Dataset) -> None:
        dict(node.attrs)

    try:
        file.visititems(look)
        complete = bool(file.attrs.get("complete", False))
    except Exception as error:  # h5py raises many kinds on what is damaged
        raise _refused(path, f"damaged: {error}") from None
    if not complete:
        raise _refused(path, "its writer did not finish")


def _refused(path: Path, reason: str) -> BadInput:
    return BadInput(f"{path}: {' '.join(reason.split())}; delete it and run `dvc repro`")


def describe(file: h5py.File, **facts: Any) -> None:
    """Keep a few plain facts with a file."""
    set_text(file, "description", to_text(facts))


def description(file: h5py.File) -> dict[str, Any]:
    """What `describe` kept."""
    return from_text(text(file, "description"))


def set_text(node: h5py.Group | h5py.Dataset, name: str, content: str) -> None:
    """Keep a text with a file, a group or a dataset."""
    node.attrs[name] = np.bytes_(content.encode())


def text(node: h5py.Group | h5py.Dataset, name: str) -> str:
    """What `set_text` kept."""
    return bytes(node.attrs[name]).decode()


def write_texts(file: h5py.File, name: str, texts: Iterable[str]) -> None:
    """A dataset of texts, to be read with `texts`."""
    encoded = [content.encode() for content in texts]
    kind = h5py.string_dtype("utf-8", max(map(len, encoded)))
    file.create_dataset(name, data=np.array(encoded, kind), chunks=True, fletcher32=True)


def texts(dataset: h5py.Dataset) -> list[str]:
    """What `write_texts` wrote."""
    return [content.decode() for content in dataset[:].tolist()]


def growing(
    group: h5py.Group, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], *, a_chunk: int
) -> h5py.Dataset:
    """An empty dataset of frames of `shape`, that grows in time, `a_chunk` frames a chunk.

    Not compressed: gzip makes reading 3 to 10 times slower, and frames of a camera hardly smaller.
    """
    return group.create_dataset(
        name,
        (0, *shape),
        dtype,
        maxshape=(None, *shape),
        chunks=(a_chunk, *shape),
        fletcher32=True,
    )
