"""Rows say what was scored; skill and its interval are the textbook's."""

import numpy as np
import pytest
import torch

from convlstm.evaluate import tables
from convlstm.evaluate.scoring import Measured, ScoreConfig, Scores, measured
from convlstm.patch.folding import Geometry
from convlstm.scores import families
from convlstm.scores.categorical import COUNTS
from convlstm.scores.frame import Values
from convlstm.scores.score import Score
from convlstm.storage.meaning import Quantity

CONFIG = ScoreConfig(
    Geometry(1, 16, 16, 4), Quantity(value_range=(0.0, 50.0)), (10.0, 25.0), (1, 4), 2
)
SHAPE = (2, 1, 16, 16)


def result_of(
    forecast: np.ndarray, truth: np.ndarray, members: np.ndarray | None = None
) -> Measured:
    """What is measured of one window, by one forecast or by an ensemble."""
    window = torch.from_numpy(truth)[None]
    own = None if members is None else torch.from_numpy(members)[:, None]
    forecasts = torch.from_numpy(forecast)[None, None]
    (one,) = measured(CONFIG.pooling(), forecasts, window, window > -1, own)
    return one


def scores_of(*errors: float, sequences: int = 1) -> Scores:
    """Windows of random truth, dealt out to sequences; each forecast is off by its error."""
    scores, random = Scores(), np.random.default_rng(0)
    for number, error in enumerate(errors):
        truth = random.random(SHAPE, np.float32) / 2 + np.float32(0.25)
        forecast = truth + np.float32(error)
        scores.add([number % sequences], result_of(forecast, truth))
    return scores


def ensemble_of(*members: float, truth: float) -> Scores:
    """One window of one lead time, in which each member and the truth have one value."""
    shape = (1, 1, 16, 16)
    frames = np.stack([np.full(shape, value, np.float32) for value in members])
    scores = Scores()
    scores.add([0], result_of(frames.mean(axis=0), np.full(shape, truth, np.float32), frames))
    return scores


def keys(scores: tuple[Score, ...]) -> list[str]:
    return [score.key for score in scores]


def test_the_columns_of_each_table_are_those_of_the_catalogue() -> None:
    found = tables.all_of({"model": scores_of(0.1), "zeros": scores_of(-1.0)}, CONFIG)
    by_lead = ["lead", *keys(families.BY_LEAD)]
    place = ["forecaster", "threshold"]
    assert {name: list(rows[0]) for name, rows in found.items()} == {
        "by_lead": by_lead,
        "baselines": ["forecaster", *by_lead],
        "by_threshold": [*place, "lead", "events", *COUNTS, *keys(families.BY_THRESHOLD)],
        "by_scale": [*place, "scale", "lead", "events", *keys(families.BY_SCALE)],
        "reliability": [*place, "lead", "probability", "forecasts", "events"],
        "ranks": ["forecaster", "lead", "rank", "pixels"],
        "spectrum": ["forecaster", "lead", "wavelength_pixels", "power"],
    }
    for rows in found.values():
        assert all(list(row) == list(rows[0]) for row in rows)


def test_the_model_has_a_table_of_its_own_and_the_others_share_one() -> None:
    results = {"model": scores_of(0.1), "zeros": scores_of(-1.0), "advection": scores_of(0.2)}
    found = tables.all_of(results, CONFIG)
    np.testing.assert_equal(found["by_lead"], tables.by_lead(results["model"], CONFIG))
    others = [
        {"forecaster": name, **row}
        for name in ("zeros", "advection")
        for row in tables.by_lead(results[name], CONFIG)
    ]
    np.testing.assert_equal(found["baselines"], others)


def test_a_row_per_lead_time_holds_means_and_pooled_scores_in_data_units() -> None:
    rows = tables.by_lead(scores_of(0.1, -0.1, 0.1, 0.1), CONFIG)
    assert [row["lead"] for row in rows] == [1, 2]
    pooled = ["rmse", "bias", "correlation", "crps", "spread_skill", "rank_deviation", "variogram"]
    assert list(rows[0])[: 1 + len(Values._fields) + len(pooled)] == [
        "lead",
        *Values._fields,
        *pooled,
    ]
    for row in rows:
        assert row["mse"] == pytest.approx(256 * 0.01, rel=1e-5)
        assert row["rmse"] == pytest.approx(5, rel=1e-5)  # 0.1 of 50
        assert row["bias"] == pytest.approx(2.5, rel=1e-5)  # (1 - 1 + 1 + 1) / 4 of 0.1


