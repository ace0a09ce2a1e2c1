"""Schedules over a run: the learning rate, and how often the network sees the true frame.

Both are scaled to the run's own length, so that a short run goes through the whole of them too.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler

from convlstm.train.params import LearningRate, Sampling


def learning_rate(
    optimizer: Optimizer, params: LearningRate, iterations: int
) -> lr_scheduler.LRScheduler:
    """Return the schedule of the learning rate over `iterations` steps.

    step falls by lr_step_factor every lr_step_percent of the run; exponential and cosine end at
    lr_final_factor times lr; onecycle (Smith 2017, arXiv:1708.07120) peaks at lr after 30 % of the
    run. All are those of torch.optim.lr_scheduler.
    """
    final = params.lr_final_factor
    match params.lr_schedule:
        case "constant":
            return lr_scheduler.ConstantLR(optimizer, factor=1.0)
        case "step":
            every = max(1, round(iterations * params.lr_step_percent / 100))
            return lr_scheduler.StepLR(optimizer, every, gamma=params.lr_step_factor)
        case "exponential":
            return lr_scheduler.ExponentialLR(optimizer, gamma=final ** (1 / iterations))
        case "cosine":
            return lr_scheduler.CosineAnnealingLR(optimizer, iterations, eta_min=params.lr * final)
        case "onecycle":
            return lr_scheduler.OneCycleLR(optimizer, params.lr, total_steps=iterations)


class Probability(NamedTuple):
    """The probability of feeding the true frame, among context frames and forecast frames."""

    context: float
    forecast: float


def sampling_probability(percent: float, params: Sampling) -> Probability:
    """Return the probability of the true frame when `percent` of the run's iterations are done.

    Bengio et al. 2015 (arXiv:1506.03099) for linear, exponential and inverse sigmoid decay; Wang et
    al. 2021, PredRNN-v2 (arXiv:2103.09504) for reverse. Their i counts iterations of one fixed
    length of training; here it is the percentage of the run that is done.

    Args:
        percent: 0 at the first iteration, 100 after the last.
        params: the kind of schedule and its constants.
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
        case "free":
            forecast = 0.0
    return Probability(1.0, forecast)


def _reverse(percent: float, params: Sampling) -> Probability:
    """Begin with half of all frames true; end with all of the context and none of the forecast."""
    start, end = params.sampling_reverse_start_percent, params.sampling_reverse_end_percent
    if percent < start:
        return Probability(0.5, 0.5)
    if percent < end:
        rise = 1 - 0.5 * math.exp(-(percent - start) / params.sampling_reverse_alpha_percent)
        return Probability(rise, 0.5 * (end - percent) / (end - start))
    return Probability(1.0, 0.0)


def draw_fed_steps(
    probability: Probability, uniform: Float[Tensor, "batch steps"], *, context: int
) -> Bool[Tensor, "batch steps"]:
    """Draw for each window and step whether the true frame is fed.

    Args:
        probability: from `sampling_probability`.
        uniform: random numbers in [0, 1) for each window and step, of which there is one less than
            frames; on the CPU.
        context: the first `context` steps are context frames. The very first is always true,
            because there is no forecast yet.
    """
    steps = uniform.shape[1]
    each = torch.tensor(
        [probability.context] * context + [probability.forecast] * (steps - context)
    )
    fed = uniform < each
    fed[:, 0] = True
    return fed
