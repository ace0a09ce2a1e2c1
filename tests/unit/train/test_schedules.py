"""Each schedule is its paper's formula, in percent of the run; draws follow their probability."""

import math

import pytest
import torch

from convlstm.train.params import LearningRate, Sampling
from convlstm.train.schedules import (
    Probability,
    draw_fed_steps,
    learning_rate,
    sampling_probability,
)
from tests.builders import params_of

LR, ITERATIONS = 0.01, 40


def rates(schedule: str, iterations: int = ITERATIONS, **constants: float) -> list[float]:
    """The learning rate of each iteration."""
    params = params_of(LearningRate, lr=LR, lr_schedule=schedule, **constants)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = learning_rate(optimizer, params, iterations)
    seen = []
    for _ in range(iterations):
        seen.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return seen


def test_a_constant_rate_stays() -> None:
    assert rates("constant") == [LR] * ITERATIONS


def test_a_step_rate_falls_every_quarter() -> None:
    expected = [LR * 0.5 ** (i // 10) for i in range(ITERATIONS)]
    assert rates("step", lr_step_percent=25, lr_step_factor=0.5) == pytest.approx(expected)


def test_an_exponential_rate_falls_by_the_same_factor_each_iteration() -> None:
    expected = [LR * 0.01 ** (i / ITERATIONS) for i in range(ITERATIONS)]
    assert rates("exponential", lr_final_factor=0.01) == pytest.approx(expected)


def test_a_cosine_rate_is_half_a_cosine_down_to_its_end() -> None:
    low = 0.1 * LR
    expected = [
        low + (LR - low) * (1 + math.cos(math.pi * i / ITERATIONS)) / 2 for i in range(ITERATIONS)
    ]
    assert rates("cosine", lr_final_factor=0.1) == pytest.approx(expected)


def test_a_onecycle_rate_climbs_from_a_25th_to_its_peak_at_30_percent_and_ends_near_zero() -> None:
    seen = rates("onecycle")
    # torch's defaults: from lr / 25 by cosine to the peak at step 0.3 * 40 - 1 = 11, last lr / 25e4
    assert seen[0] == pytest.approx(LR / 25)
    assert seen.index(max(seen)) == 11
    assert seen[11] == pytest.approx(LR)
    assert seen[-1] == pytest.approx(LR / 25e4)
    assert seen[4] == pytest.approx(LR + (LR / 25 - LR) * (1 + math.cos(math.pi * 4 / 11)) / 2)


@pytest.mark.parametrize("schedule", ["constant", "step", "exponential", "cosine", "onecycle"])
@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_every_rate_is_above_0_and_at_most_lr_in_the_shortest_runs(
    schedule: str, iterations: int
) -> None:
    seen = rates(schedule, iterations, lr_step_percent=1)
    assert len(seen) == iterations
    assert all(0 < rate <= LR for rate in seen)


@pytest.mark.parametrize(
    ("sampling", "percent", "expected"),
    [
        # the report: true frames until epoch 30 of 80, then none
        ("step", 0.0, 1.0),
        ("step", 100 * 29.99 / 80, 1.0),
        ("step", 100 * 30 / 80, 0.0),
        # 2e-5 per iteration, 0 from 50,000 of 80,000 on: iteration 25,000 is 31.25 %, half way
        ("linear", 0.0, 1.0),
        ("linear", 31.25, 0.5),
        ("linear", 62.5, 0.0),
        ("linear", 99.0, 0.0),
        ("exponential", 0.0, 1.0),
        ("exponential", 2.0, 0.95 * 0.95),
        ("inverse_sigmoid", 0.0, 10 / 11),
        # exp(i / k) = k at i = k ln k: half
        ("inverse_sigmoid", 10 * math.log(10), 0.5),
    ],
)
def test_the_probability_is_the_formula(sampling: str, percent: float, expected: float) -> None:
    chance = sampling_probability(percent, params_of(Sampling, sampling=sampling))
    assert chance == pytest.approx(Probability(1.0, expected))


@pytest.mark.parametrize(
    ("percent", "context", "forecast"),
    [
        (0.0, 0.5, 0.5),
        (31.24, 0.5, 0.5),
        (31.25, 0.5, 0.5),  # 1 - 0.5 exp(0); 0.5 falling from here
        (31.25 + 6.25, 1 - 0.5 / math.e, 0.5 * 25 / 31.25),
        (46.875, 1 - 0.5 * math.exp(-2.5), 0.25),  # half way
        (62.5, 1.0, 0.0),
        (100.0, 1.0, 0.0),
    ],
)
def test_reverse_sampling_is_that_of_predrnn_v2(
    percent: float, context: float, forecast: float
) -> None:
    chance = sampling_probability(percent, params_of(Sampling, sampling="reverse"))
    assert chance == pytest.approx(Probability(context, forecast))


def draws(chance: Probability) -> torch.Tensor:
    uniform = torch.rand(4000, 6, generator=torch.Generator().manual_seed(0))
    return draw_fed_steps(chance, uniform, context=3)


def test_a_certain_frame_is_always_fed_and_an_impossible_one_never() -> None:
    fed = draws(Probability(1.0, 0.0))
    assert fed[:, :3].all()
    assert not fed[:, 3:].any()


def test_frames_are_fed_as_often_as_their_probability_says() -> None:
    fed = draws(Probability(0.8, 0.3)).float().mean(dim=0)
    # 4000 draws: standard deviation at most 0.008, five of them 0.04
    assert fed[1:3].tolist() == pytest.approx([0.8, 0.8], abs=0.04)
    assert fed[3:].tolist() == pytest.approx([0.3, 0.3, 0.3], abs=0.04)


def test_the_first_frame_is_always_fed() -> None:
    assert draws(Probability(0.0, 0.0))[:, 0].all()
