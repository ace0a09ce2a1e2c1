"""The making of one forecast: from the last frames of a sequence to files on the disk."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from convlstm.forecast import forecaster as forecasting
from convlstm.forecast import members, outputs, writers
from convlstm.forecast.forecaster import Forecaster
from convlstm.forecast.known import Known
from convlstm.forecast.params import Ensemble, Forecast
from convlstm.ingest import times
from convlstm.ingest.sources import Source
from convlstm.params import loading
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame
from convlstm.storage.meaning import Meaning
from convlstm.version import VERSION


@dataclass(frozen=True)
class Maker:
    """A loaded model, with the options by which it forecasts.

    `params` say how frames are read, `steps` how many are forecast (None is as in training), and
    `history` is the command line, which a NetCDF file repeats.
    """

    forecaster: Forecaster
    params: Forecast
    wanted: Ensemble
    steps: int | None
    history: str

    @property
    def context_frames(self) -> int:
        """The number of frames that a forecast starts from."""
        return self.forecaster.context_frames

    def known(self, source: Source, context: Sequence[Frame]) -> Known:
        """Return the input of a forecast.

        Args:
            source: the files of these frames.
            context: the last frames of a sequence, all of one shape.

        Raises:
            BadInput: a frame is missing between them, or their unit is not that of training.
        """
        numbers = np.stack([frame.values for frame in context])
        meaning = _meaning(context[-1].meaning, self.forecaster, source.name)
        return Known(_timed(source, context), numbers, self.params, meaning)

    def write(self, target: Path, known: Known) -> str:
        """Forecast one sequence into a NetCDF file, or a folder; returns a line that says so."""
        some = self.forecaster.ensemble(
            known.context,
            self.steps,
            members=self.wanted.members,
            seed=self.wanted.seed,
            where=known.source.name,
            channels=known.channels,
        )
        if outputs.is_netcdf(target):
            leads = len(members.write(target, known, some, self.wanted, self._about))
        else:
            if self.wanted.members == 1:
                (forecast,) = next(some)
            else:
                own, path = target / "members", target / "forecast.nc"
                forecast = members.write(path, known, some, self.wanted, self._about, folder=own)
            writers.write(target, known, forecast)
            leads = len(forecast)
        many = f"{self.wanted.members} members of " if self.wanted.members > 1 else ""
        return f"{many}{leads} frames after {known.source.files[-1].name}"

    @cached_property
    def _about(self) -> Mapping[str, str | int]:
        """The global attributes of a NetCDF file, without a date: equal runs, equal bytes."""
        a = self.forecaster.model.network.architecture
        layers = ", ".join(map(str, a.hidden_channels))
        about: dict[str, str | int] = {
            "title": "Forecast of frames whose future is unknown",
            "source": f"convlstm {VERSION}: {a.cell} of {layers} hidden channels, "
            f"readout {a.readout}",
            "history": self.history.encode(errors="replace").decode(),
            "comment": "Values are physical, and rows and columns are those of the input. "
            "Missing are the pixels that no frame of the input has measured.",
        }
        return about | ({"seed": self.wanted.seed} if self.wanted.members > 1 else {})


def load(
    model: str, changes: Sequence[str], wanted: Ensemble, steps: int | None, history: str
) -> Maker:
    """Load a model file, and check the options against it.

    Args:
        model: the path of the file.
        changes: `key=value`, where frames are not read as in training.
        wanted: how many futures, and what is told of them.
        steps: the number of frames to forecast; as in training, if None.
        history: the command line.

    Raises:
        BadInput: it is no model, or an option does not fit it.
        NoRoom: the memory is too small for so many steps.
    """
    found = forecasting.load(model)
    found.check_options(steps, members=wanted.members, seed=wanted.seed)
    trained = {**found.model.reading, **asdict(found.scaling)}
    params = loading.change(trained, changes, Forecast, where=model)
    scaling = params.scaling(found.model.geometry.channels)
    wanted.check_range(scaling.value_range)
    return Maker(replace(found, scaling=scaling), params, wanted, steps, history)


def _timed(source: Source, context: Sequence[Frame]) -> Source:
    """Return the source with the times inside its files, if its names carry none.

    Raises:
        BadInput: there is a gap between the frames.
    """
    inside = [frame.time for frame in context if frame.time is not None]
    if source.times is not None or not inside:
        return source
    if len(times.runs(np.array(inside, np.int64), len(inside))) > 1:
        raise BadInput(f"{source.name}: a frame is missing among the last {len(inside)}")
    return replace(source, times=tuple(inside))


def _meaning(said: Meaning, forecaster: Forecaster, name: str) -> Meaning:
    """Return what a file says of its numbers; names and units are those of training if it has none.

    Raises:
        BadInput: its units are not those of training.
    """
    quantities = forecaster.model.quantities
    trained = [own for own in quantities for _ in range(own.first, own.stop)]
    channels = said.of_each(len(trained))
    if not any(own.name or own.unit for own in channels) and len(channels) == len(trained):
        pairs = zip(channels, trained, strict=True)
        named = (channel._replace(name=own.name, unit=own.unit) for channel, own in pairs)
        said = replace(said, channels=tuple(named))
    for channel, own in zip(said.channels, trained, strict=False):  # the forecaster counts them
        if channel.unit and own.unit and channel.unit != own.unit:
            raise BadInput(
                f"{name}: its unit is {channel.unit!r}, but the model was trained on {own.unit!r}; "
                f"give frames in {own.unit!r}"
            )
    return said
