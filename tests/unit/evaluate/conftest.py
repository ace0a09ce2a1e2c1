"""An untrained model, and its evaluation on the test windows."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from convlstm.evaluate.params import Evaluate
from convlstm.evaluate.scoring import Evaluation, ScoreConfig, evaluate
from convlstm.model.batches import Batches
from convlstm.model.model_file import Model
from convlstm.train.loop import Training
from convlstm.train.params import Train
from tests.builders import REPORT, params_of


@pytest.fixture
def model(batches: Batches) -> Model:
    """A small network as it is before training."""
    params = params_of(Train, **REPORT, hidden_channels=(3,))
    return Training(batches, params, torch.device("cpu")).model


@pytest.fixture
def config(batches: Batches) -> ScoreConfig:
    """The shipped params of the evaluate stage, for these windows."""
    return ScoreConfig.each_of(batches, params_of(Evaluate))[0]


@pytest.fixture
def evaluation(model: Model, batches: Batches, config: ScoreConfig) -> Evaluation:
    """All test windows scored, and all forecasts of the model kept."""
    (*_, last) = evaluate(model, batches, [config], keep=range(batches.count("test")))
    return last


@pytest.fixture
def ensemble_model(batches: Batches) -> Model:
    """A small cascade as it is before training: STEPS."""
    params = params_of(Train, hidden_channels=(3,), readout="cascade", members=2, loss="crps")
    return Training(batches, params, torch.device("cpu")).model


@pytest.fixture
def of_ensemble(ensemble_model: Model, batches: Batches, config: ScoreConfig) -> Evaluation:
    """All test windows scored, of a model that forecasts members."""
    (*_, last) = evaluate(ensemble_model, batches, [config], keep=range(batches.count("test")))
    return last


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, int]]:
    """Context and lead times of each forecast that a model is asked for, in order."""
    noted, ensemble = [], Model.ensemble

    def spy(
        model: Model, context: Tensor, mask: Tensor, leads: int, members: int, seed: int
    ) -> Iterator[Tensor]:
        noted.append((context.clone(), leads))
        return ensemble(model, context, mask, leads, members, seed)

    monkeypatch.setattr(Model, "ensemble", spy)
    return noted
