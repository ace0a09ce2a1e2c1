"""The rule by which windows are drawn."""

import numpy as np
import pytest
import torch

from convlstm.evaluate.scoring import Scores, score, setting
from convlstm.evaluate.selection import samples
from convlstm.model.batches import Batches
from convlstm.model.model_file import Model
from convlstm.params.groups import Evaluate, Train
from convlstm.train.loop import Training
from tests.builders import params_of


@pytest.fixture
def model(batches: Batches) -> Model:
    return Training(batches, params_of(Train, hidden_channels=(3,)), torch.device("cpu")).model


def scored(model: Model, batches: Batches) -> dict[str, Scores]:
    (*_, last) = score(model, batches, setting(batches, params_of(Evaluate)))
    return last


def test_the_drawn_windows_are_the_median_then_the_best_and_the_worst(
    model: Model, batches: Batches
) -> None:
    result = scored(model, batches)
    count = batches.count("test")
    ratio = np.divide(result["model"].window_mse, result["persistence"].window_mse)
    ranked = np.argsort(ratio)
    truths = batches.geometry.unfold(batches.take("test", list(range(count))).frames.numpy())
    drawn = list(samples(model, batches, result, 3))
    for sample, number in zip(
        drawn, (ranked[(count - 1) // 2], ranked[0], ranked[-1]), strict=True
    ):
        np.testing.assert_allclose(sample.truth, 255 * truths[number, 3:], atol=1e-3)


def test_windows_in_which_nothing_moves_are_not_drawn(model: Model, batches: Batches) -> None:
    result = scored(model, batches)
    still = int(np.argmin(result["model"].window_mse))
    result["persistence"].window_mse[still] = 0.0
    labels = [sample.label for sample in samples(model, batches, result, 100)]
    assert len(labels) == batches.count("test") - 1


def test_samples_are_in_data_units_and_inside_their_range(model: Model, batches: Batches) -> None:
    (sample,) = samples(model, batches, scored(model, batches), 1)
    assert sample.context.shape == (3, 1, 18, 18)
    assert sample.truth.max() > 1
    assert sample.forecast.min() >= 0
    assert sample.forecast.max() <= 255
