"""Results come in order, and no more of them are computed than was allowed."""

from collections.abc import Iterator
from functools import partial
from threading import Event

import pytest

from convlstm.storage.prefetch import prefetch


def test_results_come_in_the_order_of_their_calls() -> None:
    other_is_done = Event()

    def call(number: int) -> int:
        if number == 0:
            assert other_is_done.wait(timeout=20)
        else:
            other_is_done.set()
        return number

    calls = (partial(call, number) for number in range(20))
    assert list(prefetch(calls, threads=4, depth=8)) == list(range(20))


def test_no_more_calls_are_taken_than_was_allowed() -> None:
    taken = []

    def calls() -> Iterator[partial[int]]:
        for number in range(20):
            taken.append(number)
            yield partial(int, number)

    results = prefetch(calls(), threads=2, depth=3)
    assert next(results) == 0
    assert taken == [0, 1, 2, 3]
    assert next(results) == 1
    assert taken == [0, 1, 2, 3, 4]


def test_without_calls_there_are_no_results() -> None:
    assert list(prefetch([], threads=1, depth=1)) == []


def test_an_exception_is_raised_where_its_result_is_asked_for() -> None:
    results = prefetch([partial(int, "1"), partial(int, "one")], threads=2, depth=2)
    assert next(results) == 1
    with pytest.raises(ValueError, match="invalid literal"):
        next(results)
