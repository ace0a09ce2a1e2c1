"""Frames whose future nobody knows -> the frames that follow, in the input's units and kind."""

import argparse
from collections import deque
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from convlstm.ingest import decoding, sources
from convlstm.params import loading
from convlstm.params.groups import Forecast, Values
from convlstm.patch.scaling import Scaling
from convlstm.runtime import files
from convlstm.runtime.errors import Faults
from stages import guard


def main(arguments: argparse.Namespace) -> None:
    """Forecast each sequence of FRAMES; if there are several, each into a folder of its own."""
    # here and not above: they take seconds to import, and a typo should not wait for them
    from convlstm.forecast import writers
    from convlstm.forecast.forecaster import load

    raw, out = Path(arguments.frames), Path(arguments.out)
    files.check_new_folder(out, beside=raw)
    forecaster = load(arguments.model)
    known = {**forecaster.model.reading, **asdict(forecaster.scaling)}
    params = loading.change(known, arguments.changes, Forecast, where=arguments.model)
    scaling = Scaling(**params.model_dump(include=set(Values.model_fields)))
    forecaster, faults = replace(forecaster, scaling=scaling), Faults()
    found = sources.find(raw, params, faults)
    found = [source.last(forecaster.context_frames) for source in found]
    for source, sequence in decoding.read(found, params, faults):
        context = deque(sequence, maxlen=forecaster.context_frames)
        faults.check()
        seen = np.stack(context)
        following = forecaster.predict(seen, arguments.steps, where=source.name)
        folder = out / source.name if len(found) > 1 else out
        writers.write(folder, source, seen, following, params)
        print(f"{folder}: {len(following)} frames after {source.files[-1].name}")


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line, or other arguments."""
    parser = argparse.ArgumentParser(prog="python -m stages.forecast", description=__doc__)
    parser.add_argument("frames", help="a folder of frames, a folder of such, or a file")
    parser.add_argument("out", help="a new folder")
    parser.add_argument(
        "--steps", type=int, help="frames to forecast; as in training, if not given"
    )
    parser.add_argument("--model", default="data/model.safetensors", help="default: %(default)s")
    parser.add_argument(
        "-S",
        dest="changes",
        metavar="key=value",
        action="append",
        default=[],
        help=f"where FRAMES are not read as in training: {', '.join(Forecast.model_fields)}",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    guard(lambda: main(parsed()))
