"""Scheduled sampling: how likely the network, while it learns, sees the true frame.

Bengio et al. 2015 (arXiv:1506.03099) for linear, exponential and inverse sigmoid decay; Wang et al.
2021, PredRNN-v2 (arXiv:2103.09504) for reverse. Their i counts iterations of one fixed length of
training; here i is the percentage of the run that is done, so that a short run goes through the
whole schedule too.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from convlstm.params.groups import Train


class Probability(NamedTuple):
    """Of the true frame, in [0, 1]: among the context frames, and among the forecast frames."""

    context: float
    forecast: float


def probability(percent: float, params: Train) -> Probability:
    """The probability of the true frame when `percent` of the run's iterations are done.

    Args:
        percent: 0 at the first iteration, 100 after the last.
        params: `sampling` and the constants of its schedule.
    """
    match params.sampling:
        case "step":
            forecast = 1.0 if percent < params.sampling_step_percent else 0.0
        case "linear":
            forecast = max(0.0, 1 - percent / params.sampling_linear_percent)
        case "exponential":
            forecast = params.sampling_exponential_k**percent
        case "inverse_sigmoid":
            k = params.sampling_inverse_sigmoid_k
            forecast = k / (k + math.exp(percent / k))
        case "reverse":
            return _reverse(percent, params)
    return Probability(1.0, forecast)


def _reverse(percent: float, params: Train) -> Probability:
    """Half of the frames at first; then all of the context becomes true, none of the forecast."""
    start, end = params.sampling_reverse_start_percent, params.sampling_reverse_end_percent
    if percent < start:
        return Probability(0.5, 0.5)
    if percent < end:
        rise = 1 - 0.5 * math.exp(-(percent - start) / params.sampling_reverse_alpha_percent)
        return Probability(rise, 0.5 * (end - percent) / (end - start))
    return Probability(1.0, 0.0)


def draw(
    chance: Probability, *, batch: int, context: int, steps: int, generator: torch.Generator
) -> Bool[Tensor, "batch steps"]:
    """For each window and step one draw: True where the true frame is fed.

    Args:
        chance: from `probability`.
        batch: number of windows.
        context: the first `context` steps are context frames. The very first is always true: there
            is no forecast yet.
        steps: number of steps, one less than the frames of a window.
        generator: on the CPU, so that a GPU draws the same.
    """
    chances = torch.tensor([chance.context] * context + [chance.forecast] * (steps - context))
    fed = torch.rand(batch, steps, generator=generator) < chances
    fed[:, 0] = True
    return fed
