"""The test: every forecaster on every window."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from convlstm.demo import rain
from convlstm.evaluate import baselines
from convlstm.evaluate.scoring import Scores, Setting, check_same_data, mean_frame, score, setting
from convlstm.model.batches import Batches
from convlstm.model.model_file import Model
from convlstm.params.groups import Evaluate, Patch, Train
from convlstm.patch import building
from convlstm.runtime.errors import BadInput
from convlstm.scores.frame import COLUMNS
from convlstm.storage import hdf5, store
from convlstm.train.loop import Training
from tests.builders import params_of, reading_of


@pytest.fixture
def model(batches: Batches) -> Model:
    return Training(batches, params_of(Train, hidden_channels=(3,)), torch.device("cpu")).model


NAMES = ["model", "zeros", "persistence", "advection", "climatology"]


def asked_of(batches: Batches) -> Setting:
    return setting(batches, params_of(Evaluate))


def scored(model: Model, batches: Batches) -> dict[str, Scores]:
    (*_, last) = score(model, batches, asked_of(batches))
    return last


def test_every_forecaster_is_scored_on_every_window(model: Model, batches: Batches) -> None:
    results = scored(model, batches)
    assert list(results) == NAMES
    for scores in results.values():
        assert len(scores.window_mse) == batches.count("test")
        assert scores.totals is not None
        # each of 2 leads has counted each of 18 x 18 pixels
        assert scores.totals.moments[:, 0].tolist() == [batches.count("test") * 18 * 18] * 2
        assert len(scores.by_sequence) == 3  # a quarter of 12 sequences


def test_without_thresholds_they_are_parts_of_the_value_range(batches: Batches) -> None:
    assert asked_of(batches).thresholds == (25.5, 63.75, 127.5)
    asked = setting(batches, params_of(Evaluate, thresholds=(51.0,)))
    assert asked.thresholds == (51.0,)
    assert asked.verifier().thresholds == (0.2,)


def test_sums_by_sequence_add_up_to_the_whole(model: Model, batches: Batches) -> None:
    for scores in scored(model, batches).values():
        assert scores.totals is not None
        sums = list(scores.by_sequence.values())
        np.testing.assert_allclose(sum(part.events for part in sums), scores.totals.events)
        mse = sum(part.mse for part in sums) / sum(part.frames for part in sums)
        assert mse == pytest.approx(np.mean(scores.window_mse))


def test_climatology_is_the_mean_of_all_training_windows(batches: Batches) -> None:
    numbers = list(range(batches.count("train")))
    frames = batches.geometry.unfold(batches.take("train", numbers).frames.numpy())
    np.testing.assert_allclose(mean_frame(batches), frames.mean(axis=(0, 1)), rtol=1e-5)


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
    means = scored(model, batches)["persistence"].means.by_lead()
    assert means[:, COLUMNS.index("mse")].tolist() == pytest.approx(expected, rel=1e-5)


def test_a_forecaster_is_never_given_the_truth(model: Model, batches: Batches) -> None:
    seen = []

    class Watched(Model):
        def rollout(self, context: np.ndarray, leads: int) -> np.ndarray:
            seen.append(context.shape[1])
            return baselines.zeros(context, leads)

    list(score(Watched(**vars(model)), batches, asked_of(batches)))
    assert set(seen) == {3}


@pytest.mark.slow
def test_memory_does_not_grow_with_the_test_set(tmp_path: Path) -> None:
    peaks = []
    for count in (8, 80):
        path = tmp_path / f"{count}.h5"
        with hdf5.create(tmp_path / "frames.h5") as file:
            for index in range(count + 2):
                frames = rain.sequence(frames=5, size=16, seed=1, index=index)
                store.append_sequence(file, f"{index:03d}", frames[:, None].repeat(9, axis=2))
            hdf5.describe(file, reading=reading_of().model_dump())
        names = {"valid_sequences": ("001",), "context_frames": 3, "forecast_frames": 2}
        tests = tuple(f"{index:03d}" for index in range(2, count + 2))
        params = params_of(Patch, **names, test_sequences=tests)
        with hdf5.reading(tmp_path / "frames.h5") as source, hdf5.create(path) as target:
            list(building.build(source, target, params))
        with hdf5.reading(path) as file:
            batches = Batches(file, repeated=False)
            untrained = Training(
                batches, params_of(Train, hidden_channels=(3,)), torch.device("cpu")
            )
            tracemalloc.start()
            (*_, last) = score(untrained.model, batches, asked_of(batches))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            assert len(last["model"].window_mse) == count
    # what grows is 2 kB for each sequence, the sums that are resampled; a window itself has 11 kB
    assert peaks[1] < 1.5 * peaks[0]


def test_a_model_of_other_units_is_refused(model: Model, batches: Batches) -> None:
    check_same_data(model, batches, Path("a model"))
    low, high = model.scaling.value_range
    other = replace(model, scaling=replace(model.scaling, value_range=(low, 2 * high)))
    with pytest.raises(BadInput, match="a model: trained on frames of another"):
        check_same_data(other, batches, Path("a model"))
