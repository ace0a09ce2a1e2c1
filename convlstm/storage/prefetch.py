"""Prefetching: calls run on threads ahead of their consumer, and their results keep their order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetch(calls: Iterable[Callable[[], T]], *, threads: int, depth: int) -> Iterator[T]:
    """Yield the results of `calls` in their order, up to `depth` of them computed ahead.

    An exception of a call is raised where its result is asked for.
    """
    pending: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for call in calls:
            pending.append(pool.submit(call))
            if len(pending) > depth:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
