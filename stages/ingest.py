"""Raw frames (`raw` in params) -> data/frames.h5."""

from pathlib import Path

from tqdm import tqdm

from convlstm import frames, store
from convlstm.params import Ingest
from stages import start

FRAMES = Path("data/frames.h5")


def main(params: Ingest) -> None:
    """Stream every sequence under `raw` into one file."""
    sources = frames.find(Path(params.raw))
    total = sum(len(source.files) for source in sources)
    with store.create(FRAMES) as file, tqdm(total=total, desc="ingest", unit=" frames") as bar:
        for source in sources:
            store.append_sequence(file, source.name, frames.read(source, params.pixel_values))
            bar.update(len(source.files))


if __name__ == "__main__":
    start(main, Ingest)
