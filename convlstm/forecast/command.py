"""The command that forecasts from frames on the disk."""

import argparse
import shlex
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from convlstm.forecast import outputs, watch
from convlstm.forecast.outputs import Job
from convlstm.forecast.params import Ensemble, Forecast
from convlstm.ingest import decoding, sources
from convlstm.params import loading
from convlstm.runtime import console, exits
from convlstm.runtime.errors import BadInput, Faults

if TYPE_CHECKING:
    from convlstm.forecast.making import Maker

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
    command = serve if parsed.watch or parsed.newest else forecast_all
    exits.run(lambda: command(parsed))


def forecast_all(arguments: argparse.Namespace) -> None:
    """Forecast each sequence of FRAMES; if there are several, each into a folder of its own.

    Raises:
        BadInput: some cannot be forecast; all of them are named, and the others are written.
    """
    raw, out = Path(arguments.frames), Path(arguments.out)
    outputs.check(out, beside=raw, overwrite=arguments.overwrite)
    maker, faults = _maker(arguments), Faults()
    origin = outputs.Origin(
        outputs.digest(arguments.model), maker.steps, maker.wanted, maker.params
    )
    jobs = _jobs(raw, out, origin, faults, overwrite=arguments.overwrite)
    due = list(_due(jobs, maker.context_frames, faults))
    read = decoding.read([job.source for job in due], maker.params, faults)
    for job, (source, sequence) in zip(due, read, strict=True):
        before = faults.count
        context = deque(sequence, maxlen=maker.context_frames)
        if faults.count > before:
            continue
        with faults.collected():
            known = maker.known(source, context)
            with job.writing() as path:
                line = maker.write(path, known)
            console.say(f"{job.target}: {line}")
    faults.check()


def serve(arguments: argparse.Namespace) -> None:
    """Forecast from the newest frames of the folder FRAMES, once or as they arrive.

    Raises:
        BadInput: an option does not fit, or there is nothing to forecast from once.
    """
    if arguments.overwrite:
        raise BadInput("--overwrite: what is there is left alone by --newest and --watch")
    folder, out = Path(arguments.frames), Path(arguments.out)
    watch.check_places(folder, out)
    watch.run(_maker(arguments), folder, out, once=not arguments.watch)


def _maker(arguments: argparse.Namespace) -> "Maker":
    """Return the model with the options, once these are checked."""
    wanted = _ensemble(arguments)
    # Imported here, because it takes seconds and a typo should not wait for it.
    from convlstm.forecast import making

    return making.load(
        arguments.model, arguments.changes, wanted, arguments.steps, arguments.history
    )


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


def _ensemble(arguments: argparse.Namespace) -> Ensemble:
    """Return the options about members, checked."""
    texts = {key: getattr(arguments, key) for key in NO_ENSEMBLE}
    given = [
        f"{key}=[{text}]" if isinstance(NO_ENSEMBLE[key], list) else f"{key}={text}"
        for key, text in texts.items()
        if text is not None
    ]
    return loading.change(NO_ENSEMBLE, given, Ensemble, where="command line")


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
    _add_serving(parser)
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


def _add_serving(parser: argparse.ArgumentParser) -> None:
    """Add the options for a folder to which frames come."""
    serving = parser.add_mutually_exclusive_group()
    serving.add_argument(
        "--newest",
        action="store_true",
        help="forecast from the newest frames of a folder into OUT/TIME.nc, unless that is there",
    )
    serving.add_argument(
        "--watch", action="store_true", help="do so whenever a frame arrives, until Ctrl-C"
    )
