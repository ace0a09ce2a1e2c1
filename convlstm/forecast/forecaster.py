"""Forecasts from frames whose future is unknown: `load(path).predict(frames)`.

    import convlstm

    forecaster = convlstm.load("data/model.safetensors")
    forecast = forecaster.predict(frames, steps=12)
    ensemble = forecaster.predict(frames, steps=12, members=24, seed=0)

`frames` is a NumPy array (time, channel, row, col) of physical values, as mm/h, NaN where nothing
was measured. It is at least `context_frames` long, or a batch of such; `forecast` is the same with
`steps` frames, and `ensemble` has a first axis of members before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Num

from convlstm.model import model_file
from convlstm.model.device import default_device
from convlstm.model.model_file import Model
from convlstm.patch.conversion import Conversion
from convlstm.patch.folding import tile_corners
from convlstm.patch.scaling import Scaling
from convlstm.runtime import system
from convlstm.runtime.errors import BadInput
from convlstm.storage.meaning import Channel

OVERLAP_PART = 0.25  # of a tile that its neighbour covers too, so that no seam is seen
PHYSICAL = Channel(missing=(float("nan"),))  # of numbers that are physical values
MOST_MEMBERS = 10_000  # a hundred times what ensembles have; a typo would fill the disk for days
VALUE_BYTES, CASCADE_BYTES = 16, 64
"""Of memory that a value takes at least, and a pixel of a cascade on a CPU, at each lead time."""
SEEDS = 2**63  # a seed is smaller, so that an attribute of a file can hold it

Frames = Num[np.ndarray, "*batch time channel row col"]
UnitContext = Float[np.ndarray, "batch time channel row col"]
Mask = Bool[np.ndarray, "batch time channel row col"]
UnitForecast = Float[np.ndarray, "member batch {leads} channel row col"]


class Noise(NamedTuple):
    """The noise of an ensemble; one member has none."""

    members: int
    seed: int


@dataclass(frozen=True)
class Forecaster:
    """A trained model, and the scaling of the frames that it is given."""

    model: Model
    scaling: Scaling

    @property
    def context_frames(self) -> int:
        """The number of frames that a forecast starts from; of longer input the last are used."""
        return self.model.context_frames

    def predict(
        self,
        frames: Frames,
        steps: int | None = None,
        *,
        members: int = 1,
        seed: int = 0,
        where: str = "frames",
    ) -> Float[np.ndarray, "... lead _ _ _"]:
        """Forecast the frames that follow: once without noise, or an ensemble of likely futures.

        The mean of an ensemble, its quantiles and the share of members above a threshold, which is
        its probability, are those of NumPy along the first axis.

        Args:
            frames: (time, channel, row, col) or (batch, time, channel, row, col), physical values
                of any size, at least `context_frames` of them. Missing values are NaN, or the
                missing_value of training.
            steps: the number of frames to forecast; as many as in training, if None.
            members: 1 is the forecast without noise; of more, all are equally likely.
            seed: of the noise; the same frames and seed give the same members, however many.
            where: the origin of the frames, for messages.

        Returns:
            float32, physical values inside value_range, with the size and channels of the input. If
            there are several members, they are the first axis.

        Raises:
            BadInput: there are too few frames, they have another number of channels or values out
                of range, or are smaller than the size that a peephole or lstm model is tied to; or
                members are asked of a model without noise.
            NoRoom: the memory is too small.
        """
        some = self.ensemble(frames, steps, members=members, seed=seed, where=where)
        forecast: Float[np.ndarray, "member ..."] = np.concatenate(list(some))
        return forecast[0] if members == 1 else forecast

    def ensemble(
        self,
        frames: Frames,
        steps: int | None = None,
        *,
        members: int,
        seed: int = 0,
        where: str = "frames",
        channels: Sequence[Channel] = (),
    ) -> Iterator[Float[np.ndarray, "member *batch lead _ _ _"]]:
        """Return the members of `predict`, some at a time, for want of memory for all of them.

        Args:
            frames: as for `predict`, like all others.
            steps: the number of frames to forecast.
            members: their number in all.
            seed: of the noise.
            where: the origin of the frames, for messages.
            channels: what the file of the frames says of its numbers, if they are no physical
                values.

        Raises:
            BadInput, NoRoom: as `predict`, and before the first members are asked for.
        """
        steps = self.model.forecast_frames if steps is None else steps
        self.check_options(steps, members=members, seed=seed)
        self._check(frames, steps, where)
        said = channels or (PHYSICAL,) * self.model.geometry.channels
        conversion = Conversion(self.scaling, said, frames.dtype)
        last = frames[..., -self.context_frames :, :, :, :]
        conversion.check(last, where=where)
        context, mask = conversion.to_unit(last)
        *batch, time, count, rows, cols = context.shape
        shape = (-1, time, count, rows, cols)
        a = self.model.network.architecture
        same = (rows, cols) == (self.model.geometry.rows, self.model.geometry.cols)
        draw = self._drawn if a.takes_any_size or same else self._blended
        units = draw(context.reshape(shape), mask.reshape(shape), steps, Noise(members, seed))
        clipped = (np.clip(unit, 0, 1).reshape(-1, *batch, *unit.shape[2:]) for unit in units)
        return map(self.scaling.from_unit, clipped)

    def check_options(self, steps: int | None, *, members: int, seed: int) -> None:
        """Check what is asked of a forecast, whatever its frames.

        Raises:
            BadInput: there are too few steps or members, too many members, more than one of a
                model without noise, or the seed is none.
            NoRoom: the memory is too small for so many steps of the smallest frames.
        """
        a = self.model.network.architecture
        if steps is not None and steps < 1:
            raise BadInput(f"steps = {steps}: must be at least 1")
        if members < 1:
            raise BadInput(f"members = {members}: must be at least 1")
        if members > MOST_MEMBERS:
            raise BadInput(f"members = {members}: must be at most {MOST_MEMBERS:,}")
        if members > 1 and not a.scales:
            raise BadInput(
                f"members = {members}: this model has the readout {a.readout}, which has no noise; "
                f"train one with readout = cascade"
            )
        if not 0 <= seed < SEEDS:
            raise BadInput(f"seed = {seed}: must be at least 0 and less than 2^63")
        if steps is not None:
            self._check_room(steps, 1, *[self.model.geometry.patch_size] * 2)

    def _check_room(self, steps: int, windows: int, rows: int, cols: int) -> None:
        """Check that the memory could hold a forecast, before it is filled for minutes.

        Raises:
            NoRoom: it could not, if it held nothing else.
        """
        a, device = self.model.network.architecture, next(self.model.network.parameters()).device
        pixel_bytes = VALUE_BYTES * self.model.geometry.channels
        if a.scales and device.type == "cpu":
            pixel_bytes = max(pixel_bytes, CASCADE_BYTES)
        what = f"steps = {steps}: forecasts of {rows} x {cols} pixels"
        system.check_memory(what, int(steps) * windows * rows * cols * pixel_bytes)

    def _check(self, frames: Frames, steps: int, where: str) -> None:
        time, channels, rows, cols = frames.shape[-4:]
        geometry, a = self.model.geometry, self.model.network.architecture
        if time < self.context_frames:
            raise BadInput(
                f"{where}: {time} frames, but the model starts from {self.context_frames}"
            )
        if channels != geometry.channels:
            raise BadInput(f"{where}: {channels} channels, but the model has {geometry.channels}")
        if not a.takes_any_size and (rows < geometry.rows or cols < geometry.cols):
            raise BadInput(
                f"{where}: {rows} x {cols} pixels, but this {a.cell} model is tied to "
                f"{geometry.rows} x {geometry.cols} and cannot forecast less"
            )
        self._check_room(steps, int(np.prod(frames.shape[:-4])), rows, cols)

    def _drawn(
        self, context: UnitContext, mask: Mask, leads: int, noise: Noise
    ) -> Iterator[UnitForecast]:
        """Yield forecasts of frames of any size that the model takes, some members at a time."""
        geometry = replace(self.model.geometry, rows=context.shape[-2], cols=context.shape[-1])
        seen, measured = (torch.from_numpy(geometry.fold(part)) for part in (context, mask))
        for some in self.model.ensemble(seen, measured, leads, *noise):
            yield geometry.unfold(some.numpy())

    def _blended(
        self, context: UnitContext, mask: Mask, leads: int, noise: Noise
    ) -> Iterator[UnitForecast]:
        """Yield forecasts of overlapping tiles of the training size, faded into each other."""
        geometry = self.model.geometry
        batch, _, channels, height, width = context.shape
        corners = product(_corners(height, geometry.rows), _corners(width, geometry.cols))
        areas = [
            np.s_[..., row : row + geometry.rows, col : col + geometry.cols] for row, col in corners
        ]
        fade = np.outer(_ramp(geometry.rows), _ramp(geometry.cols))
        weights = np.zeros((height, width), np.float32)
        for area in areas:
            weights[area] += fade
        tiles = [self._drawn(context[area], mask[area], leads, noise) for area in areas]
        for some in zip(*tiles, strict=True):  # as many members of each tile
            total = np.zeros((len(some[0]), batch, leads, channels, height, width), np.float32)
            for area, tile in zip(areas, some, strict=True):
                total[area] += fade * tile
            yield total / weights


def load(path: str | Path) -> Forecaster:
    """Load a model file of `dvc repro`, on the GPU when there is one; nothing in it is executed.

    Raises:
        BadInput: the file is missing or not a model of this project.
    """
    model = model_file.load(Path(path), default_device())
    return Forecaster(model, model.scaling)


def _corners(size: int, tile_size: int) -> list[int]:
    return tile_corners(size, tile_size, overlap=int(OVERLAP_PART * tile_size))


def _ramp(size: int) -> Float[np.ndarray, " size"]:
    """Return weights that rise from the edge to the middle and fall again."""
    places = np.arange(size)
    return np.minimum(places + 1, size - places).astype(np.float32)
