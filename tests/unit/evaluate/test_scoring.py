"""Every forecaster is scored on every test window, and none of them sees the truth."""

import pickle
import tracemalloc
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from convlstm.demo import rain
from convlstm.evaluate import baselines, scoring, tables
from convlstm.evaluate.matching import probability_matched_mean
from convlstm.evaluate.params import Evaluate
from convlstm.evaluate.scoring import (
    Evaluation,
    ScoreConfig,
    about_run,
    check_same_data,
    evaluate,
    mean_frame,
)
from convlstm.evaluate.selection import drawn_windows
from convlstm.model.batches import Batches
from convlstm.model.model_file import Model
from convlstm.model.ranks import ALONE, Ranks
from convlstm.runtime.errors import BadInput
from convlstm.train.loop import Training
from convlstm.train.params import Train
from tests.builders import REPORT, open_patches, params_of, patches_of
from tests.threads import in_threads

BASELINES = ["zeros", "persistence", "advection", "smoothed", "climatology"]


def test_every_forecaster_is_scored_on_every_window(
    evaluation: Evaluation, batches: Batches
) -> None:
    assert list(evaluation.scores[0]) == ["model", *BASELINES]
    assert evaluation.windows == batches.count("test")
    for scores in evaluation.scores[0].values():
        assert len(scores.window_mse) == batches.count("test")
        assert scores.totals is not None
        # each of 2 leads has counted each of 18 x 18 pixels
        assert scores.totals.moments[:, 0].tolist() == [batches.count("test") * 18 * 18] * 2
        assert len(scores.by_sequence) == 3  # a quarter of 12 sequences


def test_an_ensemble_is_scored_with_its_matched_mean_and_a_member_beside_it(
    of_ensemble: Evaluation, config: ScoreConfig, batches: Batches
) -> None:
    assert list(of_ensemble.scores[0]) == ["model", "pm_mean", "member", *BASELINES]
    totals = {name: scores.totals for name, scores in of_ensemble.scores[0].items()}
    for name, own in totals.items():
        assert own is not None
        members = config.members if name == "model" else 1
        assert own.ranks.shape == (2, members + 1)
        assert own.probability.shape == (2, 3, 2, members + 1)
        forecasts = own.probability[:, :, 0].sum(axis=-1)
        np.testing.assert_array_equal(forecasts, batches.count("test") * 18 * 18)


def test_the_pictures_of_an_ensemble_are_scored_as_forecasts_of_their_own(
    of_ensemble: Evaluation, ensemble_model: Model, batches: Batches, config: ScoreConfig
) -> None:
    every = batches.take("test", list(range(batches.count("test"))))
    seen, mask_seen = every.frames[:, :3], every.mask[:, :3]
    folded = ensemble_model.rollout(seen, mask_seen, 2, config.members)
    members = batches.geometry.unfold(folded.numpy())
    truth = batches.geometry.unfold(every.frames.numpy())[:, 3:]
    pictures = {
        "model": members.mean(axis=0),
        "member": members[0],
        "pm_mean": np.stack(
            [probability_matched_mean(torch.from_numpy(own)) for own in members.swapaxes(0, 1)]
        ),
    }
    for name, picture in pictures.items():
        expected = ((np.clip(picture, 0, 1) - truth) ** 2).sum(axis=(2, 3, 4)).mean(axis=0)
        means = of_ensemble.scores[0][name].means.by_lead()
        np.testing.assert_allclose(means.mse, expected, rtol=1e-4)


def test_the_first_members_are_kept_and_the_share_of_all_at_the_middle_threshold(
    of_ensemble: Evaluation, ensemble_model: Model, batches: Batches, config: ScoreConfig
) -> None:
    every = batches.take("test", list(range(batches.count("test"))))
    folded = ensemble_model.rollout(every.frames[:, :3], every.mask[:, :3], 2, config.members)
    members = batches.geometry.unfold(folded.numpy())
    for number, ensemble in of_ensemble.ensembles.items():
        assert ensemble is not None
        np.testing.assert_allclose(ensemble.members, members[:3, number], atol=1e-5)
        events = (255 * members[:, number] >= 63.75).sum(axis=0)
        # a value may lie on the threshold but for rounding
        assert np.abs(config.members * ensemble.probability - events).max() <= 1
        assert ensemble.thresholds == (63.75,)  # a quarter of the range
        assert 0 < ensemble.probability.max() <= 1


