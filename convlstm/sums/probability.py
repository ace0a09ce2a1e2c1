"""Counts of pixels by the share of members that have an event."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from convlstm.sums.counting import chosen_by, histogram


def frequencies(
    members: Float[Tensor, "member forecast *lead channel row col"],
    truth: Float[Tensor, "*lead channel row col"],
    mask: Bool[Tensor, "*lead channel row col"],
    thresholds: Sequence[float],
) -> Float[Tensor, "forecast *lead threshold which share"]:
    """Return the `Frequencies` of each frame as the axis before the last one."""
    shares, found = len(members) + 1, []
    for threshold in torch.tensor(thresholds, dtype=members.dtype, device=members.device):
        cells = chosen_by(members >= threshold) + (truth >= threshold).int() * shares
        counts = histogram(cells, mask, 2 * shares)
        without, with_event = counts[..., :shares], counts[..., shares:]
        found.append(torch.stack((without + with_event, with_event), dim=-2))
    return torch.stack(found, dim=-3)
