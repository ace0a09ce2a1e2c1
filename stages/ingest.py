"""Raw frames (`raw` in params) -> data/frames.h5."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from convlstm.ingest import decoding, sources
from convlstm.params.groups import Ingest, Reading
from convlstm.runtime.errors import Faults
from convlstm.storage import hdf5, store
from stages import start

FRAMES = Path("data/frames.h5")
T = TypeVar("T")


def main(params: Ingest) -> None:
    """Stream every sequence under `raw` into one file; name every file that is at fault."""
    raw, faults = Path(params.raw), Faults()
    found = sources.find(raw, params, faults)
    single = all(source.part is None for source in found)
    total = sum(len(source.files) for source in found) if single else None
    with hdf5.create(FRAMES) as file, tqdm(total=total, desc="ingest", unit=" frames") as bar:
        for source, sequence in decoding.read(found, params, faults):
            store.append_sequence(
                file,
                source.name,
                _counted(sequence, bar),
                labels=tuple(path.name for path in source.files) if source.part is None else (),
                times=source.times,
            )
        faults.check()
        hdf5.describe(file, reading=params.model_dump(include=set(Reading.model_fields)))
    others = sources.passed_over(raw)
    if others:
        names = ", ".join(path.name for path in others[:5])
        print(f"ingest: passed over {len(others)} files of other kinds: {names}", file=sys.stderr)


def _counted(items: Iterable[T], bar: "tqdm[T]") -> Iterator[T]:
    for item in items:
        yield item
        bar.update()


if __name__ == "__main__":
    start(main, Ingest)
