"""The command that forecasts from frames on the disk."""

import argparse
import shlex
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convlstm.forecast import outputs
from convlstm.forecast.outputs import Job
from convlstm.forecast.params import Ensemble, Forecast
from convlstm.ingest import decoding, sources, times
from convlstm.ingest.sources import Source
from convlstm.params import loading
from convlstm.runtime import console, exits
from convlstm.runtime.errors import BadInput, Faults
from convlstm.storage.frames import Frame
from convlstm.storage.meaning import Meaning
from convlstm.version import VERSION

if TYPE_CHECKING:
    from convlstm.forecast.forecaster import Forecaster
    from convlstm.forecast.known import Known

NO_ENSEMBLE = {"members": 1, "seed": 0, "thresholds": [], "quantiles": []}


def main() -> None:
    """Run the installed command `convlstm-forecast MODEL FRAMES OUT`."""
    run(sys.argv[1:], prog="convlstm-forecast")


def run(arguments: Sequence[str], *, prog: str, default_model: str | None = None) -> None:
    """Parse a command line and forecast; ends the process with a status where it fails.

    Args:
        arguments: the words of the command line.
        prog: the name of the command, for its help.
        default_model: the model file, if the command line does not begin with one.
    """
    parsed = _parser(prog, default_model).parse_args(arguments)
    parsed.history = f"{prog} {shlex.join(arguments)}"
    exits.run(lambda: forecast_all(parsed))


def forecast_all(arguments: argparse.Namespace) -> None:
    """Forecast each sequence of FRAMES; if there are several, each into a folder of its own.

    Raises:
        BadInput: some cannot be forecast; all of them are named, and the others are written.
    """
    raw, out = Path(arguments.frames), Path(arguments.out)
    outputs.check(out, beside=raw, overwrite=arguments.overwrite)
    wanted = _ensemble(arguments)
    # Imported here, because they take seconds and a typo should not wait for them.
    from convlstm.forecast.forecaster import load
    from convlstm.forecast.known import Known

    forecaster = load(arguments.model)
    trained = {**forecaster.model.reading, **asdict(forecaster.scaling)}
    params = loading.change(trained, arguments.changes, Forecast, where=arguments.model)
    scaling = params.scaling(forecaster.model.geometry.channels)
    wanted.check_range(scaling.value_range)
    forecaster, faults = replace(forecaster, scaling=scaling), Faults()
    origin = outputs.Origin(outputs.digest(arguments.model), arguments.steps, wanted, params)
    jobs = _jobs(raw, out, origin, faults, overwrite=arguments.overwrite)
    due = list(_due(jobs, forecaster.context_frames, faults))
    forecast = partial(_forecast, forecaster=forecaster, wanted=wanted, arguments=arguments)
    read = decoding.read([job.source for job in due], params, faults)
    for job, (source, sequence) in zip(due, read, strict=True):
        before = faults.count
        context = deque(sequence, maxlen=forecaster.context_frames)
        if faults.count > before:
            continue
        with faults.collected():
            numbers = np.stack([frame.values for frame in context])
            meaning = _meaning(context[-1].meaning, forecaster, source.name)
            known = Known(_timed(source, context), numbers, params, meaning)
            with job.writing() as path:
                leads = forecast(path, known)
            many = f"{wanted.members} members of " if wanted.members > 1 else ""
            console.say(f"{job.target}: {many}{leads} frames after {source.files[-1].name}")
    faults.check()


def _jobs(
    raw: Path, out: Path, origin: outputs.Origin, faults: Faults, *, overwrite: bool
) -> list[Job]:
    """Return a job for each sequence of FRAMES.

    Raises:
        BadInput: they cannot all be written to `out`.
    """
    found = sources.find(raw, origin.params, faults)
    if outputs.is_netcdf(out):  # which holds one sequence
        faults.check()
    alone = len(found) == 1 and not faults.count  # one that cannot be read now may come back
    return outputs.jobs(out, found, origin, overwrite=overwrite, alone=alone)


