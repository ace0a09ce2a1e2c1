"""Results come in order, and no more of them are made than was allowed."""

import time
from collections.abc import Iterator
from functools import partial

from convlstm.storage.prefetch import ahead


def slow_first(number: int) -> int:
    time.sleep(0.05 if number == 0 else 0)
    return number


def test_results_come_in_the_order_of_their_calls() -> None:
    calls = (partial(slow_first, number) for number in range(20))
    assert list(ahead(calls, threads=4, most=8)) == list(range(20))


def test_no_more_calls_are_taken_than_was_allowed() -> None:
    taken = []

    def calls() -> Iterator[partial[int]]:
        for number in range(20):
            taken.append(number)
            yield partial(slow_first, number)

    results = ahead(calls(), threads=2, most=3)
    assert next(results) == 0
    assert taken == [0, 1, 2, 3]
    assert next(results) == 1
    assert taken == [0, 1, 2, 3, 4]
    assert list(ahead([], threads=1, most=1)) == []
