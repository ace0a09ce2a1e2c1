"""Writers of a forecast: files of the input's kind, images or an array, and a film to look at."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from jaxtyping import Float, Num
from PIL import Image

from convlstm.forecast.known import Known
from convlstm.ingest import readers, times
from convlstm.ingest.time_format import time_format
from convlstm.plot import pictures
from convlstm.runtime.files import replacing
from convlstm.storage import forecasts, hdf5
from convlstm.storage.frames import RawFrame

FILM_FRAMES_PER_SECOND = 4  # ten frames of input and ten of forecast in five seconds
PALETTE_SUFFIXES = (".png", ".gif", ".tif", ".tiff", ".bmp")

Frames = Num[np.ndarray, "time channel row col"]


def write(folder: Path, known: Known, forecast: Float[np.ndarray, "lead channel row col"]) -> None:
    """Write `forecast` as files like the input's, as forecast.h5 in float32, and as a film.

    Args:
        folder: where to write.
        known: the input, which decides the kind of file, its numbers and its times.
        forecast: in physical values, not rounded.
    """
    following = times.following(known.source.times, len(forecast))
    with hdf5.create(folder / "forecast.h5") as file:
        forecasts.write_future(file, forecast, following)
    write_frames(folder, known, forecast)
    with replacing(folder / "forecast.gif") as path:
        pictures.save_forecast(
            path,
            known.physical(),
            forecast,
            quantities=known.quantities,
            frames_per_second=FILM_FRAMES_PER_SECOND,
        )


def write_frames(
    folder: Path, known: Known, forecast: Float[np.ndarray, "lead channel row col"]
) -> None:
    """Write `forecast` in the stored numbers of the input: an array for an array, else images."""
    source, params = known.source, known.params
    stored = known.conversion.to_stored(forecast)
    if readers.is_array(source.files[0]):
        with replacing(folder / "forecast.npy") as path:
            write_array(path, stored, params.raw_axes)
        return
    following = times.following(source.times, len(forecast))
    names = [f"{lead:03d}" for lead in range(1, len(stored) + 1)]
    if following is not None and params.time_format is not None:
        names = [time_format(params.time_format).name(time) for time in following]
    for name, frame in zip(names, stored, strict=True):
        with replacing(folder / f"{name}{suffix_for(frame.dtype, len(frame))}") as path:
            write_image(path, frame, like=source.files[-1])


def write_image(path: Path, frame: RawFrame, *, like: Path | None = None) -> None:
    """Write one frame as an image file, in the palette of `like` if that has one.

    Args:
        path: its suffix chooses the format; `suffix_for` returns one that can hold the frame.
        frame: as a PNG 1 channel, or 3 of bytes for RGB; as a TIFF any channels.
        like: a raw file of the same sequence.
    """
    if path.suffix.lower() == ".tif":
        colours = len(frame) == 3
        values = np.moveaxis(frame, 0, -1) if colours else frame
        about = None if len(frame) in (1, 3) else {"axes": "CYX"}
        photometric = "rgb" if colours else "minisblack"
        tifffile.imwrite(path, values, photometric=photometric, metadata=about)
        return
    image = Image.fromarray(frame[0] if len(frame) == 1 else np.moveaxis(frame, 0, -1))
    if like is not None and like.suffix.lower() in PALETTE_SUFFIXES and image.mode == "L":
        with Image.open(like) as model:
            if model.mode == "P":
                image.putpalette(model.getpalette("RGB") or [])
    image.save(path)


def suffix_for(dtype: np.dtype[Any], channels: int = 1) -> str:
    """Return the suffix of the image format that keeps numbers of this type as they are."""
    png = {1: (np.uint8, np.uint16), 3: (np.uint8,)}
    return ".png" if dtype in png.get(channels, ()) else ".tif"


def write_array(path: Path, frames: Frames, raw_axes: str | None) -> None:
    """Write one sequence as .npy, with its axes in the order of `raw_axes`.

    Axis T comes first where `raw_axes` has none; an axis C of one channel is left out where it has
    none.
    """
    axes = (raw_axes or "HW").replace("N", "")
    axes = axes if "T" in axes else f"T{axes}"
    if "C" not in axes and frames.shape[1] == 1:
        frames = frames[:, 0]
        np.save(path, frames.transpose(["THW".index(axis) for axis in axes]))
    else:
        np.save(path, frames.transpose(["TCHW".index(axis) for axis in axes]))
