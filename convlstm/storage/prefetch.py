"""The next ones are made while the last one is used, on threads, and come in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(calls: Iterable[Callable[[], T]], *, threads: int, most: int) -> Iterator[T]:
    """What the calls return, in their order, `most` of them made before they are asked for.

    What a call raises is raised where its result is asked for.
    """
    coming: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for call in calls:
            coming.append(pool.submit(call))
            if len(coming) > most:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
