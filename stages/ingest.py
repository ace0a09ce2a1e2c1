"""Raw frames (`raw` in params) -> data/frames/, shards of HDF5.

It decodes and writes on all cores, or on a cluster, about as many bytes as the raw files of a radar
hold; it keeps a few frames per core in memory. What an earlier run has decoded is taken from
`.shards/`, so a day more costs a day. It runs as `python -m stages.ingest`.
"""

import os
from pathlib import Path

from convlstm.ingest import cutting, making, sources, summary
from convlstm.ingest.params import Ingest, Reading
from convlstm.runtime import console, files, locks
from convlstm.runtime.errors import Faults
from convlstm.storage import frames, shards, tasks
from stages.launch import start
from stages.progress import bar

FRAMES = Path("data/frames")
SHARDS = Path(os.environ.get("DVC_ROOT", ""), ".shards/frames")


def main(params: Ingest) -> None:
    """Put every sequence under `raw` into shards; name every file that cannot be read."""
    raw, faults, cache = Path(params.raw), Faults(), shards.Cache(SHARDS)
    found = sources.find(raw, params, faults)
    jobs = cutting.jobs(found, params, shards.code(), SHARDS)
    left = [job.frames for job in jobs if not cache.is_noted(job.source)]
    total = None if None in left else sum(filter(None, left))
    # The cache is shared by the workspace, `--temp` and the queue.
    with locks.awaited(SHARDS.with_suffix(".lock"), say), files.replacing_folder(FRAMES) as folder:
        with bar("ingest", total, "frames") as progress:
            names = tasks.make(making.make, jobs, cache, folder, progress.update, faults)
        frames.write_index(folder, names, params.model_dump(include=set(Reading.model_fields)))
        with frames.opened(folder) as stored:
            seen = [
                summary.of_stored(own, (piece.tally for piece in own.pieces))
                for own in stored.sequences.values()
            ]
    console.say(*summary.table(seen))
    if others := sources.left_out(raw):
        named = ", ".join(map(str, others[:5])) + (", ..." if len(others) > 5 else "")
        console.say(f"ingest: {len(others)} files or folders were left out: {named}", error=True)


def say(line: str) -> None:
    """Print a line of this stage."""
    console.say(f"ingest: {line}")


if __name__ == "__main__":
    start(main, Ingest)
