"""The launcher of ranks ends with the status of the rank that says why."""

import pytest

from convlstm.model.launching import RanksEnded


@pytest.mark.parametrize(
    ("statuses", "status", "lines"),
    [
        ({0: 2}, 2, []),
        ({0: 2, 1: 143}, 2, []),  # the launcher has stopped the second
        ({0: 1, 1: 4}, 4, []),  # the first has missed the second
        ({0: 143, 1: 1}, 1, []),
        ({0: 143, 1: 143}, 143, []),
        ({0: 1, 1: -9}, 137, ["rank 1 was ended by SIGKILL"]),
        ({0: -11, 1: -15}, 139, ["rank 0 was ended by SIGSEGV"]),
        ({1: -15}, 143, []),
    ],
)
def test_the_status_is_that_of_the_rank_that_says_why(
    statuses: dict[int, int], status: int, lines: list[str]
) -> None:
    ended = RanksEnded(statuses)
    goes_on = "; the same command begins again, or goes on from the last checkpoint"
    assert (ended.status, str(ended).splitlines()) == (status, [line + goes_on for line in lines])
