"""Readers of HDF5: datasets that `raw_dataset` names, and what the file says beside them.

A dataset with dimension scales, as NetCDF-4 has them, is read by `gridded`. In names, `*` stands
for any part between two slashes: each dataset that fits is a time step, or holds several, and they
follow each other by their times or, without any, in natural order.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5a, h5d, h5l, h5o

from convlstm.ingest import cf, chunks, conventions, gridded
from convlstm.ingest.arrays import named
from convlstm.ingest.blocks import (
    Content,
    Variable,
    agreed,
    axes_of,
    check_order,
    check_same,
    chunk_of,
    in_order,
    in_steps,
    matching,
)
from convlstm.ingest.conventions import About
from convlstm.ingest.params import Reading, unreadable
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame
from convlstm.storage.meaning import Channel

SUFFIXES = (".h5", ".hdf5", ".hdf", ".hf5", ".he5", ".nc", ".nc4")
SIGNATURE = re.compile(rb"(?s:.{512}|.{1024}|.{2048})?\x89HDF\r\n\x1a\n")  # after a user block


def extent(path: Path, reading: Reading) -> tuple[int, int]:
    """Return the number of sequences in the file (axis N) and of frames in each (axis T)."""
    with _opened(path, reading) as content:
        return content.extent


def frames(path: Path, reading: Reading, sequence: int = 0, first: int = 0) -> Iterator[Frame]:
    """Yield the frames of one sequence from the first one on, with what the file says of them.

    Raises:
        BadInput: the file cannot be read, leads to other files, or holds no such datasets.
    """
    with _opened(path, reading) as content:
        yield from content.frames(sequence, first)


@contextmanager
def _opened(path: Path, reading: Reading) -> Iterator[Content]:
    with unreadable(path, "an array file"):
        with h5py.File(path, "r") as file:
            links = _links(file, path)
            wanted = reading.raw_dataset
            if isinstance(wanted, str) and _is_plain(file, wanted.strip("/"), links, path):
                yield _content(file, [wanted.strip("/")], path, reading)
                return
            inside = _inside(file, path)
            if not inside.scaled:
                yield _content(file, inside.names, path, reading)
                return
        with _scaled(path, inside, reading) as content:
            yield content


@contextmanager
def _scaled(path: Path, inside: "_Inside", reading: Reading) -> Iterator[Content]:
    """Open a file with dimension scales; if they make no sense, `raw_axes` takes their place.

    Raises:
        BadInput: they make none, and `raw_axes` is null.
    """
    with ExitStack() as stack:
        try:
            content = stack.enter_context(gridded.opened(path, "h5netcdf", inside.groups, reading))
        except (ValueError, KeyError) as error:
            if reading.raw_axes is None:
                raise BadInput(
                    f"{path}: its dimension scales cannot be understood ({error}); "
                    f"name the axes in raw_axes with letters of NTCHW, as THW"
                ) from None
            file = stack.enter_context(h5py.File(path, "r"))
            content = _content(file, inside.names, path, reading)
        yield content


def _links(file: h5py.File, path: Path) -> set[bytes]:
    """Return the names of all links in a file.

    Raises:
        BadInput: one leads to another file, which a raw file may not read.
    """
    links: dict[bytes, int] = {}

    def note(name: bytes, link: Any) -> None:
        links[name] = link.type

    # A tenth of the time of File.visititems_links, which makes an object of each.
    file.id.links.visit(note, info=True)
    for name, kind in links.items():
        if kind == h5l.TYPE_EXTERNAL:
            raise _leads_away(path, name.decode("utf-8", "replace"))
    return set(links)


def _is_plain(file: h5py.File, name: str, links: set[bytes], path: Path) -> bool:
    """Return whether this is the name of a dataset without dimension scales."""
    if name.encode() not in links or file.get(name, getclass=True) is not h5py.Dataset:
        return False
    dataset = h5d.open(file.id, name.encode())
    _check_own(dataset, name, path)
    return dataset.rank >= 2 and not h5a.exists(dataset, b"DIMENSION_LIST")


class _Inside(NamedTuple):
    """The datasets that have at least the axes of a frame, all groups, and whether scales exist."""

    names: list[str]
    groups: list[str]
    scaled: bool


def _inside(file: h5py.File, path: Path) -> _Inside:
    """Look at all datasets and groups of a file.

    Raises:
        BadInput: a dataset has its numbers in another file, which a raw file may not read.
    """
    names, groups, scaled = [], [""], False
    kinds: dict[str, int] = {}

    def note(name: bytes, node: Any) -> None:
        kinds[name.decode("utf-8", "surrogateescape")] = node.type

    h5o.visit(file.id, note, info=True)
    for name, kind in kinds.items():
        if kind == h5o.TYPE_GROUP:
            groups.append(name)
        elif kind == h5o.TYPE_DATASET:
            dataset = h5d.open(file.id, name.encode("utf-8", "surrogateescape"))
            _check_own(dataset, name, path)
            if dataset.rank >= 2:
                names.append(name)
                scaled |= h5a.exists(dataset, b"DIMENSION_LIST")
    return _Inside(names, groups, scaled)


def _check_own(dataset: h5d.DatasetID, name: str, path: Path) -> None:
    """Check that a dataset has all of its data in its own file."""
    layout = dataset.get_create_plist()
    if layout.get_layout() == h5d.VIRTUAL or layout.get_external_count():
        raise _leads_away(path, name)


def _leads_away(path: Path, name: str) -> BadInput:
    return BadInput(
        f"{path}: {name} leads to another file, which a raw file may not read; "
        f"copy it with h5repack, so that it holds all of its data"
    )


def _content(file: h5py.File, names: list[str], path: Path, reading: Reading) -> Content:
    picked = _chosen(file, names, path, reading)
    abouts = [[conventions.about(file, name) for name in steps] for steps in picked]
    variables = []
    for steps, about in zip(picked, abouts, strict=True):
        dataset = file[steps[0]]
        array, stored = chunks.of(dataset), dataset.chunks
        axes = _axes(dataset, path, reading, steps=len(steps) > 1)
        if len(steps) > 1:
            if any(one.time is None for one in about):
                check_order(steps, path)
            array, axes = in_steps([file[name] for name in steps], steps, path, axes)
            stored = None
        channels = _channels(steps, about, path, several=len(picked) > 1)
        variable = Variable(array, axes, channels, about[0].dtype, chunk_of(stored, axes))
        variable.check(path, reading)
        variables.append(variable)
    content = Content(agreed(variables, [steps[0] for steps in picked], path), abouts[0][0].grid)
    return _timed(content, abouts[0], path)


def _axes(dataset: h5py.Dataset, path: Path, reading: Reading, *, steps: bool) -> str:
    """Return the letters of the axes, by their labels where all of them have one.

    Raises:
        BadInput: the labels are not those of a frame, or without them `raw_axes` does not fit.
    """
    labels: list[str] = []
    if h5a.exists(dataset.id, b"DIMENSION_LABELS"):
        labels = [str(dim.label) for dim in dataset.dims if dim.label]
    if len(set(labels)) != dataset.ndim:
        return axes_of(dataset.shape, path, reading, steps=steps)
    sizes = dict(zip(labels, dataset.shape, strict=True))
    try:
        return cf.axes(sizes, {}, reading.raw_axes)
    except ValueError as error:
        raise cf.refused(dataset.name, sizes, path, error) from None


def _channels(
    names: list[str], about: list[About], path: Path, *, several: bool
) -> tuple[Channel, ...]:
    """Return what is said of a variable, the same for all of its datasets."""
    base = names[0].rpartition("/")[2]
    channels = [one.channel or (Channel(name=base) if several else None) for one in about]
    for name, other in zip(names[1:], channels[1:], strict=True):
        if channels[0] is not None and other is not None:
            check_same(channels[0], other, (names[0], name), path)
    return () if channels[0] is None else (channels[0],)


def _timed(content: Content, about: list[About], path: Path) -> Content:
    """Return the content with the times that the file gives its frames."""
    if len(about) == 1:
        alone = content.extent[1] == 1 and about[0].nominal is not None
        return in_order(content, np.array([about[0].nominal]) if alone else None, path)
    found = [one.time for one in about]
    return in_order(content, None if None in found else np.array(found), path)


def _chosen(file: h5py.File, names: list[str], path: Path, reading: Reading) -> list[list[str]]:
    """Return the datasets of each channel, one a time step.

    Raises:
        BadInput: `raw_dataset` names none, or several were found and none is named.
    """
    if reading.raw_dataset is None:
        usual = conventions.usual(file, names)
        if len(usual) != 1:
            raise named(usual, path, reading, _hint(usual))
        return [usual]
    channels = [matching(wanted, names) for wanted in reading.datasets_among(names)]
    if not all(channels):
        raise named(names, path, reading)
    if len({len(steps) for steps in channels}) > 1:
        raise BadInput(
            f"{path}: raw_dataset = {reading.raw_dataset!r} names {[len(one) for one in channels]} "
            f"time steps; each channel needs as many"
        )
    return channels


def _hint(names: list[str]) -> str:
    """Return how a dataset a time step could be named, if names differ in numbers only."""
    patterns = [re.sub(r"\d+", "*", name) for name in names]
    common = max(patterns, key=patterns.count, default="")
    if patterns.count(common) < 2:
        return ""
    return f"; name one, or raw_dataset={common} if each is a time step"
