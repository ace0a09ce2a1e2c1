"""Forecasts from frames whose future is unknown: `load(path).predict(frames)`.

    import convlstm

    forecaster = convlstm.load("data/model.safetensors")
    forecast = forecaster.predict(frames, steps=12)

`frames` is a NumPy array (time, channel, row, col) in data units, at least `context_frames` long,
or a batch of such; `forecast` is the same with `steps` frames.
"""

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
from convlstm.patch.folding import tile_corners
from convlstm.patch.scaling import Scaling
from convlstm.runtime.errors import BadInput

OVERLAP_PART = 0.25  # of a tile that its neighbour covers too, so that no seam is seen

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
        self, frames: Frames, steps: int | None = None, *, where: str = "frames"
    ) -> Float[np.ndarray, "*batch lead _ _ _"]:
        """Forecast the frames that follow, without noise.

        Args:
            frames: (time, channel, row, col) or (batch, time, channel, row, col), in data units and
                any size, at least `context_frames` of them. Missing values are marked as in
                training.
            steps: the number of frames to forecast; as many as in training, if None.
            where: the origin of the frames, for messages.

        Returns:
            float32 in data units, inside value_range, with the size and channels of the input.

        Raises:
            BadInput: there are too few frames, they have another number of channels or values out
                of range, or are smaller than the size that a peephole or lstm model is tied to.
        """
        forecast: Frames = self._forecast(frames, steps, Noise(1, 0), where)[0]
        return forecast

    def predict_ensemble(
        self, frames: Frames, steps: int | None = None, *, members: int = 24, seed: int = 0
    ) -> Float[np.ndarray, "{members} *batch lead _ _ _"]:
        """Forecast an ensemble of equally likely futures.

        Their mean, their quantiles and the share of members above a threshold, which is its
        probability, are those of NumPy along the first axis.

        Args:
            frames: as for `predict`.
            steps: as for `predict`.
            members: their number; 2 or more.
            seed: of the noise; the same frames and seed give the same members.

        Raises:
            BadInput: as `predict`, or the model has no noise.
        """
        if members < 2:
            raise BadInput(f"members = {members}: must be at least 2; `predict` forecasts one")
        if not self.model.network.architecture.scales:
            raise BadInput(
                f"members = {members}: this model has the readout "
                f"{self.model.network.architecture.readout}, which has no noise; train one with "
                f"readout = cascade"
            )
        return self._forecast(frames, steps, Noise(members, seed), "frames")

    def _forecast(
        self, frames: Frames, steps: int | None, noise: Noise, where: str
    ) -> Float[np.ndarray, "member *batch lead _ _ _"]:
        steps = self.model.forecast_frames if steps is None else steps
        self._check(frames, steps, where)
        checked = self.scaling.check(frames[..., -self.context_frames :, :, :, :], where=where)
        context, mask = self.scaling.to_unit(checked)
        shape = (-1, *context.shape[-4:])
        a = self.model.network.architecture
        same = context.shape[-2:] == (self.model.geometry.rows, self.model.geometry.cols)
        rollout = self._rollout if a.takes_any_size or same else self._blended
        unit = rollout(context.reshape(shape), mask.reshape(shape), steps, noise)
        unit = np.clip(unit, 0, 1).reshape(len(unit), *context.shape[:-4], *unit.shape[2:])
        return self.scaling.from_unit(unit)

    def _check(self, frames: Frames, steps: int, where: str) -> None:
        time, channels, rows, cols = frames.shape[-4:]
        geometry, a = self.model.geometry, self.model.network.architecture
        if steps < 1:
            raise BadInput(f"steps = {steps}: must be at least 1")
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

    def _rollout(self, context: UnitContext, mask: Mask, leads: int, noise: Noise) -> UnitForecast:
        """Forecast frames of any size that the model takes."""
        rows, cols = context.shape[-2:]
        geometry = replace(self.model.geometry, rows=rows, cols=cols)
        folded = self.model.rollout(
            torch.from_numpy(geometry.fold(context)),
            torch.from_numpy(geometry.fold(mask)),
            leads,
            *noise,
        )
        return geometry.unfold(folded.numpy())

    def _blended(self, context: UnitContext, mask: Mask, leads: int, noise: Noise) -> UnitForecast:
        """Forecast overlapping tiles of the training size, faded into each other."""
        geometry = self.model.geometry
        batch, _, channels, height, width = context.shape
        total = np.zeros((noise.members, batch, leads, channels, height, width), np.float32)
        weights = np.zeros((height, width), np.float32)
        fade = np.outer(_ramp(geometry.rows), _ramp(geometry.cols))
        for row, col in product(_corners(height, geometry.rows), _corners(width, geometry.cols)):
            area = np.s_[..., row : row + geometry.rows, col : col + geometry.cols]
            total[area] += fade * self._rollout(context[area], mask[area], leads, noise)
            weights[area] += fade
        return total / weights


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
