"""Sums of the error, of the spread and of the CRPS of ensembles."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from convlstm.scores.ensemble import Sums
from convlstm.sums.columns import columns
from convlstm.sums.measured import sum_measured
from convlstm.sums.sorting import ascending

Members = Float[Tensor, "member forecast *lead channel row col"]
Frames = Float[Tensor, "*lead channel row col"]


def sums(
    members: Members, truth: Frames, mask: Bool[Tensor, "*lead channel row col"]
) -> Float[Tensor, "forecast *lead part"]:
    """Return the `Sums` of each frame as columns, for each forecast by an ensemble.

    All values must be finite, also where the mask is False.
    """
    count = len(members)
    mean = members.mean(dim=0, dtype=torch.float64)
    variance = torch.zeros_like(mean)
    # One member after the other: all of them at once in float64 would not fit into a cache.
    for member in members if count > 1 else ():
        variance += (member - mean).square_()
    factor = (count + 1) / (count * (count - 1)) if count > 1 else torch.nan
    return columns(
        Sums._fields,
        n=mask.sum((-3, -2, -1)),
        crps=sum_measured(fair_crps(members, truth), mask),
        variance=sum_measured(variance, mask) * factor,
        error=sum_measured((mean - truth).square_(), mask),
    )


def fair_crps(members: Members, truth: Frames) -> Float[Tensor, "forecast *lead channel row col"]:
    """Return the fair CRPS at each pixel in float64; of one member it is the absolute error.

    Ferro 2014 (doi:10.1002/qj.2270): mean |x - y| - sum over pairs |x - x'| / (M (M - 1)), each
    pair once. The sum over pairs is taken from the sorted members, whose k-th is the larger one of
    k - 1 pairs and the smaller one of M - k.
    """
    count = len(members)
    if count == 1:
        return (members[0] - truth).abs_().double()
    total = torch.zeros_like(members[0], dtype=torch.float64)
    weights = range(1 - count, count, 2)
    for weight, member in zip(weights, ascending(members.unbind()), strict=True):
        total += (member - truth).abs_()
        total.add_(member, alpha=-weight / (count - 1))
    return total / count
