"""A reader of video files, by the optional extra `video` (PyAV).

- Grey streams keep their numbers, of 8 to 16 bits or floats. Colours of up to 8 bits come with 8
  bits, of more with 16 (0 to 65535), by the reformatter of FFmpeg whatever the pixel format;
  interlaced rows stay as they are.
- Pictures are turned as the display matrix says. Transparent pixels are missing (see `pixels`).
- The time of a frame is its time stamp after the file's `creation_time`, or after 1970-01-01 where
  there is none, so that gaps in a film are found. A film with a frame without stamp has no times.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

from convlstm.ingest import pixels as rules
from convlstm.ingest.params import Reading, unreadable
from convlstm.ingest.pixels import Pixels
from convlstm.ingest.time_format import EPOCH
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame

SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm")
SIGNATURE = re.compile(
    rb"(?s:.{4})(?:ftyp(?!heic|heix|mif1|msf1|avif|avis)|moov|mdat|wide|free)"
    rb"|\x1a\x45\xdf\xa3|RIFF(?s:.{4})AVI "
)
ORIENTATIONS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
"""The orientation of EXIF for the signs of a, b, c and d of FFmpeg's display matrix."""


def extent(path: Path, reading: Reading) -> tuple[int, int]:
    """Return the number of sequences in the file, always 1, and of frames in it.

    Not every file says how many frames it holds; then the number is 2, so that it counts as a film.
    """
    with _opened(path, reading) as (_, stream):
        return 1, max(2, stream.frames)


def frames(path: Path, reading: Reading, sequence: int = 0) -> Iterator[Frame]:  # noqa: ARG001 - see readers.KINDS
    """Yield the decoded frames with their times.

    Raises:
        BadInput: the file cannot be read, PyAV is not installed, or `pixel_values` names something
            that the film does not hold.
    """
    with _opened(path, reading) as (container, stream):
        stream.thread_type = "AUTO"
        begin = _begin(container)
        for picture in container.decode(stream):
            reading.check_pixels(path, picture.width * picture.height)
            stamp = picture.pts
            time = None if stamp is None else begin + round(stamp * picture.time_base * 10**6)
            yield _frame(picture, path, reading.pixel_values)._replace(time=time)


def _frame(picture: Any, path: Path, wanted: str) -> Frame:
    """Return one picture as `pixel_values` names it, turned, and without hidden pixels."""
    gray = picture.format.name.startswith(("gray", "ya"))
    white = None
    match wanted:
        case "gray" | "luminance" if gray:
            values, alpha, white = _gray(picture)
        case "luminance" | "rgb" if not gray:
            values, alpha = _colours(picture)
            white = rules.WHITE_OF_16_BITS if values.dtype == np.uint16 else None
            values = rules.luminance(values) if wanted == "luminance" else values
        case _:
            raise rules.refused(path, "grey values" if gray else "colours", wanted)
    missing: tuple[float, ...] = ()
    if alpha is not None:
        values, missing = rules.without_hidden(values, alpha, path)
    meaning = rules.said(len(values), missing, white)
    return Frame(rules.turned(values, _orientation(picture, path)), meaning)


def _gray(picture: Any) -> tuple[Pixels, Num[np.ndarray, "row col"] | None, int | None]:
    """Return the stored grey values, alpha, and the number of white if it is not 255."""
    layout = picture.format
    bits, size = layout.components[0].bits, len(layout.components)
    kind = "f" if layout.name.startswith("grayf") else "u"
    order = ">" if layout.is_big_endian else "<"
    plane = picture.planes[0]
    stored = np.frombuffer(plane, f"{order}{kind}{1 if bits <= 8 else bits // 17 * 2 + 2}")
    bands = stored.reshape(plane.height, -1)[:, : plane.width * size]
    bands = bands.astype(bands.dtype.newbyteorder("=")).reshape(plane.height, plane.width, size)
    alpha = bands[..., 1] if size == 2 else None
    return bands[None, ..., 0], alpha, None if bits in (8, 32) else 2**bits - 1


def _colours(picture: Any) -> tuple[Pixels, Num[np.ndarray, "row col"] | None]:
    """Return red, green and blue of 8 or 16 bits, and alpha."""
    layout = picture.format
    clear = layout.has_palette or any(component.is_alpha for component in layout.components)
    wide = max(component.bits for component in layout.components) > 8
    formats = {(0, 0): "rgb24", (1, 0): "rgba", (0, 1): "rgb48le", (1, 1): "rgba64le"}
    bands = np.moveaxis(picture.to_ndarray(format=formats[clear, wide]), -1, 0)
    return bands[:3], bands[3] if clear else None


def _orientation(picture: Any, path: Path) -> int:
    """Return how the picture is to be turned, in the numbers of EXIF.

    Raises:
        BadInput: by another angle than quarters of a turn.
    """
    found = picture.side_data.get("DISPLAYMATRIX")
    if found is None:
        return 1
    matrix = np.frombuffer(bytes(found), np.int32).reshape(3, 3)[:2, :2].ravel()
    orientation = ORIENTATIONS.get(tuple(np.sign(matrix).tolist()))
    if orientation is None:
        raise BadInput(f"{path}: is to be turned by {picture.rotation} degrees; turn it upright")
    return orientation


def _begin(container: Any) -> int:
    """Return the time from which the stamps count, in microseconds since 1970, UTC."""
    try:
        created = datetime.fromisoformat(container.metadata.get("creation_time", ""))
    except ValueError:
        return 0
    aware = created if created.tzinfo else created.replace(tzinfo=UTC)
    return round((aware - EPOCH).total_seconds() * 1e6)


@contextmanager
def _opened(path: Path, reading: Reading) -> Iterator[tuple[Any, Any]]:
    """Open the file and choose its first stream of pictures, but not a title picture."""
    try:
        import av
    except ModuleNotFoundError:
        raise BadInput(f"{path}: to read video, `pip install av` first") from None
    with unreadable(path, "a video"), av.open(str(path)) as container:
        title = av.stream.Disposition.attached_pic
        films = [one for one in container.streams.video if not one.disposition & title]
        if not films:
            raise BadInput(f"{path}: holds no video stream; remove it")
        reading.check_pixels(path, films[0].width * films[0].height)
        yield container, films[0]