def test_there_is_a_row_per_forecaster_threshold_and_lead_time() -> None:
    results = {"model": scores_of(0.1), "zeros": scores_of(-1.0)}
    rows = list(tables.by_threshold(results, CONFIG))
    assert [(row["forecaster"], row["threshold"], row["lead"]) for row in rows] == [
        (name, threshold, lead)
        for name in ("model", "zeros")
        for threshold in (10.0, 25.0)
        for lead in (1, 2)
    ]
    events = ("hits", "misses", "false_alarms", "correct_negatives")
    assert all(sum(int(row[name]) for name in events) == 256 for row in rows)
    assert all(row["events"] == row["hits"] + row["misses"] for row in rows)
    assert rows[0]["csi"] == 1  # truth is 12.5 or more everywhere
    assert rows[4]["csi"] == 0


def test_there_is_a_row_per_scale() -> None:
    rows = list(tables.by_scale({"model": scores_of(0.1)}, CONFIG))
    assert len(rows) == 2 * 2 * 2
    assert {row["scale"] for row in rows} == {1, 4}
    assert all(0 <= float(row["fss"]) <= 1 for row in rows)
    by_threshold = list(tables.by_threshold({"model": scores_of(0.1)}, CONFIG))
    events = {(row["threshold"], row["lead"]): row["events"] for row in by_threshold}
    assert all(row["events"] == events[row["threshold"], row["lead"]] for row in rows)


def test_reliability_counts_the_forecasts_of_each_probability_and_which_came_true() -> None:
    rows = list(tables.reliability({"model": ensemble_of(0.25, 0.75, truth=0.5)}, CONFIG))
    assert [tuple(row.values())[1:] for row in rows] == [
        # at 10 of 50 both members and the truth are events, at 25 one member and the truth are
        (10.0, 1, 0.0, 0, 0),
        (10.0, 1, 0.5, 0, 0),
        (10.0, 1, 1.0, 256, 256),
        (25.0, 1, 0.0, 0, 0),
        (25.0, 1, 0.5, 256, 256),
        (25.0, 1, 1.0, 0, 0),
    ]


def test_each_rank_has_a_row_with_its_pixels() -> None:
    results = {"model": ensemble_of(0.25, 0.75, truth=0.5), "zeros": scores_of(-1.0)}
    rows = [tuple(row.values()) for row in tables.rank_counts(results)]
    assert rows == [
        *(("model", 1, rank, pixels) for rank, pixels in enumerate((0, 256, 0))),
        *(("zeros", lead, rank, 256 * rank) for lead in (1, 2) for rank in (0, 1)),
    ]


def test_scores_of_probabilities_stand_beside_those_of_the_mean() -> None:
    (_, row) = tables.by_threshold({"model": ensemble_of(0.25, 0.75, truth=0.5)}, CONFIG)
    assert (row["threshold"], row["events"], row["csi"]) == (25.0, 256, 1)  # the mean is 0.5
    assert row["brier"] == 0.25
    assert np.isnan(row["roc_area"])  # nowhere is no event


def test_the_pictures_of_an_ensemble_are_no_baselines_in_the_summary() -> None:
    names = ("model", "pm_mean", "member", "zeros")
    results = {name: ensemble_of(0.25, 0.75, truth=0.5) for name in names}
    content = tables.summary(results, CONFIG)
    assert list(content) == [*names, "skill_against_zeros", "difference_from_zeros"]
    # at both thresholds all 256 pixels are events
    assert all(content[name]["events"] == 2 * 256 for name in names)


def test_the_spectrum_has_the_truth_once() -> None:
    rows = list(tables.spectrum({"model": scores_of(0.0), "zeros": scores_of(-1.0)}, CONFIG))
    assert [row["forecaster"] for row in rows[::16]] == ["truth", "model", "zeros"]
    power = {
        name: [row["power"] for row in rows if row["forecaster"] == name]
        for name in ("truth", "model", "zeros")
    }
    np.testing.assert_allclose(power["truth"], power["model"], rtol=1e-9)
    assert not any(power["zeros"])
    assert [row["wavelength_pixels"] for row in rows[:8]] == [16 / number for number in range(1, 9)]


@pytest.mark.parametrize(
    ("leads", "drawn"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (10, [1, 5, 10])]
)
def test_the_spectrum_is_that_of_the_first_the_middle_and_the_last_lead_time(
    leads: int, drawn: list[int]
) -> None:
    truth = np.random.default_rng(0).random((leads, 1, 16, 16), np.float32)
    scores = Scores()
    scores.add([0], result_of(truth, truth))
    rows = list(tables.spectrum({"model": scores}, CONFIG))
    assert sorted({row["lead"] for row in rows}) == drawn


def test_skill_is_the_part_of_the_references_error_that_is_gone() -> None:
    content = tables.summary({"model": scores_of(0.1), "zeros": scores_of(0.2)}, CONFIG)
    skill = content["skill_against_zeros"]
    assert skill["mse"] == pytest.approx(1 - 0.01 / 0.04, rel=1e-4)
    assert skill["fmae"] == pytest.approx(0.5, rel=1e-4)
    # SSIM is best at 1
    mine, theirs = (float(str(content[name]["ssim"])) for name in ("model", "zeros"))
    assert skill["ssim"] == pytest.approx((mine - theirs) / (1 - theirs))


