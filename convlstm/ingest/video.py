"""Readers of video files, by the optional extra `video` (PyAV)."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from convlstm.ingest.params import Reading
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame

SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm")
SIGNATURE = re.compile(
    rb"(?s:.{4})ftyp(?!heic|heix|mif1|msf1|avif|avis)|\x1a\x45\xdf\xa3|RIFF(?s:.{4})AVI "
)


def extent(path: Path, reading: Reading) -> tuple[int, int]:
    """Return the number of sequences in the file, always 1, and of frames in it.

    Not every file says how many frames it holds; then the number is 2, so that it counts as a film.
    """
    with _opened(path, reading) as container:
        return 1, max(2, container.streams.video[0].frames)


def frames(path: Path, reading: Reading, sequence: int = 0) -> Iterator[Frame]:  # noqa: ARG001 - see readers.KINDS
    """Yield the decoded frames as RGB or luminance.

    Raises:
        BadInput: the file cannot be read, PyAV is not installed, or `pixel_values` is another.
    """
    if reading.pixel_values not in ("luminance", "rgb"):
        raise BadInput(
            f"{path}: holds colours, but pixel_values = '{reading.pixel_values}'; "
            f"set it to luminance or rgb"
        )
    with _opened(path, reading) as container:
        container.streams.video[0].thread_type = "AUTO"
        for picture in container.decode(video=0):
            reading.check_pixels(path, picture.width * picture.height)
            pixels = picture.to_ndarray(format="rgb24")
            if reading.pixel_values == "luminance":  # with the same weights as for an image
                yield Frame(np.asarray(Image.fromarray(pixels).convert("L"))[None])
            else:
                yield Frame(np.moveaxis(pixels, -1, 0))


@contextmanager
def _opened(path: Path, reading: Reading) -> Iterator[Any]:
    try:
        import av
    except ModuleNotFoundError:
        raise BadInput(f"{path}: to read video, `pip install av` first") from None
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise BadInput(f"{path}: holds no video stream; remove it")
            stream = container.streams.video[0]
            reading.check_pixels(path, stream.width * stream.height)
            yield container
    except BadInput:
        raise
    except Exception as error:  # a decoder may raise anything on a file that is not a video
        reason = " ".join(str(error).split())
        raise BadInput(
            f"{path}: cannot be read as a video ({reason}); replace or remove it"
        ) from None
