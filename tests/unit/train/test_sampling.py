"""Each schedule is its paper's formula, in percent of the run; draws follow their probability."""

import math

import pytest
import torch

from convlstm.params.groups import Train
from convlstm.train.sampling import Probability, draw, probability
from tests.builders import params_of


@pytest.mark.parametrize(
    ("sampling", "percent", "expected"),
    [
        # the report: true frames until epoch 30 of 80, then none
        ("step", 0.0, 1.0),
        ("step", 100 * 29.99 / 80, 1.0),
        ("step", 100 * 30 / 80, 0.0),
        # 2e-5 an iteration, 0 from 50,000 of 80,000 on: iteration 25,000 is 31.25 %, half way
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
    chance = probability(percent, params_of(Train, sampling=sampling))
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
    chance = probability(percent, params_of(Train, sampling="reverse"))
    assert chance == pytest.approx(Probability(context, forecast))


def draws(chance: Probability, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return draw(chance, batch=4000, context=3, steps=6, generator=generator)


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


def test_a_generator_decides_the_draws() -> None:
    chance = Probability(0.5, 0.5)
    assert torch.equal(draws(chance, seed=1), draws(chance, seed=1))
    assert not torch.equal(draws(chance, seed=1), draws(chance, seed=2))
