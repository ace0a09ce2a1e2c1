"""The network works on folded frames: a window is folded once, when it is cut."""

import numpy as np
import pytest
import torch

from convlstm.evaluate import scoring
from convlstm.evaluate.params import Evaluate
from convlstm.forecast.forecaster import Forecaster
from convlstm.model.batches import Batches
from convlstm.patch import folding
from convlstm.patch.folding import Geometry
from convlstm.train.loop import Training
from convlstm.train.params import Train
from convlstm.train.validation import validate
from tests.builders import REPORT, model_of, params_of


@pytest.fixture
def folded(batches: Batches, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of all that is folded once the batches are open."""
    assert batches.geometry.patch_size > 1
    shapes, original = [], folding.fold

    def fold(frames: np.ndarray, patch_size: int) -> np.ndarray:
        shapes.append(frames.shape)
        return original(frames, patch_size)

    monkeypatch.setattr(folding, "fold", fold)  # by which `Geometry.fold` folds
    return shapes


@pytest.fixture
def training(batches: Batches) -> Training:
    params = params_of(Train, **REPORT, hidden_channels=(2,), epochs=1)
    return Training(batches, params, torch.device("cpu"))


def test_training_and_validation_fold_each_window_once(
    batches: Batches, training: Training, folded: list[tuple[int, ...]]
) -> None:
    (epoch,) = training.epochs(lambda _: None)
    seen = batches.count("train") + batches.count("valid")
    assert folded == [(5, 1, 20, 20)] * seen
    assert epoch.validation["mse"] == pytest.approx(validate(training.model, batches, 1)["mse"])


def test_the_evaluation_folds_each_window_once(
    batches: Batches, training: Training, folded: list[tuple[int, ...]]
) -> None:
    config = scoring.ScoreConfig.each_of(batches, params_of(Evaluate))[0]
    *_, last = scoring.evaluate(training.model, batches, [config], keep={0})
    assert last.windows == batches.count("test") > 0
    climatology = smoothing = batches.count("train")
    assert folded == [(5, 1, 20, 20)] * (climatology + smoothing + last.windows)


def test_a_forecast_folds_its_input_and_its_mask_once(folded: list[tuple[int, ...]]) -> None:
    made = model_of("convlstm", Geometry(channels=1, rows=12, cols=16, patch_size=4))
    Forecaster(made, made.scaling).predict(np.zeros((9, 1, 12, 16), np.float32), steps=5)
    assert folded == 2 * [(1, 3, 1, 12, 16)]
