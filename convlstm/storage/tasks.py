"""Tasks that each make a shard or a few: here if there is one, else in processes, or on a cluster.

HDF5 has one lock for a whole process, so threads do not write side by side, but processes do. With
`CONVLSTM_DASK=tcp://host:port` the tasks run on the workers of a cluster of dask, which see the
same files by the same paths, as they do when they are started in the folder of the repository. A
task that is run twice makes the same bytes, so it does not matter which one comes last.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from convlstm.runtime import signals, system
from convlstm.runtime.errors import BadInput, Faults, NoRoom
from convlstm.storage.shards import Cache

CLUSTER = "CONVLSTM_DASK"


class Made(NamedTuple):
    """The name of a shard in the cache, or why there is none, and the steps that it took.

    `others` are shards that follow it, where a job makes several.
    """

    name: str
    faults: Faults
    steps: int
    others: tuple[str, ...] = ()


@runtime_checkable
class Job(Protocol):
    """The makings of one shard, which can travel to another process."""

    @property
    def source(self) -> str:
        """The key under which the cache notes the shard."""


JobT = TypeVar("JobT", bound=Job)
JobT_contra = TypeVar("JobT_contra", bound=Job, contravariant=True)


@runtime_checkable
class Work(Protocol[JobT_contra]):
    """A function that makes shards; another process finds it by its name in its module."""

    def __call__(self, job: JobT_contra, /, *, threads: int, tick: Callable[[int], object]) -> Made:
        """Make one shard on so many threads; call `tick` with the steps that are done."""


def make(
    work: Work[JobT],
    jobs: Sequence[JobT],
    cache: Cache,
    folder: Path,
    tick: Callable[[int], object],
    faults: Faults,
) -> list[str]:
    """Put the shards of jobs into a folder; those that the cache does not know are made.

    Args:
        work: makes one.
        jobs: in the order of the data.
        cache: of the shards.
        folder: a new one, into which they are linked.
        tick: called with the steps that are done.
        faults: of the work before, beside which those of all jobs are raised.

    Returns:
        The names of the shards in the order of the jobs.

    Raises:
        BadInput: there are faults; what the other jobs have made is kept.
    """
    names = {job.source: cache.find(job.source) for job in jobs}
    missing = [job for job in jobs if not names[job.source]]
    found: dict[str, Made] = {}
    with closing(run(work, missing, tick)) as done:
        for job, made in done:
            found[job.source] = made
    for job in missing:
        faults.add_all(found[job.source].faults)
    faults.check()
    for source, made in found.items():
        names[source] = made.name, *made.others
    every = [name for job in jobs for name in names[job.source]]
    for name in dict.fromkeys(every):
        cache.link(name, folder)
    cache.forget_but(every)
    return every


def run(
    work: Work[JobT], jobs: Sequence[JobT], tick: Callable[[int], object]
) -> Generator[tuple[JobT, Made], None, None]:
    """Yield each job with what it has made, as soon as that is done.

    Raises:
        NoRoom: the system has ended a process.
        BadInput: the cluster cannot be reached, or dask is not installed.
    """
    address = os.environ.get(CLUSTER)
    if not jobs:
        return
    if not address and min(len(jobs), system.cores()) == 1:
        for job in jobs:
            yield job, work(job, threads=system.cores(), tick=tick)
        return
    for job, made in _on_cluster(address, work, jobs) if address else _in_processes(work, jobs):
        tick(made.steps)
        yield job, made


def _in_processes(work: Work[JobT], jobs: Sequence[JobT]) -> Iterator[tuple[JobT, Made]]:
    count = min(system.cores(), len(jobs))
    # A fork would copy the locks that our threads hold; these processes begin anew.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin)
    try:
        futures = {
            pool.submit(work, job, threads=max(1, system.cores() // count), tick=_nothing): job
            for job in jobs
        }
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        raise NoRoom(
            "the system has ended a process that made a part of the data, mostly because the "
            "memory is too small; what is done is kept: run again, on fewer cores (taskset -c 0)"
        ) from None
    finally:  # also where we were stopped
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        pool.shutdown(wait=True, cancel_futures=True)  # which joins them; two joins would race


def _begin() -> None:
    """Make a process ready: it hears of a stop from its parent, and ends when that was killed."""
    for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all of us
        signal.signal(number, signal.SIG_IGN)
    signals.end_with_parent()


def _nothing(_: int) -> None:
    """Count nothing, for the parent counts what is done."""


def _on_cluster(
    address: str, work: Work[JobT], jobs: Sequence[JobT]
) -> Iterator[tuple[JobT, Made]]:
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise BadInput(
            f"{CLUSTER} = {address!r}: install the extra `cluster` (pip install distributed) first"
        ) from error
    try:
        client = distributed.Client(address)
    except (OSError, ValueError) as error:
        raise BadInput(f"{CLUSTER} = {address!r}: no scheduler of dask answers ({error})") from None
    with client:
        futures = {
            client.submit(work, job, threads=1, tick=_nothing, pure=False): job for job in jobs
        }
        for future in distributed.as_completed(futures):
            yield futures[future], future.result()