def test_the_drawn_threshold_is_the_middle_one_in_ascending_order(config: ScoreConfig) -> None:
    for thresholds, middle in {(9.0, 1.0, 5.0): 5.0, (2.0, 1.0): 2.0, (3.0,): 3.0}.items():
        assert replace(config, thresholds=thresholds).drawn_threshold == middle


def test_the_change_at_the_first_lead_time_is_that_from_the_last_context_frame(
    evaluation: Evaluation, batches: Batches
) -> None:
    frames = batches.take("test", list(range(batches.count("test")))).frames
    pixels = batches.geometry.unfold(frames.numpy())
    expected = np.abs(np.diff(pixels[:, 2:], axis=1)).sum(axis=(0, 2, 3, 4))
    for name, first in {"persistence": 0.0, "zeros": pixels[:, 2].sum()}.items():
        totals = evaluation.scores[0][name].totals
        assert totals is not None
        np.testing.assert_allclose(totals.temporal[:, 0], [first, 0], rtol=1e-5)
        np.testing.assert_allclose(totals.temporal[:, 1], expected, rtol=1e-5)


def test_without_thresholds_they_are_parts_of_the_value_range(
    config: ScoreConfig, batches: Batches
) -> None:
    assert config.thresholds == (25.5, 63.75, 127.5)
    chosen = ScoreConfig.each_of(batches, params_of(Evaluate, thresholds=(51.0,)))[0]
    assert chosen.thresholds == (51.0,)
    assert chosen.pooling().thresholds == (0.2,)
    with pytest.raises(BadInput, match=r"thresholds: 300 lies outside value_range \[0, 255\]"):
        ScoreConfig.each_of(batches, params_of(Evaluate, thresholds=(51.0, 300.0)))


def test_thresholds_count_from_the_low_end_of_the_value_range(config: ScoreConfig) -> None:
    radar = config.quantity._replace(value_range=(-32.0, 64.0))
    shifted = replace(config, quantity=radar, thresholds=(-32.0, 16.0, 64.0))
    assert shifted.value_width == 96
    assert shifted.pooling().thresholds == (0, 0.5, 1)


def test_an_evaluation_says_how_it_was_scored(evaluation: Evaluation, config: ScoreConfig) -> None:
    assert evaluation.configs == [config]


def test_sums_by_sequence_add_up_to_the_whole(evaluation: Evaluation) -> None:
    for scores in evaluation.scores[0].values():
        assert scores.totals is not None
        sums = list(scores.by_sequence.values())
        np.testing.assert_allclose(sum(part.events for part in sums), scores.totals.events)
        mse = sum(part.mse for part in sums) / sum(part.frames for part in sums)
        assert mse == pytest.approx(np.mean(scores.window_mse))


def test_climatology_is_the_mean_of_all_training_windows(batches: Batches) -> None:
    numbers = list(range(batches.count("train")))
    frames = batches.geometry.unfold(batches.take("train", numbers).frames.numpy())
    np.testing.assert_allclose(mean_frame(batches), frames.mean(axis=(0, 1)), rtol=1e-5)


def test_climatology_is_the_mean_of_measured_values_and_zero_without_any(tmp_path: Path) -> None:
    frames = np.full((15, 1, 8, 8), 100, np.uint8)
    frames[::2, 0, 2, 3] = 255  # missing every other time
    frames[:, 0, 5, 5] = 255
    path = patches_of(
        tmp_path,
        {"only": frames},
        context_frames=3,
        forecast_frames=2,
        split_by="time",
        missing_value=(255.0,),
        value_range=(0.0, 200.0),
    )
    with open_patches(path) as stored:
        mean = mean_frame(Batches(stored, repeated=False))
    expected = np.full((1, 8, 8), 0.5)
    expected[0, 5, 5] = 0
    np.testing.assert_array_equal(mean, expected)


