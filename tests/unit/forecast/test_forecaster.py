"""A forecast is in data units, starts from the last frames, and has any size the cell allows."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from convlstm.forecast.forecaster import Forecaster, load
from convlstm.model import model_file
from convlstm.model.network import Network
from convlstm.patch.conversion import Conversion
from convlstm.patch.folding import Geometry
from convlstm.runtime import system
from convlstm.runtime.errors import BadInput, NoRoom
from convlstm.storage.meaning import Channel
from tests.builders import model_of

GEOMETRY = Geometry(channels=2, rows=12, cols=16, patch_size=4)


def forecaster(cell: Literal["convlstm", "peephole", "lstm"] = "convlstm") -> Forecaster:
    made = model_of(cell, GEOMETRY)
    return Forecaster(made, made.scaling)


def frames_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-32, 64, shape).astype(np.float32)


def test_a_loaded_model_forecasts_in_data_units(tmp_path: Path) -> None:
    made = model_of("convlstm", GEOMETRY)
    model_file.save(tmp_path / "model.safetensors", made)
    frames = frames_of(3, 2, 12, 16)
    result = load(tmp_path / "model.safetensors").predict(frames)
    # by hand: -32 to 64 become 0 to 1, then the network, then back
    with torch.no_grad():
        folded = torch.from_numpy(GEOMETRY.fold((frames[None] + 32) / 96))
        unit = GEOMETRY.unfold(made.network.rollout(folded, 2).numpy())[0]
    np.testing.assert_allclose(result, np.clip(unit, 0, 1) * 96 - 32, atol=1e-4)
    assert result.shape == (2, 2, 12, 16)
    assert result.dtype == np.float32


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_any_number_of_frames_can_be_asked_for(steps: int) -> None:
    result = forecaster().predict(frames_of(3, 2, 12, 16), steps)
    assert result.shape == (steps, 2, 12, 16)


def test_a_short_forecast_is_the_beginning_of_a_long_one() -> None:
    frames = frames_of(3, 2, 12, 16)
    long = forecaster().predict(frames, 6)
    np.testing.assert_array_equal(forecaster().predict(frames, 2), long[:2])


def test_of_more_frames_only_the_last_ones_count() -> None:
    frames = frames_of(9, 2, 12, 16)
    expected = forecaster().predict(frames[-3:])
    frames[:-3] = np.nan
    np.testing.assert_array_equal(forecaster().predict(frames), expected)


def test_a_batch_is_its_sequences_one_by_one() -> None:
    batch = frames_of(4, 3, 2, 12, 16)
    together = forecaster().predict(batch)
    for sequence, result in zip(batch, together, strict=True):
        np.testing.assert_allclose(forecaster().predict(sequence), result, atol=1e-4)


def test_a_missing_pixel_is_taken_as_the_low_end() -> None:
    frames = frames_of(3, 2, 12, 16)
    frames[:, :, 3, 4] = -32.0
    expected = forecaster().predict(frames)
    for mark in (np.nan, 255.0):
        frames[:, :, 3, 4] = mark
        np.testing.assert_array_equal(forecaster().predict(frames), expected)


@pytest.mark.parametrize("size", [(12, 16), (13, 17), (31, 8), (3, 3)])
def test_a_convlstm_takes_any_size(size: tuple[int, int]) -> None:
    assert forecaster().predict(frames_of(3, 2, *size)).shape == (2, 2, *size)


@pytest.mark.parametrize("cell", ["peephole", "lstm"])
@pytest.mark.parametrize("size", [(12, 16), (13, 17), (40, 50)])
def test_a_tied_cell_forecasts_larger_frames_in_tiles(
    cell: Literal["peephole", "lstm"], size: tuple[int, int]
) -> None:
    result = forecaster(cell).predict(frames_of(3, 2, *size))
    assert result.shape == (2, 2, *size)
    assert np.isfinite(result).all()


def test_tiles_of_an_even_field_show_no_seam() -> None:
    even = np.full((3, 2, 12, 16), 16, np.float32)
    one = forecaster("lstm").predict(even)
    wide = forecaster("lstm").predict(np.full((3, 2, 12, 28), 16, np.float32))
    # two tiles, 12 columns apart: where both are seen the value lies between theirs
    np.testing.assert_allclose(wide[..., :12], one[..., :12], atol=1e-4)
    np.testing.assert_allclose(wide[..., 16:], one[..., 4:], atol=1e-4)
    low = np.minimum(one[..., 12:16], one[..., :4])
    high = np.maximum(one[..., 12:16], one[..., :4])
    assert (wide[..., 12:16] >= low - 1e-4).all()
    assert (wide[..., 12:16] <= high + 1e-4).all()


@pytest.mark.parametrize(
    ("cell", "shape", "steps", "words"),
    [
        ("convlstm", (2, 2, 12, 16), 1, "here: 2 frames, but the model starts from 3"),
        ("convlstm", (3, 1, 12, 16), 1, "here: 1 channels, but the model has 2"),
        ("convlstm", (3, 2, 12, 16), 0, "steps = 0: must be at least 1"),
        ("peephole", (3, 2, 12, 15), 1, "here: 12 x 15 pixels, but this peephole model is tied"),
        ("lstm", (3, 2, 11, 16), 1, "here: 11 x 16 pixels, but this lstm model is tied"),
    ],
)
def test_frames_that_the_model_cannot_forecast_are_refused(
    cell: Literal["convlstm", "peephole", "lstm"],
    shape: tuple[int, ...],
    steps: int,
    words: str,
) -> None:
    with pytest.raises(BadInput, match=words):
        forecaster(cell).predict(frames_of(*shape), steps, where="here")


@pytest.mark.parametrize("steps", [10**12, 10**20])
def test_steps_for_which_no_memory_can_be_had_are_refused_before_any_frame_is_there(
    steps: int,
) -> None:
    line = f"steps = {steps}: forecasts of 4 x 4 pixels take at least {512 * steps:,} bytes"
    with pytest.raises(NoRoom, match=re.escape(line)):  # 16 bytes, 2 channels, a patch of 4 x 4
        forecaster().check_options(steps, members=1, seed=0)


def test_a_forecast_that_the_memory_cannot_hold_is_refused_by_the_size_of_its_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames = frames_of(5, 3, 2, 12, 16)
    needed = 5 * 7 * 2 * 12 * 16 * 16  # windows, steps, channels, rows, columns, bytes
    monkeypatch.setattr(system, "memory_bytes", lambda: needed)
    assert forecaster().predict(frames, 7).shape == (5, 7, 2, 12, 16)
    monkeypatch.setattr(system, "memory_bytes", lambda: needed - 1)
    with pytest.raises(NoRoom) as raised:
        forecaster().ensemble(frames, 7, members=1)
    assert str(raised.value) == (
        "steps = 7: forecasts of 12 x 16 pixels take at least 215,040 bytes of memory, and there "
        "are 215,039; give fewer"
    )


def test_a_cascade_takes_more_memory_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = frames_of(3, 2, 12, 16)
    monkeypatch.setattr(system, "memory_bytes", lambda: 7 * 12 * 16 * 64 - 1)
    with pytest.raises(NoRoom, match="steps = 7: forecasts of 12 x 16 pixels take at least 86,016"):
        ensemble_forecaster().ensemble(frames, 7, members=2)
    assert ensemble_forecaster().predict(frames, 6, members=2).shape == (2, 6, 2, 12, 16)


def test_a_value_outside_the_range_of_training_is_refused() -> None:
    frames = frames_of(3, 2, 12, 16)
    frames[1, 0, 0, 0] = 100
    with pytest.raises(BadInput, match=r"100\.0 lies outside value_range \[-32, 64\]"):
        forecaster().predict(frames)


def ensemble_forecaster(cell: Literal["convlstm", "peephole", "lstm"] = "convlstm") -> Forecaster:
    """An untrained cascade, which is an extrapolation whose scales give way to noise."""
    made = model_of(cell, GEOMETRY)
    torch.manual_seed(0)
    a = replace(made.network.architecture, readout="cascade", scales=(1.0, 2.0), patch_size=4)
    return Forecaster(replace(made, network=Network(a)), made.scaling)


def test_an_ensemble_has_members_that_differ_and_that_its_seed_decides() -> None:
    frames = frames_of(3, 2, 12, 16)
    first, again = (ensemble_forecaster().predict(frames, members=5) for _ in range(2))
    other = ensemble_forecaster().predict(frames, members=5, seed=1)
    assert first.shape == (5, 2, 2, 12, 16)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1
    assert np.ptp(first, axis=0).max() > 1
    assert first.min() >= -32
    assert first.max() <= 64


def test_more_members_begin_with_the_same_ones_however_many_are_forecast_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames = frames_of(3, 2, 12, 16)
    few = ensemble_forecaster().predict(frames, members=2)
    monkeypatch.setattr(model_file, "PIXELS_TOGETHER", 1)
    many = ensemble_forecaster().predict(frames, members=3)
    np.testing.assert_allclose(many[:2], few, atol=1e-4)


def test_one_forecast_of_a_cascade_is_without_noise() -> None:
    frames = frames_of(3, 2, 12, 16)
    first, again = (ensemble_forecaster().predict(frames) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    spread = ensemble_forecaster().predict(frames, members=40).mean(axis=0)
    assert np.abs(first - spread).mean() < 6  # of 96, though clipping shifts the mean


def test_a_cascade_forecasts_frames_of_any_size() -> None:
    frames = frames_of(3, 2, 13, 22)
    assert ensemble_forecaster().predict(frames, 4, members=2).shape == (2, 4, 2, 13, 22)


@pytest.mark.parametrize("cell", ["convlstm", "peephole", "lstm"])
def test_a_member_is_the_same_in_ensembles_of_two_and_of_eight_and_drawn_one_at_a_time(
    cell: Literal["convlstm", "peephole", "lstm"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames wider than in training, which tied cells forecast in tiles."""
    frames, made = frames_of(2, 3, 2, 12, 28), ensemble_forecaster(cell)
    two, eight = (made.predict(frames, 4, members=count, seed=7) for count in (2, 8))
    assert eight.shape == (8, 2, 4, 2, 12, 28)
    np.testing.assert_allclose(eight[:2], two, atol=1e-4)
    monkeypatch.setattr(model_file, "PIXELS_TOGETHER", 1)
    parts = list(made.ensemble(frames, 4, members=8, seed=7))
    assert [len(part) for part in parts] == [1] * 8
    np.testing.assert_allclose(np.concatenate(parts), eight, atol=1e-4)


