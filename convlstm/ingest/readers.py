"""The choice of the reader for a raw file: by its content, or by its suffix if that is broken."""

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from convlstm.ingest import arrays, datasets, gifs, gridded, groups, images, tiffs, video
from convlstm.ingest.params import Reading
from convlstm.runtime import system
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame

READERS: tuple[ModuleType, ...] = (images, gifs, tiffs, arrays, datasets, gridded, video)
"""A new kind is a module with `SUFFIXES`, `SIGNATURE` (its first bytes), `extent` and `frames`."""
BEGUN_ANYWHERE = (arrays, datasets, gridded)
"""Readers whose `frames` takes the number of the first one, before which none is unpacked."""
KINDS: dict[str, ModuleType] = {suffix: kind for kind in READERS for suffix in kind.SUFFIXES}
"""The reader of a file whose content is of no kind, so that it is named as broken."""
FOREIGN = {
    "HDF4": (re.compile(rb"\x0e\x03\x13\x01"), "convert it with h4toh5"),
    "GRIB": (re.compile(rb"GRIB"), "convert it with `cdo -f nc4 copy` or `grib_to_netcdf`"),
    "NetCDF-3 of 64-bit data (CDF5)": (re.compile(rb"CDF\x05"), "convert it with `nccopy -k nc4`"),
}
"""Kinds that are told by their first bytes, but not read, with their remedies."""
HEAD_BYTES = 4096
_GZIP = b"\x1f\x8b\x08"


def suffix(path: Path) -> str:
    """Return the suffix by which a name is of a kind that is read; empty if it is of none."""
    suffixes = path.name.lower().split(".")[1:]
    last = [".".join(["", *suffixes[-count:]]) for count in (2, 1)]  # .pgm.gz before .gz
    return next((suffix for suffix in last if suffix in KINDS), "")


def stem(path: Path) -> str:
    """Return the name without that suffix."""
    return path.name[: len(path.name) - len(suffix(path))]


def is_read(path: Path) -> bool:
    """Return whether a file is of a kind that is known, by its content or by its suffix.

    A broken link or a pipe is, if its name says so, so that it can be named; a folder is if zarr
    wrote it.
    """
    if system.is_folder(path):
        return groups.is_store(path)
    head = _head(path)
    return bool(suffix(path) or _told(head) or _foreign(head))


def is_array(path: Path) -> bool:
    """Return whether the file holds arrays, not pictures."""
    return _kind(path) in (arrays, datasets, gridded)


def extent(path: Path, reading: Reading) -> tuple[int, int]:
    """Return how many sequences a file holds, and how many frames each has.

    Raises:
        BadInput: it cannot be read with these params.
    """
    sequences, frames = _kind(path).extent(path, reading)
    return sequences, frames


def is_begun_anywhere(path: Path) -> bool:
    """Return whether the frames of a file may be read from any of them on.

    What is zipped is unpacked from its beginning. Of a store of zarr, whose files may be a million,
    each task for a part of it would look at all.
    """
    is_whole = system.is_folder(path) or _head(path).startswith(b"PK")
    return _kind(path) in BEGUN_ANYWHERE and not is_whole


def frames(path: Path, reading: Reading, part: int = 0, first: int = 0) -> Iterator[Frame]:
    """Yield the frames of one of a file's sequences as they are stored: no scaling, no cast.

    A reader of files that say when their frames were taken yields them in the order of time.

    Args:
        path: of the file.
        reading: how it is read.
        part: the number of the sequence.
        first: the number of its first frame that is wanted; 0 unless `is_begun_anywhere`.

    Raises:
        BadInput: it cannot be read with these params.
    """
    yield from _kind(path).frames(path, reading, part, *([first] if first else []))


def _kind(path: Path) -> ModuleType:
    if system.is_folder(path) and groups.is_store(path):
        return gridded
    if system.is_there(path) and not system.is_file(path):  # reading a pipe would wait forever
        raise BadInput(f"{path}: not a regular file; remove it")
    head = _head(path)
    foreign = _foreign(head)
    if foreign:
        raise BadInput(f"{path}: is {foreign}, which is not read; {FOREIGN[foreign][1]}")
    kind = _told(head) or KINDS.get(suffix(path))
    if kind is None:
        raise BadInput(f"{path}: is of no kind that is read; remove it")
    return kind


def _head(path: Path) -> bytes:
    """Return the first bytes of a regular file, unpacked if they are those of gzip; else none."""
    if not system.is_file(path):  # a pipe is not even opened
        return b""
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return b""
    if not head.startswith(_GZIP):
        return head
    try:
        return _GZIP + zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
    except zlib.error:
        return b""


def _told(head: bytes) -> ModuleType | None:
    """Return the reader whose signature the first bytes have; gzip is unpacked for images only."""
    if head.startswith(_GZIP):
        return images if images.SIGNATURE.match(head[len(_GZIP) :]) else None
    return next((kind for kind in READERS if kind.SIGNATURE.match(head)), None)


def _foreign(head: bytes) -> str:
    return next((name for name, (pattern, _) in FOREIGN.items() if pattern.match(head)), "")