def test_persistence_in_the_table_is_the_error_of_the_last_context_frame(
    evaluation: Evaluation, batches: Batches
) -> None:
    frames = batches.take("test", list(range(batches.count("test")))).frames
    pixels = batches.geometry.unfold(frames.numpy())
    # by hand: over all windows, mean of the sum of squared differences to frame 2
    expected = [
        float(((pixels[:, 2] - pixels[:, 2 + lead]) ** 2).sum(axis=(1, 2, 3)).mean())
        for lead in (1, 2)
    ]
    means = evaluation.scores[0]["persistence"].means.by_lead()
    assert means.mse.tolist() == pytest.approx(expected, rel=1e-5)


def test_the_model_is_given_the_context_and_never_the_truth(
    model: Model, batches: Batches, config: ScoreConfig, asked: list[tuple[Tensor, int]]
) -> None:
    list(evaluate(model, batches, [config], keep=()))
    ((context, leads),) = asked
    frames = batches.take("test", list(range(batches.count("test")))).frames
    assert torch.equal(context, frames[:, :3])
    assert leads == 2


def test_nothing_of_a_batch_lies_in_memory_beside_the_members_of_the_next_one(
    ensemble_model: Model, batches: Batches, config: ScoreConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, ensemble = [], Model.ensemble

    def spy(*arguments: Any, **named: Any) -> Iterator[Tensor]:
        held.append(tracemalloc.get_traced_memory()[0])
        return ensemble(*arguments, **named)

    monkeypatch.setattr(scoring, "TEST_BATCH", 2)
    monkeypatch.setattr(Model, "ensemble", spy)
    tracemalloc.start()
    try:
        list(evaluate(ensemble_model, batches, [replace(config, members=100)], keep=()))
    finally:
        tracemalloc.stop()
    members_bytes = 100 * 2 * 2 * 18 * 18 * 4  # of 2 windows with 2 lead times each
    assert len(held) == 3
    assert held[-1] - held[0] < members_bytes / 2


@pytest.mark.parametrize(("count", "size"), [(2, 2), (4, 2), (5, 2), (2, 4)])
def test_ranks_find_the_same_bytes_as_one_process(
    ensemble_model: Model,
    batches: Batches,
    config: ScoreConfig,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    size: int,
) -> None:
    """Of six windows in batches of two some ranks have none; those of four leave a smaller one."""
    monkeypatch.setattr(scoring, "TEST_BATCH", size)

    def all_of(ranks: Ranks) -> list[Evaluation]:
        parts = evaluate(ensemble_model, batches, [config], keep={1, 4}, ranks=ranks)
        return [deepcopy(part) for part in parts]

    first, *others = in_threads(count, all_of)
    assert others == [[]] * (count - 1)
    assert isinstance(first, list)
    expected = all_of(ALONE)
    assert [part.windows for part in first] == [2, 4, 6] if size == 2 else [4, 6]
    assert pickle.dumps(first[-1].scores) == pickle.dumps(expected[-1].scores)
    assert first[-1].kept.keys() == expected[-1].kept.keys() == {1, 4}
    for number, picture in expected[-1].kept.items():
        np.testing.assert_array_equal(first[-1].kept[number], picture)
        found, other = first[-1].ensembles[number], expected[-1].ensembles[number]
        assert found is not None
        assert other is not None
        np.testing.assert_array_equal(found.members, other.members)
        np.testing.assert_array_equal(found.probability, other.probability)
        assert found.thresholds == other.thresholds


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_given_the_context_and_never_the_truth(
    model: Model,
    batches: Batches,
    config: ScoreConfig,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    forecast, given = getattr(baselines, name), []

    def spy(*arguments: Any) -> object:
        given.append(arguments)
        return forecast(*arguments)

    monkeypatch.setattr(baselines, name, spy)
    list(evaluate(model, batches, [config], keep=()))
    expected, _ = batches.pixels(batches.take("test", list(range(batches.count("test")))))
    assert given
    for *extra, context in given:
        np.testing.assert_array_equal(context.frames, expected[:, :3])
        assert context.leads == 2
        assert len(extra) == (name in ("climatology", "smoothed"))
        if name == "climatology":
            np.testing.assert_array_equal(extra[0], mean_frame(batches))


def test_only_the_asked_for_forecasts_are_kept_and_they_are_the_models_own(
    model: Model, batches: Batches, config: ScoreConfig
) -> None:
    (*_, last) = evaluate(model, batches, [config], keep={1, 4})
    assert sorted(last.kept) == [1, 4]
    for number, forecast in last.kept.items():
        frames, mask = batches.take("test", [number])
        alone = batches.geometry.unfold(model.rollout(frames[:, :3], mask[:, :3], 2)[0].numpy())
        np.testing.assert_allclose(forecast, alone[0], atol=1e-6)


def test_the_evaluation_grows_batch_by_batch_and_the_batches_change_no_score(
    evaluation: Evaluation,
    model: Model,
    batches: Batches,
    config: ScoreConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scoring, "TEST_BATCH", 4)
    parts = evaluate(model, batches, [config], keep={5})
    assert [(part.windows, sorted(part.kept)) for part in parts] == [(4, []), (6, [5])]
    (*_, last) = evaluate(model, batches, [config], keep=())
    for name, scores in last.scores[0].items():
        np.testing.assert_allclose(
            scores.window_mse, evaluation.scores[0][name].window_mse, rtol=1e-5
        )


@pytest.mark.slow
def test_memory_does_not_grow_with_the_test_set(tmp_path: Path) -> None:
    peaks = []
    for count in (24, 96):  # three batches at least, for while one is scored the next is read
        films = {
            f"{index:03d}": rain.sequence(frames=5, size=16, seed=1, index=index)[:, None].repeat(
                9, axis=2
            )
            for index in range(count + 2)
        }
        path = patches_of(
            tmp_path,
            films,
            context_frames=3,
            forecast_frames=2,
            valid_sequences=("001",),
            test_sequences=tuple(list(films)[2:]),
        )
        with open_patches(path) as stored:
            batches = Batches(stored, repeated=False)
            untrained = Training(
                batches, params_of(Train, **REPORT, hidden_channels=(3,)), torch.device("cpu")
            )
            config = ScoreConfig.each_of(batches, params_of(Evaluate))[0]
            tracemalloc.start()
            (*_, last) = evaluate(untrained.model, batches, [config], keep=())
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            assert last.windows == count
    # what grows is 7 kB for each sequence, the sums that are resampled for six forecasters; the
    # frames of a window have 11 kB as bytes and 46 kB in float32
    assert peaks[1] < 1.5 * peaks[0]


def test_a_model_of_other_units_is_refused(model: Model, batches: Batches) -> None:
    check_same_data(model, batches, Path("a model"))
    ((low, high),) = model.scaling.value_range
    scaled = replace(model, scaling=replace(model.scaling, value_range=((low, 2 * high),)))
    named = replace(model, quantities=(model.quantities[0]._replace(unit="mm/h"),))
    for other in (scaled, named):
        with pytest.raises(BadInput, match="a model: trained on frames of another"):
            check_same_data(other, batches, Path("a model"))


def test_a_model_of_other_frames_is_refused(model: Model, batches: Batches) -> None:
    other = replace(model, geometry=replace(model.geometry, rows=17))
    with pytest.raises(BadInput, match="a model: trained on frames of another"):
        check_same_data(other, batches, Path("a model"))


def test_the_run_is_told_with_the_params_of_all_stages_that_made_it(
    model: Model, batches: Batches
) -> None:
    params = params_of(Evaluate, sample_windows=7)
    run = about_run(model, batches, params)
    assert run["params"] == {
        **batches.reading,
        **batches.params,
        **model.params,
        **params.model_dump(),
    }
    shown = {key: run["params"][key] for key in ("raw_axes", "stride", "hidden_channels")}
    assert shown == {"raw_axes": None, "stride": 1, "hidden_channels": (3,)}
    assert run["params"]["sample_windows"] == 7
    assert run["data"] == {
        "sequences": 12,
        "frame": (18, 18),
        "channels": 1,
        "train": 12,
        "valid": 6,
        "test": 6,
    }
    assert run["device"] == "a CPU"


def physical_run(
    folder: Path, frames: np.ndarray, params: Evaluate, **changes: Any
) -> tuple[list[ScoreConfig], Evaluation]:
    """Evaluate an untrained model on one sequence, of 3 frames to 2, at the end of its time."""
    path = patches_of(
        folder,
        {"only": frames},
        context_frames=3,
        forecast_frames=2,
        split_by="time",
        stride=5,
        **changes,
    )
    with open_patches(path) as stored:
        batches = Batches(stored, repeated=True)
        how = params_of(Train, **REPORT, hidden_channels=(3,))
        model = Training(batches, how, torch.device("cpu")).model
        configs = ScoreConfig.each_of(batches, params)
        (*_, last) = evaluate(model, batches, configs, keep=(0,))
        (window,) = drawn_windows(last, batches, 1)
    np.testing.assert_allclose(window.truth, frames[-2:], rtol=1e-5)
    return configs, last


def test_each_channel_is_scored_in_its_own_unit(tmp_path: Path) -> None:
    """Case B21; reference: NumPy on the physical values."""
    rng = np.random.default_rng(0)
    frames = np.stack(
        [rng.uniform(250, 300, (15, 8, 9)), rng.uniform(0, 0.02, (15, 8, 9))], axis=1
    ).astype(np.float32)
    params = params_of(Evaluate, thresholds=[[280, 290], [0.01, 0.015]], fss_scales=[1])
    configs, last = physical_run(tmp_path, frames, params, value_range=[[200, 320], [0, 0.03]])
    assert [config.quantity.name for config in configs] == ["channel 1", "channel 2"]
    rows = tables.of_quantities(last.scores, configs)
    errors = np.abs(frames[-2:] - frames[-3])
    stays = [row for row in rows["baselines"] if row["forecaster"] == "persistence"]
    for number, threshold in enumerate((280, 0.01)):
        own = [row for row in stays if row["channel"] == f"channel {number + 1}"]
        expected = np.sqrt((errors[:, number] ** 2).mean(axis=(1, 2)))
        np.testing.assert_allclose([row["rmse"] for row in own], expected, rtol=1e-4)
        events = [
            row["events"]
            for row in rows["by_threshold"]
            if row["channel"] == f"channel {number + 1}"
            and (row["forecaster"], row["threshold"]) == ("model", threshold)
        ]
        assert events == (frames[-2:, number] >= threshold).sum(axis=(1, 2)).tolist()
    summary = tables.summaries(last.scores, configs)
    assert list(summary) == ["channel 1", "channel 2"]
    assert (
        summary["channel 2"]["persistence"]["rmse"]
        < 0.02
        < 10
        < summary["channel 1"]["persistence"]["rmse"]
    )


def test_scores_are_physical_whatever_the_transform(tmp_path: Path) -> None:
    rain = np.random.default_rng(0).gamma(0.5, 4, (15, 1, 8, 9)).clip(0.05, 60)
    frames = rain.astype(np.float32)
    params = params_of(Evaluate, fss_scales=[1])
    for transform in ("none", "dbz", "log"):
        folder = tmp_path / transform
        folder.mkdir()
        (config,), last = physical_run(
            folder, frames, params, value_range=[0.04, 60.0], transform=transform
        )
        assert config.thresholds == pytest.approx((6.036, 15.03, 30.02))
        table = tables.of_quantities(last.scores, [config])
        assert "channel" not in table["baselines"][0]
        stays = [row for row in table["baselines"] if row["forecaster"] == "persistence"]
        expected = np.sqrt(((frames[-2:] - frames[-3]) ** 2).mean(axis=(1, 2, 3)))
        np.testing.assert_allclose([row["rmse"] for row in stays], expected, rtol=1e-4)
        means = [row["bias"] for row in table["baselines"] if row["forecaster"] == "climatology"]
        trained = frames[:5].mean(axis=0)
        bias = (trained - frames[-2:]).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(means, bias, rtol=1e-3, atol=1e-4)


def test_thresholds_for_other_channels_than_there_are_are_refused(batches: Batches) -> None:
    params = params_of(Evaluate, thresholds=[[1], [2]])
    with pytest.raises(BadInput, match=r"thresholds: 2 are given, but frames have 1 channel"):
        ScoreConfig.each_of(batches, params)