def test_members_drawn_here_are_those_of_the_model() -> None:
    """Reference: `Model.rollout`, by which the pipeline scores an ensemble."""
    frames, made = frames_of(3, 2, 12, 16), ensemble_forecaster()
    conversion = Conversion(made.scaling, (), frames.dtype)
    seen, mask = (
        torch.from_numpy(GEOMETRY.fold(part)) for part in conversion.to_unit(frames[None])
    )
    unit = GEOMETRY.unfold(made.model.rollout(seen, mask, 5, members=3, seed=2).numpy())[:, 0]
    members = made.predict(frames, 5, members=3, seed=2)
    np.testing.assert_allclose(members, unit * 96 - 32, atol=1e-4)


@pytest.mark.parametrize(
    ("made", "members", "seed", "line"),
    [
        (forecaster, 24, 0, "members = 24: this model has the readout frame, which has no noise"),
        (ensemble_forecaster, 0, 0, "members = 0: must be at least 1"),
        (ensemble_forecaster, 10_001, 0, "members = 10001: must be at most 10,000"),
        (ensemble_forecaster, 2, -1, "seed = -1: must be at least 0 and less than 2^63"),
        (ensemble_forecaster, 2, 2**63, "seed = 9223372036854775808: must be at least 0"),
    ],
)
def test_members_that_the_model_cannot_give_are_refused_before_any_is_drawn(
    made: Callable[[], Forecaster], members: int, seed: int, line: str
) -> None:
    with pytest.raises(BadInput) as raised:
        made().ensemble(frames_of(3, 2, 12, 16), members=members, seed=seed)
    assert str(raised.value).startswith(line)


def test_a_file_of_another_scale_gives_the_same_forecast() -> None:
    made, physical = forecaster(), np.round(2 * frames_of(3, 2, 12, 16)) / 2
    expected = made.predict(physical)
    for scale, offset in ((0.5, -32.0), (0.25, 10.0)):
        channel = Channel("DBZH", "dBZ", scale, offset, missing=(-9999.0,))
        stored = np.rint((physical - offset) / scale).astype(np.int16)
        (found,) = made.ensemble(stored, members=1, channels=(channel,) * 2)
        np.testing.assert_allclose(found[0], expected, atol=1e-4)


def test_nan_is_missing_in_physical_values_without_a_word_in_params() -> None:
    made = forecaster()
    made = replace(made, scaling=replace(made.scaling, missing_value=()))
    frames = frames_of(3, 2, 12, 16)
    frames[:, :, 3, 4] = -32.0
    expected = made.predict(frames)
    frames[:, :, 3, 4] = np.nan
    np.testing.assert_array_equal(made.predict(frames), expected)
