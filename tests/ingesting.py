"""An ingest as the stage does it, for tests and benchmarks."""

from pathlib import Path

from convlstm.ingest import cutting, making, sources
from convlstm.ingest.params import Reading
from convlstm.runtime.errors import Faults
from convlstm.runtime.files import replacing_folder
from convlstm.storage import frames as frames_h5
from convlstm.storage import tasks
from convlstm.storage.shards import Cache


def ingest(raw: Path, folder: Path, reading: Reading, cache: Path) -> list[str]:
    """Put raw frames into shards as the stage does, and return the names of the shards."""
    faults = Faults()
    jobs = cutting.jobs(sources.find(raw, reading, faults), reading, "", cache)
    with replacing_folder(folder) as new:
        names = tasks.make(making.make, jobs, Cache(cache), new, lambda _: None, faults)
        frames_h5.write_index(new, names, reading.model_dump())
    return names
