"""Raw frames (`raw` in params) -> data/frames.h5.

It decodes on all cores and writes about as many bytes as the raw files of a radar hold; it keeps a
few frames per core in memory, and runs as `python -m stages.ingest`.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from convlstm.ingest import decoding, sources, summary
from convlstm.ingest.params import Ingest, Reading
from convlstm.runtime import console
from convlstm.runtime.errors import Faults
from convlstm.storage import frames, hdf5
from stages.launch import start
from stages.progress import bar

FRAMES = Path("data/frames.h5")


def main(params: Ingest) -> None:
    """Stream every sequence under `raw` into one file; name every file that cannot be read."""
    raw, faults = Path(params.raw), Faults()
    tallied: dict[str, summary.Tallied] = {}
    found = sources.find(raw, params, faults)
    single = all(source.part is None for source in found)
    total = sum(len(source.files) for source in found) if single else None
    with hdf5.create(FRAMES) as file, bar("ingest", total, "frames") as progress:
        for source, sequence in decoding.read(found, params, faults):
            if source.faulty:  # its names may be no text, but its files are looked at, too
                sum(1 for _ in sequence)
                continue
            tallied[source.name] = summary.Tallied(sequence)
            frames.append_sequence(
                file,
                source.name,
                _counted(tallied[source.name], progress.update),
                labels=tuple(path.name for path in source.files) if source.part is None else (),
                times=source.times,
            )
        faults.check()
        seen = [
            summary.of_sequence(name, own.frames.shape, own.times, tallied[name].tally)
            for name, own in frames.sequences(file).items()
        ]
        hdf5.describe(file, reading=params.model_dump(include=set(Reading.model_fields)))
    console.say(*summary.table(seen))
    if others := sources.left_out(raw):
        names = ", ".join(map(str, others[:5])) + (", ..." if len(others) > 5 else "")
        console.say(f"ingest: {len(others)} files or folders were left out: {names}", error=True)


def _counted(items: Iterable[frames.Frame], count: Callable[[], object]) -> Iterator[frames.Frame]:
    for item in items:
        yield item
        count()


if __name__ == "__main__":
    start(main, Ingest)
