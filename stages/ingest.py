"""Raw frames (`raw` in params) -> data/frames.h5.

It decodes on all cores and writes as many bytes as the frames hold, uncompressed; it keeps a few
frames per core in memory, and runs as `python -m stages.ingest`.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from convlstm.ingest import decoding, sources, summary
from convlstm.ingest.params import Ingest, Reading
from convlstm.ingest.summary import Tally
from convlstm.runtime.errors import Faults
from convlstm.storage import frames, hdf5
from convlstm.storage.frames import Frame
from convlstm.storage.meaning import Channel
from stages.launch import start

FRAMES = Path("data/frames.h5")


def main(params: Ingest) -> None:
    """Stream every sequence under `raw` into one file; name every file that cannot be read."""
    raw, faults = Path(params.raw), Faults()
    counted: dict[str, Counted] = {}
    found = sources.find(raw, params, faults)
    single = all(source.part is None for source in found)
    total = sum(len(source.files) for source in found) if single else None
    with hdf5.create(FRAMES) as file, tqdm(total=total, desc="ingest", unit=" frames") as bar:
        for source, sequence in decoding.read(found, params, faults):
            counted[source.name] = Counted(sequence, bar)
            frames.append_sequence(
                file,
                source.name,
                counted[source.name],
                labels=tuple(path.name for path in source.files) if source.part is None else (),
                times=source.times,
            )
        faults.check()
        seen = [
            summary.of_sequence(name, own.frames.shape, own.times, counted[name].tally)
            for name, own in frames.sequences(file).items()
        ]
        hdf5.describe(file, reading=params.model_dump(include=set(Reading.model_fields)))
    print("\n".join(summary.table(seen)))
    others = sources.left_out(raw)
    if others:
        names = ", ".join(map(str, others[:5])) + (", ..." if len(others) > 5 else "")
        print(f"ingest: {len(others)} files or folders were left out: {names}", file=sys.stderr)


class Counted:
    """Frames on their way into the file, a step of the bar each, and a tally of them."""

    def __init__(self, items: Iterable[Frame], bar: "tqdm[Frame]") -> None:
        self.tally = Tally((), np.dtype(np.uint8))
        self._items, self._bar = items, bar

    def __iter__(self) -> Iterator[Frame]:
        for number, frame in enumerate(self._items):
            if not number:
                channels = frame.meaning.channels or (Channel(),) * len(frame.values)
                self.tally = Tally(channels, frame.values.dtype)
            self.tally.add(frame.values[None])
            yield frame
            self._bar.update()


if __name__ == "__main__":
    start(main, Ingest)
