"""Sorting of the members at each pixel, as comparisons of whole frames.

A sorting network compares the same pairs whatever the values are, so that each comparison is the
smaller and the larger one of two frames: vectors on a CPU and on a GPU, where `torch.sort` along
the first axis takes a CPU six times as long.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def ascending(
    members: Sequence[Float[Tensor, "*shape"]],
) -> list[Float[Tensor, "*shape"]]:
    """Return the smallest value at each place, the second one, and so on to the largest."""
    found = list(members)
    for low, high in comparisons(len(found)):
        pair = found[low], found[high]
        found[low], found[high] = torch.minimum(*pair), torch.maximum(*pair)
    return found


def comparisons(count: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs that sort so many values if the smaller one is put first.

    Batcher's merge exchange, Knuth, The Art of Computer Programming 3, algorithm 5.2.2 M.
    """
    top = 1 << max(0, count - 1).bit_length() >> 1
    p = top
    while p:
        q, r, d = top, 0, p
        while d:
            yield from ((i, i + d) for i in range(count - d) if i & p == r)
            d, q, r = q - p, q >> 1, p
        p >>= 1
