"""The groups of a file of NetCDF or zarr, opened by xarray when they are needed.

A store of zarr is a folder of others' making: before it is opened, its metadata are searched for
links that lead out of it, for codecs that run what they read, and for chunks that fill the memory.
"""

import json
import math
import mmap
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convlstm.ingest import chunks
from convlstm.runtime import system
from convlstm.runtime.errors import BadInput

if TYPE_CHECKING:
    import xarray as xr

STORE_FILES = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")  # one is in each folder of zarr
MOST_CHUNK_VALUES = 2**30  # a chunk is unpacked as a whole
_CODECS = ("codecs", "filters", "compressor")


def is_store(path: Path) -> bool:
    """Return whether a folder is a file of zarr."""
    return any(system.is_file(path / name) for name in STORE_FILES)


def nodes(path: Path) -> tuple[list[str], list[str]]:
    """Return the paths of a store's groups, and of its arrays whose dimensions have no names.

    Raises:
        BadInput: a part of it is a link, or a codec of it runs what it reads.
    """
    if (link := next(_links_in(path), None)) is not None:
        raise BadInput(f"{path}: {link.relative_to(path)} is a link; copy the store without links")
    groups, unnamed, open_folders = [], [], [path]
    while open_folders:
        folder = open_folders.pop()
        name = "" if folder == path else str(folder.relative_to(path))
        about = _metadata(folder)
        if about["is_array"]:
            _check_array(about, name or "its array", path)
            if about["dimensions"] is None:
                unnamed.append(name)
            continue
        groups.append(name)
        for inner in sorted(folder.iterdir()):
            if inner.is_dir() and is_store(inner):
                open_folders.append(inner)
    return groups, unnamed


def _links_in(folder: Path) -> Iterator[Path]:
    """Yield the symbolic links below a folder, also among its chunks; they may lead anywhere."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield Path(entry)
            elif entry.is_dir():
                yield from _links_in(Path(entry))


def _check_array(about: Mapping[str, Any], name: str, path: Path) -> None:
    """Check that an array of zarr can be unpacked without harm.

    Raises:
        BadInput: a codec runs programs, or a chunk is larger than most memories.
    """
    if re.search(r"pickle", json.dumps([about.get(key) for key in _CODECS]), re.IGNORECASE):
        raise BadInput(f"{path}: {name} is packed by pickle, which can run programs; remove it")
    grid = about.get("chunk_grid", {}).get("configuration", {})
    chunk = about.get("chunks") or grid.get("chunk_shape", ())
    if math.prod(chunk) > MOST_CHUNK_VALUES:
        raise BadInput(f"{path}: {name} has chunks of {math.prod(chunk):,} values; rechunk it")


def _metadata(folder: Path) -> dict[str, Any]:
    """Return what the files of zarr in a folder say, of format 2 or 3."""
    found: dict[str, Any] = {}
    for name in ("zarr.json", ".zarray", ".zattrs"):
        if (folder / name).is_file():
            found |= json.loads((folder / name).read_text(encoding="utf-8"))
    is_array = found.get("node_type") == "array" or (folder / ".zarray").is_file()
    dimensions = found.get("dimension_names") or found.get("_ARRAY_DIMENSIONS")
    return found | {"is_array": is_array, "dimensions": dimensions}


class File:
    """A file's groups, each opened by xarray when it is needed, and its variables by path."""

    def __init__(
        self, path: Path, engine: Any, groups: Sequence[str], unnamed: Sequence[str]
    ) -> None:
        self._path, self._engine, self.unnamed = path, engine, list(unnamed)
        self.groups = sorted(groups)
        self._open: dict[str, Mapping[str, xr.Variable]] = {}
        self._scipy: Any = None  # the file of NetCDF-3 in which its arrays lie
        self._stack = ExitStack()

    def __enter__(self) -> "File":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def group(self, name: str) -> "Mapping[str, xr.Variable]":
        """Return the variables of one group, none of them read."""
        if name not in self._open:
            self._open[name] = self._opened(name) if name in self.groups else {}
        return self._open[name]

    def upwards(self, name: str) -> "Iterator[tuple[str, xr.Variable]]":
        """Yield the variables that a variable can refer to: of its group, then of those above."""
        while name:
            name = name.rpartition("/")[0]
            yield from ((str(own), found) for own, found in self.group(name).items())

    def names(self) -> list[str]:
        """Return the paths of all variables."""
        return [
            f"{group}/{name}".strip("/") for group in self.groups for name in self.group(group)
        ] + self.unnamed

    def __getitem__(self, name: str) -> Any:
        if name in self.unnamed:
            import zarr

            return zarr.open_array(self._path, path=name, mode="r")
        group, _, own = name.rpartition("/")
        return self.group(group)[own]

    def array(self, name: str) -> Any:
        """Return a variable (time, row, col) as an array that reads frames better than xarray's."""
        variable = self[name]
        if self._engine == "scipy":
            found = _Unmapped(self._scipy.variables[name].data)
            self._stack.callback(found.forget)
            return found
        if self._engine == "h5netcdf":
            packed = self._stack.enter_context(chunks.opened(self._path, name))
            is_packed = isinstance(packed, chunks.Frames) and packed.shape == variable.shape
            return packed if is_packed else variable
        return variable

    def _opened(self, name: str) -> "Mapping[str, xr.Variable]":
        try:
            import xarray as xr

            if self._engine == "zarr":
                import zarr  # noqa: F401 - xarray's own message would name its engines
        except ModuleNotFoundError as error:
            raise BadInput(
                f"{self._path}: to read zarr, install the extra `zarr` (pip install zarr) first"
            ) from error
        source: Any = self._path
        options: dict[str, Any] = {} if self._engine == "scipy" else {"group": name or "/"}
        if self._engine == "h5netcdf":
            options["phony_dims"] = "access"
        if self._engine == "zarr":
            options |= {"consolidated": False, "group": name or None}
        if self._engine == "scipy":
            source = xr.backends.ScipyDataStore(str(self._path))
            try:
                self._scipy = source.ds
            except MemoryError:  # scipy takes as much at once as a damaged header says
                raise ValueError("its header counts more than the memory holds") from None
        dataset = xr.open_dataset(
            source,
            engine=None if self._engine == "scipy" else self._engine,
            decode_cf=False,
            cache=False,
            create_default_indexes=False,
            drop_variables=[own for up, _, own in map(_parted, self.unnamed) if up == name],
            **options,
        )
        self._stack.enter_context(dataset)
        return {str(own): variable for own, variable in dataset.variables.items()}


class _Unmapped:
    """An array of NetCDF-3, of whose file no more pages stay in memory than a block has.

    SciPy maps the file, and each page that was read would count as memory of this process.
    """

    def __init__(self, values: np.ndarray) -> None:
        self._values, self._content = values, _map_of(values)
        self.shape, self.dtype = values.shape, values.dtype

    def __getitem__(self, picks: tuple[Any, ...]) -> np.ndarray:
        block: np.ndarray = self._values[picks].astype(self.dtype.newbyteorder("="))
        if self._content is not None:
            self._content.madvise(mmap.MADV_DONTNEED)
        return block

    def forget(self) -> None:
        """Let go of the file, which cannot be closed else."""
        self._values, self._content = self._values[:0].copy(), None


def _map_of(values: Any) -> mmap.mmap | None:
    """Return the map of a file in which an array lies, if it does in one."""
    while isinstance(values, np.ndarray):
        values = values.base
    content = getattr(values, "obj", None)
    return content if isinstance(content, mmap.mmap) else None


def _parted(name: str) -> tuple[str, str, str]:
    return name.rpartition("/")
