"""Counts of the rank of the truth among an ensemble's members."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from convlstm.sums.counting import chosen_by, histogram


def counts(
    members: Float[Tensor, "member forecast *lead channel row col"],
    truth: Float[Tensor, "*lead channel row col"],
    mask: Bool[Tensor, "*lead channel row col"],
) -> Float[Tensor, "forecast *lead rank"]:
    """Return the number of measured pixels of each frame whose truth has each rank.

    A truth that equals k members counts by 1 / (k + 1) in each of the ranks that it may take. Where
    it equals all of them, as where all have it dry, nothing is ranked: these pixels are left out,
    for they would make every histogram of rain look flat.
    """
    ranks = len(members) + 1
    below, equal = chosen_by(members < truth), chosen_by(members == truth)
    pairs = histogram(below * ranks + equal, mask, ranks**2)
    return pairs @ _shares(ranks).to(pairs.device)


def _shares(ranks: int) -> Float[Tensor, "pair {ranks}"]:
    """Return the part of a pixel that counts in each rank, by members below and equal."""
    below, equal, rank = torch.meshgrid(*[torch.arange(ranks)] * 3, indexing="ij")
    possible = (below <= rank) & (rank <= below + equal) & (equal < ranks - 1)
    return (possible.double() / (equal + 1)).flatten(0, 1)
