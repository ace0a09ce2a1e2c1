"""A reader of TIFF, ImageJ and OME-TIFF files by tifffile, a page at a time.

Axes are those that the file names: T is time, C channels, S the samples of colours. The pages of a
file that names none are time, but not overviews and thumbnails; a mask says which pixels are
missing. `raw_axes` comes before what the file says, in the order of the axes that a message names.
"""

import logging
import math
import mmap
import re
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from jaxtyping import Num, Shaped
from tifffile import TiffFile, TiffPage, TiffPageSeries

from convlstm.ingest import pixels as rules
from convlstm.ingest import tiffpixels, tifftags
from convlstm.ingest.params import Reading, unreadable
from convlstm.ingest.pixels import Pixels
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame
from convlstm.storage.meaning import Meaning

SUFFIXES = (".tif", ".tiff")
SIGNATURE = re.compile(rb"II[*+]\0|MM\0[*+]")
KNOWN = (
    *("shaped", "lsm", "mmstack", "ome", "imagej", "ndtiff", "fluoview", "stk", "sis", "svs"),
    *("scn", "qpi", "ndpi", "bif", "avs", "eer", "philips", "scanimage", "nih", "mdgel"),
)
"""Kinds whose axes tifffile knows; all others are plain pages."""
PLAIN_TAGS = {*range(254, 270), *range(271, 305), *range(306, 347), 347, 529, 530, 531, 532}
"""Tags that no such kind is told by: all of TIFF 6.0 except descriptions and private ones."""
COMPRESSIONS = {1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 50000}
"""Those that unpack to no more than the page says; of JPEG (7) this is checked."""
SHAPE = re.compile(r'\{"shape": \[([0-9, ]+)\]')  # of the description that tifffile writes
OVERVIEW, MASK = 1, 4  # bits of NewSubfileType
TITLES = {"Label", "Macro", "Map", "Thumbnail"}  # pictures of the slide, in files of scanners
MOST_PAGE_BYTES = 2**32
LZW = 5  # libtiff unpacks it in half the time, but goes to each page from the first one on
MOST_CHAINED = 1000
JPEG = 7
JPEG_SIZE = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]...(..)(..)", re.DOTALL)
ORIENTATION = 274

_THREAD = threading.local()


class _Strict(logging.Handler):
    """Raise what tifffile would only log: a file that it repairs is damaged."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR and getattr(_THREAD, "strict", False):
            raise ValueError(record.getMessage())


logging.getLogger("tifffile").addHandler(_Strict())


@contextmanager
def _strict() -> Iterator[None]:
    """Let errors that tifffile logs in this thread raise; do not yield out of the block."""
    _THREAD.strict = True
    try:
        yield
    finally:
        _THREAD.strict = False


@dataclass(frozen=True)
class Stack:
    """One sequence: pages along the first axes, and what each page holds along the last ones.

    `pages` are arrays where the file holds its numbers in one piece; None is a page that the file
    names and does not have. `masks` has the page that masks the page of this number.
    """

    axes: str
    shape: tuple[int, ...]
    pages: Any
    key: TiffPage
    masks: Mapping[int, TiffPage] = field(default_factory=dict)
    experiment: tifftags.Experiment = tifftags.NO_EXPERIMENT
    calibration: tifftags.Calibration = tifftags.NOT_CALIBRATED

    def length(self, axis: str) -> int:
        """Return the length of an axis, 1 if there is none."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1

    @property
    def outer(self) -> str:
        """The axes along which the pages lie."""
        return self.axes[: len(self.axes) - len(_squeezed(self.key.axes, self.key.shape)[0])]


def extent(path: Path, reading: Reading) -> tuple[int, int]:
    """Return the number of sequences in the file and of frames in each."""
    with _opened(path, reading) as stacks:
        return len(stacks) * stacks[0].length("N"), stacks[0].length("T")


