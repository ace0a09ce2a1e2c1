"""A NetCDF file of a forecast: members as they are drawn, and then what is told of them together.

Memory holds a few members at a time, and one lead time of all of them.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from convlstm.forecast import writers
from convlstm.forecast.known import Known
from convlstm.forecast.params import Ensemble
from convlstm.ingest import times
from convlstm.runtime import system
from convlstm.storage import netcdf

Forecasts = Float[np.ndarray, "member lead channel row col"]
OfMembers = Float[np.ndarray, "member channel row col"]


def write(
    path: Path,
    known: Known,
    parts: Iterator[Forecasts],
    wanted: Ensemble,
    about: Mapping[str, str | int],
    *,
    folder: Path | None = None,
) -> Float[np.ndarray, "lead channel row col"]:
    """Write the members as they come, then their mean, probabilities and quantiles.

    Args:
        path: of the NetCDF file.
        known: the input, whose pixels that were never measured are missing in the file.
        parts: some members at a time, `wanted.members` in all; 1 is a forecast without noise.
        wanted: what is told of the members.
        about: global attributes of the file.
        folder: where to write each member in the kind of the input, in a folder of its own.

    Returns:
        The mean, with numbers at missing pixels too.
    """
    first = next(parts)
    _check_room(first[0, 0], wanted)
    mean = np.zeros(first.shape[1:])
    digits = max(2, len(str(wanted.members)))
    hidden = known.never_measured()
    with netcdf.create(path, _axes(mean.shape, known, wanted), about) as file:
        for number, member in enumerate(chain.from_iterable(chain([first], parts))):
            mean += member / wanted.members
            if wanted.members > 1:
                file.write("members", _marked(member, hidden), at=(number,))
            if folder is not None:
                own = folder / f"{number + 1:0{digits}d}"
                writers.write_frames(own, known, member)
        name = "mean" if wanted.members > 1 else "forecast"
        file.write(name, _marked(mean, hidden), at=(slice(None),))
        if wanted.thresholds or wanted.quantiles:
            _write_statistics(file, len(mean), wanted)
    return mean.astype(np.float32)


def probabilities(
    members: OfMembers, thresholds: tuple[float, ...]
) -> Float[np.ndarray, "threshold channel row col"]:
    """Return the share of members at or above each threshold, as scores count events."""
    shares = [(members >= np.float32(threshold)).mean(axis=0) for threshold in thresholds]
    return np.where(np.isnan(members[0]), np.nan, np.stack(shares))


def quantiles(
    members: OfMembers, shares: tuple[float, ...]
) -> Float[np.ndarray, "quantile channel row col"]:
    """Return the values below which these shares of the members lie, as NumPy interpolates them."""
    return np.asarray(np.quantile(members, shares, axis=0))


def _check_room(frame: Float[np.ndarray, "channel row col"], wanted: Ensemble) -> None:
    """Check that the memory can hold one lead time of all members, if they are told of together.

    Raises:
        NoRoom: it cannot.
    """
    if wanted.thresholds or wanted.quantiles:
        rows, cols = frame.shape[-2:]
        what = f"members = {wanted.members}: probabilities and quantiles of {rows} x {cols} pixels"
        system.check_memory(what, wanted.members * frame.nbytes)


def _write_statistics(file: netcdf.New, leads: int, wanted: Ensemble) -> None:
    for lead in range(leads):
        members, at = file.members(lead), (slice(None), lead)
        if wanted.thresholds:
            values = probabilities(members, wanted.thresholds)
            file.write("probability_of_exceedance", values, at=at)
        if wanted.quantiles:
            file.write("quantiles", quantiles(members, wanted.quantiles), at=at)


def _marked(
    forecast: Float[np.ndarray, "lead channel row col"], hidden: Bool[np.ndarray, "channel row col"]
) -> Float[np.ndarray, "lead channel row col"]:
    return np.where(hidden, np.float32("nan"), forecast)


def _axes(shape: tuple[int, ...], known: Known, wanted: Ensemble) -> netcdf.Axes:
    (leads, channels, rows, cols), source = shape, known.source
    following = times.following(source.times, leads)
    return netcdf.Axes(
        (leads, channels, rows, cols),
        wanted.members,
        wanted.thresholds,
        wanted.quantiles,
        following,
        source.times[-1] if source.times and following else None,
        known.channels,
        known.meaning.grid,
    )
