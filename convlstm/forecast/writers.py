"""A forecast as files of its input's kind, images or an array; and as a film to look at."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from convlstm.ingest import arrays, images, readers, times
from convlstm.ingest.sources import Source
from convlstm.params.groups import Forecast
from convlstm.patch.scaling import Scaling
from convlstm.plot import pictures
from convlstm.runtime.files import replacing
from convlstm.storage import hdf5, store

FILM_FRAMES_PER_SECOND = 4  # ten frames of input and ten of forecast in five seconds

Frames = Num[np.ndarray, "time channel row col"]


def write(
    folder: Path,
    source: Source,
    context: Frames,
    forecast: Float[np.ndarray, "lead channel row col"],
    params: Forecast,
) -> None:
    """Write `forecast` in the type of `context`, as forecast.h5 in float32, and as a film.

    Args:
        folder: where to.
        source: of the context; decides the kind of file and, with `params`, the times.
        context: what the forecast was made from, in data units.
        forecast: in data units, not rounded.
        params: of the input.
    """
    following = times.following(source.times, len(forecast))
    with hdf5.create(folder / "forecast.h5") as file:
        store.write_steps(file, forecast, following)
    rounded = as_type(forecast, context.dtype)
    if readers.is_array(source.files[0]):
        with replacing(folder / "forecast.npy") as path:
            arrays.write(path, rounded, params.raw_axes)
    else:
        names = [f"{lead:03d}" for lead in range(1, len(rounded) + 1)]
        if following is not None and params.time_format is not None:
            names = [times.name(time, params.time_format) for time in following]
        for name, frame in zip(names, rounded, strict=True):
            with replacing(folder / f"{name}{images.suffix_for(frame.dtype)}") as path:
                images.write(path, frame, like=source.files[-1])
    missing = Scaling(params.value_range, params.missing_value).is_missing(context)
    with replacing(folder / "forecast.gif") as path:
        pictures.save_forecast(
            path,
            np.where(missing, np.float32("nan"), context.astype(np.float32)),
            forecast,
            value_range=params.value_range,
            frames_per_second=FILM_FRAMES_PER_SECOND,
        )


def as_type(values: Float[np.ndarray, "*shape"], dtype: np.dtype[Any]) -> Num[np.ndarray, "*shape"]:
    """Values in the type of the input: whole numbers are rounded, and kept inside what it holds."""
    if dtype.kind not in "ui":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values.astype(np.float64)), limits.min, limits.max).astype(dtype)
