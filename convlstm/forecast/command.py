"""The command that forecasts from frames on the disk."""

import argparse
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from convlstm.forecast.params import Forecast
from convlstm.ingest import decoding, sources
from convlstm.params import loading
from convlstm.runtime import exits, files
from convlstm.runtime.errors import Faults


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
    exits.run(lambda: forecast_all(parsed))


def forecast_all(arguments: argparse.Namespace) -> None:
    """Forecast each sequence of FRAMES; if there are several, each into a folder of its own."""
    # Imported here, because they take seconds and a typo should not wait for them.
    from convlstm.forecast import writers
    from convlstm.forecast.forecaster import load

    raw, out = Path(arguments.frames), Path(arguments.out)
    files.check_new_folder(out, beside=raw)
    forecaster = load(arguments.model)
    known = {**forecaster.model.reading, **asdict(forecaster.scaling)}
    params = loading.change(known, arguments.changes, Forecast, where=arguments.model)
    forecaster, faults = replace(forecaster, scaling=params.scaling()), Faults()
    found = sources.find(raw, params, faults)
    found = [source.last(forecaster.context_frames) for source in found]
    for source, sequence in decoding.read(found, params, faults):
        context = deque(sequence, maxlen=forecaster.context_frames)
        faults.check()
        seen = np.stack(context)
        future = forecaster.predict(seen, arguments.steps, where=source.name)
        folder = out / source.name if len(found) > 1 else out
        writers.write(folder, source, seen, future, params)
        print(f"{folder}: {len(future)} frames after {source.files[-1].name}")


def _parser(prog: str, default_model: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description="Forecast the frames that follow frames on the disk."
    )
    if default_model is None:
        parser.add_argument("model", help="a model file, such as data/model.safetensors")
    else:
        parser.add_argument("--model", default=default_model, help="default: %(default)s")
    parser.add_argument("frames", help="a folder of frames, a folder of such, or a file")
    parser.add_argument("out", help="a new folder")
    parser.add_argument(
        "--steps", type=int, help="frames to forecast; as in training, if not given"
    )
    parser.add_argument(
        "-S",
        dest="changes",
        metavar="key=value",
        action="append",
        default=[],
        help=f"where FRAMES are not read as in training: {', '.join(Forecast.model_fields)}",
    )
    return parser
