"""Single pictures of an ensemble, which are scored beside its mean.

The mean is nearest to the truth pixel by pixel, and too smooth for a picture of rain.
"""

from collections.abc import Callable, Mapping
from functools import reduce

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Members = Float[Tensor, "member *lead channel row col"]
Picture = Float[Tensor, "*lead channel row col"]


def probability_matched_mean(members: Members) -> Picture:
    """Return the values of the members, pooled, at the places that their mean ranks.

    Ebert 2001 (doi:10.1175/1520-0493(2001)129<2461:AOAPMS>2.0.CO;2): the largest pixel of a frame
    of the mean gets the largest value and so on, of M values that follow each other the middle one.
    """
    count = len(members)
    places = mean(members).flatten(-2).argsort(dim=-1, stable=True)
    pooled = members.movedim(0, -3).flatten(-3)
    values = _ascending(pooled)[..., count // 2 :: count]
    matched = torch.empty_like(values).scatter_(-1, places, values)
    return matched.reshape(members.shape[1:])


def mean(members: Members) -> Picture:
    """Return the mean, added up one member after the other, so that all devices round alike."""
    return reduce(torch.add, members.unbind()) / len(members)


def first_member(members: Members) -> Picture:
    """Return one member: its spectrum and its CSI are those of any other."""
    return members[0]


def _ascending(values: Float[Tensor, "*lead value"]) -> Float[Tensor, "*lead value"]:
    """Sort the last axis; on a CPU NumPy does it in a twentieth of the time of torch."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.sort(values.numpy(), axis=-1))
    return values.sort(dim=-1).values


PICTURES: Mapping[str, Callable[[Members], Picture]] = {
    "pm_mean": probability_matched_mean,
    "member": first_member,
}
"""The pictures by the name of the forecaster in the tables."""