def frames(path: Path, reading: Reading, sequence: int = 0) -> Iterator[Frame]:
    """Yield the frames of one sequence of a TIFF file.

    Raises:
        BadInput: the file cannot be read, is larger than `max_pixels`, has axes that are none of a
            film, or does not hold what `pixel_values` names.
    """
    with _opened(path, reading) as stacks:
        number, part = divmod(sequence, stacks[0].length("N"))
        stack = stacks[number]
        ended = False
        for time in range(stack.length("T") if "T" in stack.outer else 1):
            numbers = _pages_of(stack, time, part)
            if all(stack.pages[number] is None for number in numbers):
                ended = True
                continue
            if ended and not stack.experiment.times:
                raise BadInput(f"{path}: has a gap before its frame {time + 1}, and says no times")
            with _strict():
                block = list(_block(stack, numbers, path, reading))
            times = stack.experiment.times[time:]
            for values, meaning in block:
                yield Frame(values, meaning, times[0] if times else None)


@contextmanager
def _opened(path: Path, reading: Reading) -> Iterator[list[Stack]]:
    """Open the file and return its sequences, which are all alike in their axes."""
    with unreadable(path, "an image"):
        with _strict():
            tif = TiffFile(path, _multifile=False)
        with tif:
            with _strict():
                _check_chain(tif)
                found = _known(tif) if _is_known(tif) else [_plain(tif)]
                stacks = [_named(stack, reading) for stack in found]
                reading.check_pixels(path, stacks[0].length("H") * stacks[0].length("W"))
            yield stacks


