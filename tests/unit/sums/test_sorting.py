"""The network sorts any number of values, with the comparisons that Batcher counted."""

import pytest
import torch

from convlstm.sums.sorting import ascending, comparisons


@pytest.mark.parametrize("count", [*range(1, 10), 24, 31, 32, 100])
def test_values_are_sorted_as_torch_does_it(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    members = torch.randint(0, 9, (count, 200), generator=generator).float()  # with many ties
    found = ascending(members.unbind())
    assert torch.equal(torch.stack(found), members.sort(dim=0).values)


def test_four_five_and_sixteen_values_take_as_many_comparisons_as_knuth_says() -> None:
    # The Art of Computer Programming 3, 5.3.4: the merge exchange has 5, 9 and 63
    assert [len(list(comparisons(count))) for count in (1, 2, 4, 5, 16)] == [0, 1, 5, 9, 63]
