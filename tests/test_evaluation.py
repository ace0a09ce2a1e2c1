"""The test: means, skill, and the rule by which windows are drawn."""

import numpy as np
import pytest
import torch
from conftest import params_of

from convlstm import baselines
from convlstm.batches import Batches
from convlstm.evaluation import Result, samples, score, summary, tables
from convlstm.metrics import COLUMNS, LeadMeans
from convlstm.model import Model
from convlstm.params import Train
from convlstm.training import Training


@pytest.fixture
def model(batches: Batches) -> Model:
    return Training(batches, params_of(Train, hidden_channels=(3,)), torch.device("cpu")).model


def scored(model: Model, batches: Batches) -> Result:
    result = Result()
    assert sum(score(model, batches, result)) == batches.count("test")
    return result


def test_every_forecaster_is_scored_at_every_lead(model: Model, batches: Batches) -> None:
    rows = tables(scored(model, batches))
    assert list(rows) == ["model", "zeros", "persistence"]
    for table in rows.values():
        assert [row["lead"] for row in table] == [1, 2]
        assert all(list(row) == ["lead", *COLUMNS] for row in table)


def test_persistence_in_the_table_is_the_error_of_the_last_context_frame(
    model: Model, batches: Batches
) -> None:
    frames = batches.take("test", list(range(batches.count("test")))).frames
    pixels = batches.geometry.unfold(frames.numpy())
    # by hand: over all windows, mean of the sum of squared differences to frame 2
    expected = [
        float(((pixels[:, 2] - pixels[:, 2 + lead]) ** 2).sum(axis=(1, 2, 3)).mean())
        for lead in (1, 2)
    ]
    table = tables(scored(model, batches))["persistence"]
    assert [row["mse"] for row in table] == pytest.approx(expected, rel=1e-5)


def test_a_forecaster_is_never_given_the_truth(model: Model, batches: Batches) -> None:
    seen = []

    class Watched(Model):
        def rollout(self, context: np.ndarray, leads: int) -> np.ndarray:
            seen.append(context.shape[1])
            return baselines.zeros(context, leads)

    list(score(Watched(**vars(model)), batches, Result()))
    assert set(seen) == {3}


def result_of(**mses: list[float]) -> Result:
    """Windows with one lead whose other scores are like their MSE."""
    result = Result()
    for name, values in mses.items():
        table = np.tile(np.array(values)[:, None, None], (1, 1, len(COLUMNS)))
        result.by_lead[name] = LeadMeans(
            table.sum(axis=0), np.full((1, len(COLUMNS)), float(len(values)))
        )
        result.window_mse[name] = values
    return result


def test_skill_is_the_part_of_the_references_error_that_is_gone() -> None:
    skill = summary(result_of(model=[1.0, 2.0], persistence=[4.0, 8.0]))[
        "skill_against_persistence"
    ]
    assert skill["mse"] == pytest.approx(1 - 1.5 / 6)
    # SSIM is best at 1: (1.5 - 6) / (1 - 6)
    assert skill["ssim"] == pytest.approx(0.9)


def test_a_perfect_reference_leaves_no_skill_to_tell() -> None:
    assert (
        "mse" not in summary(result_of(model=[1.0], persistence=[0.0]))["skill_against_persistence"]
    )


def test_the_drawn_windows_are_the_median_then_the_best_and_the_worst(
    model: Model, batches: Batches
) -> None:
    result = scored(model, batches)
    count = batches.count("test")
    ratio = np.array(result.window_mse["model"]) / np.array(result.window_mse["persistence"])
    ranked = np.argsort(ratio)
    truths = batches.geometry.unfold(batches.take("test", list(range(count))).frames.numpy())
    drawn = list(samples(model, batches, result, 3))
    for sample, number in zip(
        drawn, (ranked[(count - 1) // 2], ranked[0], ranked[-1]), strict=True
    ):
        np.testing.assert_allclose(sample.truth, 255 * truths[number, 3:], atol=1e-3)


def test_windows_in_which_nothing_moves_are_not_drawn(model: Model, batches: Batches) -> None:
    result = scored(model, batches)
    still = int(np.argmin(result.window_mse["model"]))
    result.window_mse["persistence"][still] = 0.0
    labels = [sample.label for sample in samples(model, batches, result, 100)]
    assert len(labels) == batches.count("test") - 1


def test_samples_are_in_data_units_and_inside_their_range(model: Model, batches: Batches) -> None:
    (sample,) = samples(model, batches, scored(model, batches), 1)
    assert sample.context.shape == (3, 1, 18, 18)
    assert sample.truth.max() > 1
    assert sample.forecast.min() >= 0
    assert sample.forecast.max() <= 255