def _check_chain(tif: TiffFile) -> None:
    """Check that the pages, of which each names the place of the next one, come to an end.

    Raises:
        ValueError: a page comes again.
        struct.error: the file ends before a page does.
    """
    file, form = tif.filehandle, tif.tiff
    place, seen = tif.pages.first.offset, set[int]()
    while place:
        if place in seen:
            raise ValueError("its pages follow each other in a circle")
        seen.add(place)
        file.seek(place)
        (count,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
        file.seek(place + form.tagnosize + count * form.tagsize)
        (place,) = struct.unpack(form.offsetformat, file.read(form.offsetsize))


def _is_known(tif: TiffFile) -> bool:
    """Return whether tifffile knows the order of the pages."""
    page = tif.pages.first
    if set(page.tags.keys()) <= PLAIN_TAGS:
        return False
    repeated = SHAPE.match(page.description) if page.axes == "YX" else None
    if repeated and math.prod(map(int, repeated[1].split(","))) == math.prod(page.shape):
        return tif.pages.is_multipage  # of a single picture, tifffile only repeats the size
    return any(getattr(tif, f"is_{kind}") for kind in KNOWN)


def _plain(tif: TiffFile) -> Stack:
    """Return the pages of a file that says nothing of their order: they are time."""
    pages: list[TiffPage] = []
    masks: dict[int, TiffPage] = {}
    for found in tif.pages:
        page = found.aspage()
        if page.subfiletype & MASK:
            if pages and page.shape == pages[-1].shape[:2] and not page.subfiletype & OVERVIEW:
                masks[len(pages) - 1] = page
        elif not page.subfiletype & OVERVIEW:
            pages.append(page)
    sizes = {(page.axes, page.shape): None for page in pages}
    if len(sizes) != 1:
        shown = ", ".join(" x ".join(map(str, shape)) for _, shape in sizes)
        raise ValueError(f"its pages have several sizes: {shown or 'none'}")
    key = pages[0]
    outer = (("I", len(pages)),) if len(pages) > 1 else ()
    axes, shape = _squeezed(key.axes, key.shape)
    return Stack(
        "".join(axis for axis, _ in outer) + axes,
        (*(length for _, length in outer), *shape),
        pages,
        key,
        masks,
    )


def _known(tif: TiffFile) -> list[Stack]:
    """Return the sequences of a file whose axes tifffile knows.

    Raises:
        ValueError: they differ in their axes, or some lie in other files.
    """
    series = [
        one
        for one in tif.series
        if one.name not in TITLES and not one.keyframe.subfiletype & (OVERVIEW | MASK)
    ]
    if tif.is_ome and not tif.is_imagej and not all(one.kind == "ome" for one in series):
        raise ValueError("its OME-XML names other files or is damaged; save it as one file")
    if len({(one.axes, one.shape, one.dtype) for one in series}) != 1:
        raise ValueError("it holds images of several sizes, types or axes; save them apart")
    said = tifftags.experiments(tif.ome_metadata or "") if series[0].kind == "ome" else []
    said = said if len(said) == len(series) else [tifftags.NO_EXPERIMENT] * len(series)
    calibration = tifftags.calibration(tif)
    stacks = [
        Stack(
            *_squeezed(one.axes, one.shape),
            _pages(tif, one),
            one.keyframe,
            experiment=experiment,
            calibration=calibration,
        )
        for one, experiment in zip(series, said, strict=True)
    ]
    first = stacks[0]
    if len(stacks) == 1 or first.outer or first.experiment.times or series[0].kind != "shaped":
        return stacks
    # tifffile marks each page that is written by a call of its own as an image of its own
    pages = [page for stack in stacks for page in stack.pages]
    return [replace(first, axes=f"I{first.axes}", shape=(len(pages), *first.shape), pages=pages)]


def _squeezed(axes: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Return the axes without those of length 1, except rows and columns."""
    kept = [place for place, axis in enumerate(axes) if axis in "YX" or shape[place] != 1]
    return "".join(axes[place] for place in kept), tuple(shape[place] for place in kept)


def _pages(tif: TiffFile, series: TiffPageSeries) -> Any:
    """Return the pages of a series, as arrays if the file holds all numbers in one piece."""
    count = math.prod(series.shape) // max(1, math.prod(series.keyframe.shape))
    if series.transform is not None:
        raise ValueError(f"a file of kind {series.kind} is not read; save it as plain TIFF")
    if series.dataoffset is not None and count > 1:
        dtype = np.dtype(f"{tif.byteorder}{series.dtype.char}")
        shape = (count, *series.keyframe.shape)
        return np.memmap(tif.filehandle.path, dtype, "r", series.dataoffset, shape)
    if len(series) != count:
        raise ValueError(f"it names {count} pages and holds {len(series)}")
    if any(page is not None and page.parent is not tif for page in series):
        raise ValueError("some of its pages lie in other files; save it as one file")
    return series


def _named(stack: Stack, reading: Reading) -> Stack:
    """Return the stack with axes in the letters of `raw_axes`, and S for the samples of colours.

    Raises:
        ValueError: an axis is none of a film.
    """
    shown = f"{stack.axes} of {' x '.join(map(str, stack.shape))}"
    axes = reading.raw_axes
    if axes is None:
        axes = stack.axes.replace("Y", "H").replace("X", "W")
        unnamed = [axis for axis in axes if axis in "IQ"]
        if "T" not in axes and len(unnamed) == 1:
            axes = axes.replace(unnamed[0], "T")
        if not set("HW") <= set(axes) <= set("TCHWS") or len(set(axes)) < len(axes):
            raise ValueError(
                f"its axes are {shown}, which are not only time (T), channel (C), row (Y) and "
                f"column (X); to say what they are, set raw_axes, as {'TCZ'[: len(axes) - 2]}HW"
            )
    elif len(axes) != len(stack.axes):
        raise ValueError(f"raw_axes = {axes}, but its axes are {shown}")
    named = replace(stack, axes=axes)
    if not set("HW") <= set(axes[len(named.outer) :]):
        raise ValueError(f"its axes are {shown}, but a page holds {stack.key.axes}")
    return named


def _pages_of(stack: Stack, time: int, part: int) -> list[int]:
    """Return the numbers of the pages of one time: several if they are its channels."""
    lengths = stack.shape[: len(stack.outer)]
    picks = {"T": time, "N": part}
    channels = stack.length("C") if "C" in stack.outer else 1
    return [
        int(np.ravel_multi_index([{**picks, "C": channel}[axis] for axis in stack.outer], lengths))
        if lengths
        else 0
        for channel in range(channels)
    ]


def _block(
    stack: Stack, numbers: list[int], path: Path, reading: Reading
) -> Iterator[tuple[Pixels, Meaning]]:
    """Yield the frames that these pages hold together: one, or several along an axis T in a page.

    Raises:
        ValueError: one of the pages is missing, or its samples are neither colours nor named.
    """
    pages = [stack.pages[number] for number in numbers]
    if any(page is None for page in pages):
        raise ValueError("a channel of one of its frames is missing")
    arrays = [_array(page, path, reading) for page in pages]
    axes = stack.axes[len(stack.outer) :]
    block = arrays[0]
    if "C" in stack.outer:
        axes, block = f"C{axes}", np.stack(arrays)
    if "S" in axes and "C" in axes:
        raise ValueError("its channels are pictures in colours; save it with one of both")
    order = [axes.index(axis) for axis in "TSCHW" if axis in axes]
    block = block.transpose(order)
    block = block if "T" in axes else block[None]
    page: TiffPage = getattr(pages[0], "keyframe", stack.key)
    mask = None
    if stack.masks:
        own = stack.masks.get(numbers[0])
        mask = np.ones(block.shape[-2:], np.uint8)
        mask = mask if own is None else _native(_array(own, path, reading))
    for values in block.reshape(len(block), -1, *block.shape[-2:]):
        found = tiffpixels.shown(
            _native(values), page, path, reading.pixel_values, samples="S" in axes, mask=mask
        )
        yield _turned(found, page, stack)


def _turned(found: tiffpixels.Shown, page: TiffPage, stack: Stack) -> tuple[Pixels, Meaning]:
    """Return the values as they are to be shown, and their meaning.

    Raises:
        ValueError: they are turned, and have a place on Earth.
    """
    orientation = page.tags.valueof(ORIENTATION, 1)
    meaning = tifftags.meaning(
        found.said, found.channel, stack.experiment.names, stack.calibration, len(found.values)
    )
    if meaning.grid is not None and orientation != 1:
        raise ValueError(f"georeferenced, and yet turned (Orientation {orientation})")
    return rules.turned(found.values, orientation), meaning


def _native(values: Shaped[np.ndarray, "*shape"]) -> Num[np.ndarray, "*shape"]:
    """Return values in this machine's byte order; truth values become bytes."""
    if values.dtype.kind == "b":
        return values.view(np.uint8)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _array(page: Any, path: Path, reading: Reading) -> Shaped[np.ndarray, "*shape"]:
    """Return what a page holds, after a check of its size.

    Raises:
        BadInput: it has more pixels than `max_pixels`.
        ValueError: it is packed in a way that may unpack to more than it says.
    """
    if isinstance(page, np.ndarray):
        return np.array(page)
    key: TiffPage = page.keyframe
    reading.check_pixels(path, key.imagelength * key.imagewidth)
    if key.is_tiled:
        reading.check_pixels(path, key.tilelength * key.tilewidth)
    if key.nbytes > MOST_PAGE_BYTES:
        raise ValueError(f"a page unpacks to {key.nbytes:,} bytes")
    if key.compression not in COMPRESSIONS:
        name = getattr(key.compression, "name", key.compression)
        raise ValueError(f"compression {name} is not read; save it with deflate or LZW")
    if key.compression == JPEG:
        _check_jpeg(page, path, reading)
    values: np.ndarray
    if key.compression == LZW and page.index < MOST_CHAINED and key.bitspersample in (8, 16, 32):
        values = np.empty(key.shape, key.dtype)
        with mmap.mmap(page.parent.filehandle.fileno(), 0, access=mmap.ACCESS_READ) as content:
            imagecodecs.tiff_decode(content, index=page.index, out=values)
    else:
        values = page.asarray(maxworkers=1)
    return values


def _check_jpeg(page: Any, path: Path, reading: Reading) -> None:
    """Check the size that each JPEG within a page says of itself.

    Raises:
        BadInput: it has more pixels than `max_pixels`.
    """
    handle = page.parent.filehandle
    for content, _ in handle.read_segments(page.dataoffsets, page.databytecounts):
        for rows, cols in JPEG_SIZE.findall(content or b""):
            reading.check_pixels(path, int.from_bytes(rows) * int.from_bytes(cols))