def _due(jobs: Iterable[Job], context_frames: int, faults: Faults) -> Iterator[Job]:
    """Yield the jobs that are still to be done, each with the last frames of its sequence."""
    for job in jobs:
        if job.source.faulty:
            continue
        with faults.collected():
            last = replace(job, source=job.source.last(context_frames))
            if last.is_done():
                console.say(f"{last.target}: is complete already")
            else:
                yield last


def _forecast(
    target: Path,
    known: "Known",
    *,
    forecaster: "Forecaster",
    wanted: Ensemble,
    arguments: argparse.Namespace,
) -> int:
    """Forecast one sequence into a NetCDF file, or a folder; returns the number of frames."""
    from convlstm.forecast import members, writers

    some = forecaster.ensemble(
        known.context,
        arguments.steps,
        members=wanted.members,
        seed=wanted.seed,
        where=known.source.name,
        channels=known.channels,
    )
    about = _about(forecaster, wanted, arguments.history)
    if outputs.is_netcdf(target):
        return len(members.write(target, known, some, wanted, about))
    if wanted.members == 1:
        (forecast,) = next(some)
    else:
        own = target / "members"
        path = target / "forecast.nc"
        forecast = members.write(path, known, some, wanted, about, folder=own)
    writers.write(target, known, forecast)
    return len(forecast)


def _timed(source: Source, context: Iterable[Frame]) -> Source:
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


def _meaning(said: Meaning, forecaster: "Forecaster", name: str) -> Meaning:
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


def _ensemble(arguments: argparse.Namespace) -> Ensemble:
    """Return the options about members, checked."""
    texts = {key: getattr(arguments, key) for key in NO_ENSEMBLE}
    given = [
        f"{key}=[{text}]" if isinstance(NO_ENSEMBLE[key], list) else f"{key}={text}"
        for key, text in texts.items()
        if text is not None
    ]
    return loading.change(NO_ENSEMBLE, given, Ensemble, where="command line")


def _about(forecaster: "Forecaster", wanted: Ensemble, history: str) -> dict[str, str | int]:
    """Return the global attributes of a NetCDF file, without a date: equal runs, equal bytes."""
    a = forecaster.model.network.architecture
    layers = ", ".join(map(str, a.hidden_channels))
    about: dict[str, str | int] = {
        "title": "Forecast of frames whose future is unknown",
        "source": f"convlstm {VERSION}: {a.cell} of {layers} hidden channels, readout {a.readout}",
        "history": history.encode(errors="replace").decode(),
        "comment": "Values are physical, and rows and columns are those of the input. "
        "Missing are the pixels that no frame of the input has measured.",
    }
    return about | ({"seed": wanted.seed} if wanted.members > 1 else {})


def _parser(prog: str, default_model: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description="Forecast the frames that follow frames on the disk."
    )
    if default_model is None:
        parser.add_argument("model", help="a model file, such as data/model.safetensors")
    else:
        parser.add_argument("--model", default=default_model, help="default: %(default)s")
    parser.add_argument("frames", help="a folder of frames, a folder of such, or a file")
    parser.add_argument("out", help="a new folder, or a new NetCDF file that ends in .nc")
    parser.add_argument(
        "--steps", type=int, help="frames to forecast; as in training, if not given"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace forecasts that are in OUT already"
    )
    for key, words in {
        "members": "equally likely futures, of a model with noise; one forecast, if not given",
        "seed": "of the noise; 0, if not given",
        "thresholds": "values, such as 25,64: the probability that each is reached",
        "quantiles": "shares of the members that lie below a value, such as 0.1,0.5,0.9",
    }.items():
        parser.add_argument(f"--{key}", help=words)
    parser.add_argument(
        "-S",
        dest="changes",
        metavar="key=value",
        action="append",
        default=[],
        help=f"where FRAMES are not read as in training: {', '.join(Forecast.model_fields)}",
    )
    return parser
