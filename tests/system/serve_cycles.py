"""Watches a folder for 500 frames at speed, with faults, and prints as JSON what came of it.

Usage: python serve_cycles.py MODEL [LAYOUT], in an empty folder. With LAYOUT, such as %Y/%m/%d,
frames lie in folders by date and none is removed; without, a service beside removes old ones.
"""

import json
import os
import resource
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from convlstm.forecast import making
from convlstm.forecast.params import Ensemble
from convlstm.forecast.watch import Watch
from convlstm.ingest.time_format import time_format
from tests.builders import MINUTE

FRAMES, KEPT, FULL_EACH = 500, 30, 30
START, STEP = 1_767_225_600 * 10**6, 30 * MINUTE
FORM, MADE_FORM = "R%Y%m%d%H%M", "%Y%m%dT%H%M%SZ"
RAW, OUT = Path("stream"), Path("out")
WANTED = Ensemble(members=2, seed=0, thresholds=(25.0,), quantiles=(0.5,))
LAYOUT = "".join(sys.argv[2:])
ROOM = 2000
"""Bytes that are too few for a forecast."""


def resident_bytes() -> int:
    """Return the memory of this process that is in use now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def name_of(number: int) -> Path:
    time = START + STEP * number
    folder = time_format(LAYOUT).name(time) if LAYOUT else ""
    return RAW / folder / f"{time_format(FORM).name(time)}.png"


def arrive(number: int, frames: np.ndarray) -> None:
    """Put a frame there: each 50th is lost, each 70th broken, each 90th comes twice."""
    path = name_of(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    if number % 50 == 49:
        return
    if number % 70 == 69:
        path.write_text("no picture")
        return
    Image.fromarray(frames[number % len(frames)]).save(path)
    if number % 90 == 89:
        path.with_suffix(".copy.png").write_bytes(path.read_bytes())


def cycle_on_a_full_disk(service: Watch) -> None:
    """Look where the system lets no file be as large as a forecast."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
    service.cycle()
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def main() -> None:
    """Watch, and print the forecasts that were made and the memory after 100 and 500 frames."""
    changes = (f"time_format={FORM}",)
    maker = making.load(sys.argv[1], changes, WANTED, None, "a test")
    service = Watch(maker, RAW, OUT)
    frames = np.random.default_rng(0).integers(0, 200, (7, 22, 22), np.uint8)
    resident = []
    for number in range(FRAMES):
        arrive(number, frames)
        for old in [] if LAYOUT else RAW.glob(f"{name_of(number - KEPT).stem}*"):
            old.unlink()
        service.cycle()
        if number % FULL_EACH == FULL_EACH - 1:
            cycle_on_a_full_disk(service)
        service.cycle()
        if number + 1 in (100, FRAMES):
            resident.append(resident_bytes())
    times = (time_format(MADE_FORM).parse(path.name) for path in sorted(OUT.iterdir()))
    made = [(time - START) // STEP for time in times]
    print(json.dumps({"made": made, "resident": resident}))


if __name__ == "__main__":
    main()
