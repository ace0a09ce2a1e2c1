"""The rule by which windows are drawn, and that no forecast is made twice for it."""

import numpy as np
import pytest
from torch import Tensor

from convlstm.evaluate import scoring, selection
from convlstm.evaluate.scoring import Evaluation, ScoreConfig, evaluate
from convlstm.evaluate.selection import candidates, drawn_windows
from convlstm.model.batches import Batches
from convlstm.model.model_file import Model

FORECAST_BYTES = 2 * 18 * 18 * 4
"""The forecast of a window has 2 frames of 18 x 18 pixels in float32."""

HALF_A_STEP = 0.25 + 1e-4
"""Drawn values of 0 to 255 are rounded to 1/2, the power of two below 255/256."""


def ranked_by_hand(evaluation: Evaluation) -> list[int]:
    """All windows, the most skilful first."""
    (scores,) = evaluation.scores
    ratio = np.divide(scores["model"].window_mse, scores["persistence"].window_mse)
    return [int(number) for number in np.argsort(ratio)]


@pytest.mark.parametrize(
    ("fitting", "count", "expected"),
    [
        (100, 3, [0, 1, 2, 3, 4, 5]),
        (6, 3, [0, 1, 2, 3, 4, 5]),
        (5, 3, [0, 1, 2, 3, 5]),  # 0, 1.25, 2.5, 3.75, 5
        (3, 3, [0, 2, 5]),  # 0, 2.5, 5
        (3, 1, [0, 2, 5]),
        (1, 2, [0, 5]),
        (0, 3, [0, 2, 5]),
        (0, 100, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_candidates_are_as_many_as_fit_spread_evenly_and_at_least_those_to_be_drawn(
    batches: Batches,
    monkeypatch: pytest.MonkeyPatch,
    fitting: int,
    count: int,
    expected: list[int],
) -> None:
    monkeypatch.setattr(selection, "KEPT_BYTES", fitting * FORECAST_BYTES)
    assert sorted(candidates(batches, count, members=1)) == expected


def test_a_forecast_that_does_not_quite_fit_is_no_candidate(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "KEPT_BYTES", 6 * FORECAST_BYTES - 1)
    assert len(candidates(batches, 1, members=1)) == 5


@pytest.mark.parametrize(("members", "kept"), [(24, 5), (2, 4)])
def test_of_an_ensemble_mean_members_and_probability_must_fit(
    batches: Batches, monkeypatch: pytest.MonkeyPatch, members: int, kept: int
) -> None:
    monkeypatch.setattr(selection, "KEPT_BYTES", 4 * kept * FORECAST_BYTES)
    assert len(candidates(batches, 1, members=members)) == 4


def test_the_bytes_of_a_forecast_are_those_that_are_kept(
    evaluation: Evaluation, of_ensemble: Evaluation
) -> None:
    assert {forecast.nbytes for forecast in evaluation.kept.values()} == {FORECAST_BYTES}
    assert set(evaluation.ensembles.values()) == {None}
    for number, forecast in of_ensemble.kept.items():
        ensemble = of_ensemble.ensembles[number]
        assert ensemble is not None
        for own in (forecast, ensemble.members):
            assert own.base is None  # no view that keeps a whole batch
        kept = (forecast, ensemble.members, ensemble.probability)
        assert sum(array.nbytes for array in kept) == 5 * FORECAST_BYTES


def test_each_window_is_forecast_once_for_its_scores_and_its_picture(
    model: Model,
    batches: Batches,
    config: ScoreConfig,
    asked: list[tuple[Tensor, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scoring, "TEST_BATCH", 4)
    (*_, last) = evaluate(model, batches, [config], candidates(batches, 3, members=1))
    assert len(list(drawn_windows(last, batches, 3))) == 3
    assert [len(context) for context, _ in asked] == [4, 2]  # the batches of 6 test windows


def test_a_drawn_forecast_is_the_kept_one_clipped_to_the_value_range(
    evaluation: Evaluation, batches: Batches
) -> None:
    number = ranked_by_hand(evaluation)[2]
    evaluation.kept[number] = np.linspace(-0.5, 1.5, 2 * 18 * 18, dtype=np.float32).reshape(
        2, 1, 18, 18
    )
    (window,) = drawn_windows(evaluation, batches, 1)
    expected = 255 * np.clip(evaluation.kept[number], 0, 1)
    np.testing.assert_allclose(window.forecast, expected, atol=HALF_A_STEP)
    assert len(np.unique(window.forecast)) > 256  # more than a picture has colours
    assert (2 * window.forecast == np.round(2 * window.forecast)).all()


def test_drawn_members_are_the_kept_ones_in_data_units(
    of_ensemble: Evaluation, batches: Batches
) -> None:
    number = ranked_by_hand(of_ensemble)[2]
    kept = of_ensemble.ensembles[number]
    (window,) = drawn_windows(of_ensemble, batches, 1)
    assert kept is not None
    assert window.ensemble is not None
    expected = 255 * np.clip(kept.members, 0, 1)
    np.testing.assert_allclose(window.ensemble.members, expected, atol=HALF_A_STEP)
    np.testing.assert_array_equal(window.ensemble.probability, kept.probability)
    assert window.ensemble.thresholds == (63.75,)


def test_the_drawn_windows_are_the_median_then_the_best_and_the_worst(
    evaluation: Evaluation, batches: Batches
) -> None:
    count, ranked = batches.count("test"), ranked_by_hand(evaluation)
    truths = batches.geometry.unfold(batches.take("test", list(range(count))).frames.numpy())
    drawn = list(drawn_windows(evaluation, batches, 3))
    numbers = (ranked[(count - 1) // 2], ranked[0], ranked[-1])
    for window, number in zip(drawn, numbers, strict=True):
        np.testing.assert_allclose(window.context, 255 * truths[number, :3], atol=1e-3)
        np.testing.assert_allclose(window.truth, 255 * truths[number, 3:], atol=1e-3)
        expected = 255 * np.clip(evaluation.kept[number], 0, 1)
        np.testing.assert_allclose(window.forecast, expected, atol=HALF_A_STEP)


def test_only_candidates_are_drawn(
    model: Model, batches: Batches, config: ScoreConfig, evaluation: Evaluation
) -> None:
    (*_, last) = evaluate(model, batches, [config], keep={1, 4})
    best, worst = (number for number in ranked_by_hand(evaluation) if number in (1, 4))
    drawn = list(drawn_windows(last, batches, 100))
    assert len(drawn) == 2
    for window, number in zip(drawn, (best, worst), strict=True):
        np.testing.assert_allclose(
            window.forecast, 255 * np.clip(last.kept[number], 0, 1), atol=HALF_A_STEP
        )


def test_a_label_names_the_sequence_the_tile_and_the_rank(
    evaluation: Evaluation, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranked = ranked_by_hand(evaluation)
    batch = batches.take("test", [0])
    monkeypatch.setattr(batches, "take", lambda *_: batch)  # whose frames have no tile at (7, 11)
    batches.index["test"]["row"], batches.index["test"]["col"] = 7, 11
    # sequences 9, 10 and 11 test, with two windows each
    names = [f"rain{9 + number // 2}" for number in ranked]
    assert [window.label for window in drawn_windows(evaluation, batches, 3)] == [
        f"sequence {names[2]}, tile at (7, 11): the median of 6 test windows",
        f"sequence {names[0]}, tile at (7, 11): rank 1 of 6 test windows",
        f"sequence {names[5]}, tile at (7, 11): rank 6 of 6 test windows",
    ]


def test_windows_in_which_nothing_moves_are_not_drawn(
    evaluation: Evaluation, batches: Batches
) -> None:
    still = int(np.argmin(evaluation.scores[0]["model"].window_mse))
    evaluation.scores[0]["persistence"].window_mse[still] = 0.0
    labels = [window.label for window in drawn_windows(evaluation, batches, 100)]
    assert len(labels) == batches.count("test") - 1
    assert labels[0].endswith("the median of 5 test windows")


def test_where_nothing_moves_anywhere_windows_are_drawn_all_the_same(
    evaluation: Evaluation, batches: Batches
) -> None:
    evaluation.scores[0]["persistence"].window_mse[:] = [0.0] * batches.count("test")
    assert len(list(drawn_windows(evaluation, batches, 2))) == 2


def test_drawn_windows_are_in_data_units_and_inside_their_range(
    evaluation: Evaluation, batches: Batches
) -> None:
    (window,) = drawn_windows(evaluation, batches, 1)
    assert window.context.shape == (3, 1, 18, 18)
    assert window.truth.max() > 1
    assert window.forecast.min() >= 0
    assert window.forecast.max() <= 255
    assert window.quantities[0].value_range == (0, 255)