def test_a_perfect_reference_leaves_no_skill_to_tell() -> None:
    content = tables.summary({"model": scores_of(0.1), "zeros": scores_of(0.0)}, CONFIG)
    assert "mse" not in content["skill_against_zeros"]


def difference(model: Scores, reference: Scores, score: str = "mse") -> dict[str, float]:
    content = tables.summary({"model": model, "persistence": reference}, CONFIG)
    found = content["difference_from_persistence"][score]
    assert isinstance(found, dict)
    return found


def test_a_difference_that_is_the_same_everywhere_is_certain() -> None:
    found = difference(scores_of(*[0.1] * 6, sequences=6), scores_of(*[0.2] * 6, sequences=6))
    # 256 pixels of 0.01 - 0.04
    for bound in found.values():
        assert bound == pytest.approx(-256 * 0.03, rel=1e-4)
    mine, theirs = scores_of(*[0.1] * 6, sequences=6), scores_of(*[0.2] * 6, sequences=6)
    for bound in difference(mine, theirs, "crps").values():
        assert bound == pytest.approx(50 * (0.1 - 0.2), rel=1e-4)


@pytest.mark.slow
def test_a_difference_that_one_sequence_makes_is_not_sure() -> None:
    reference = scores_of(*[0.2] * 6, sequences=6)
    lucky = difference(scores_of(0.0, *[0.22] * 5, sequences=6), reference)
    assert lucky["low"] < lucky["value"] < lucky["high"]
    assert lucky["high"] > 0  # without the first, the model is worse


def test_the_interval_is_that_of_resampled_sequences() -> None:
    errors = [0.0, 0.1, 0.15, 0.2, 0.25]
    found = difference(scores_of(*errors, sequences=5), scores_of(*[0.2] * 5, sequences=5))
    # by hand: the 2.5 and 97.5 percentiles of means of five drawn with replacement
    each = 256 * (np.square(errors) - 0.04)
    random = np.random.default_rng(1)
    means = each[random.integers(5, size=(20_000, 5))].mean(axis=1)
    assert found["low"] == pytest.approx(np.percentile(means, 2.5), abs=0.6)
    assert found["high"] == pytest.approx(np.percentile(means, 97.5), abs=0.6)


def test_one_sequence_has_no_interval() -> None:
    found = difference(scores_of(0.1, 0.1), scores_of(0.2, 0.2))
    assert np.isnan(found["low"])
    assert np.isnan(found["high"])


def test_the_difference_is_that_of_the_means() -> None:
    results = {"model": scores_of(0.1, -0.1), "persistence": scores_of(-0.2, 0.15)}
    content = tables.summary(results, CONFIG)
    for key in ("mse", "csi", "crps"):
        means = [content[name][key] for name in ("model", "persistence")]
        assert all(isinstance(mean, float) for mean in means)
        found = difference(results["model"], results["persistence"], key)["value"]
        assert found == pytest.approx(float(str(means[0])) - float(str(means[1])), rel=1e-9)


def test_the_headline_has_the_rounded_scores_of_the_model() -> None:
    results = {
        "model": scores_of(0.1),
        "zeros": scores_of(-1.0),
        "persistence": scores_of(0.2),
        "advection": scores_of(-0.05),
    }
    content = tables.summary(results, CONFIG)
    found = tables.headline(content)
    # errors of 0.1, 0.2 and 0.05 everywhere: 1 - (0.1 / 0.2)^2 and 1 - (0.1 / 0.05)^2
    assert found == {
        "mse": 2.56,  # 256 pixels
        "crps": 5.0,  # 0.1 of a range of 50
        "csi": pytest.approx(content["model"]["csi"], rel=1e-3),
        "vs_adv": -3.0,
        "vs_pers": 0.75,
    }
    both = {"rain": content, "t": content}
    assert tables.headline(both) == {"rain": found, "t": found}
    (line,) = tables.in_words(content)
    assert line.startswith("MSE 2.56 (advection 0.64, persistence 10.24); CSI ")
    assert line.endswith("; CRPS 5 (advection 2.5, persistence 10)")
    assert list(tables.in_words(both)) == [f"rain: {line}", f"t: {line}"]


def test_the_headline_of_an_ensemble_has_its_spread() -> None:
    results = dict.fromkeys(("persistence", "advection"), ensemble_of(0.5, truth=0.5))
    results = {"model": ensemble_of(0.2, 0.4, truth=0.5), **results}
    found = tables.headline(tables.summary(results, CONFIG))
    assert found["spread"] == pytest.approx(found["spread"], rel=1e-3)
    assert "vs_adv" not in found  # nothing is better than perfect
