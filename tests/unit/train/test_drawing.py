"""Windows are drawn by their law, inside the training frames, from seed, epoch and step alone."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from convlstm.model.batches import Batch, Batches
from convlstm.runtime.errors import BadInput
from convlstm.storage.patches import Window
from convlstm.train.drawing import MOST_TRIES, Drawing, kept_probability
from convlstm.train.params import Train
from tests.builders import MINUTE, REPORT, open_patches, params_of, patches_of

RANDOM: dict[str, Any] = {"random_windows": True, "wet_preference": 0.0}
GAP = 7  # the first frame after the gap in the sequence `gap`


def drawing(batches: Batches, **changes: Any) -> Drawing:
    return Drawing(batches, params_of(Train, **REPORT | {"batch_size": 5} | changes))


def cut_by(
    draws: Drawing, monkeypatch: pytest.MonkeyPatch, epochs: int = 1
) -> tuple[list[Window], list[int]]:
    """Return the windows of some epochs and the ways in which they are turned."""
    windows: list[Window] = []
    ways: list[int] = []
    original = draws.batches.cut

    def cut(cut_windows: list[Window], turns: list[int]) -> Batch:
        windows.extend(cut_windows)
        ways.extend(turns)
        return original(cut_windows[:1], turns[:1])  # the pixels are of no interest here

    with monkeypatch.context() as patch:
        patch.setattr(draws.batches, "cut", cut)
        for epoch in range(1, epochs + 1):
            list(draws.epoch(epoch))
    return windows, ways


def opened(folder: Path, frames: dict[str, np.ndarray], **changes: Any) -> Iterator[Batches]:
    """Yield batches that are kept in memory, so that they last longer than the open file."""
    usual: dict[str, Any] = {"context_frames": 2, "forecast_frames": 1, "tile_size": 8}
    with open_patches(patches_of(folder, frames, **usual | changes)) as stored:
        yield Batches(stored, repeated=True)


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[Batches]:
    """Windows of 3 frames of 8 x 8 in frames of 18 x 21 and 8 x 25, one sequence with a gap.

    Half of the sequences train; in the first one a frame has nothing measured.
    """
    raw = {
        name: np.ones((15, 1, *size), np.uint8)
        for name, size in {"gap": (18, 21), "small": (8, 25), "v": (8, 8), "z": (18, 21)}.items()
    }
    raw["gap"][12] = 255
    minutes = [*range(GAP), *range(100, 115 - GAP)]
    yield from opened(
        tmp_path,
        raw,
        times={"gap": tuple(minute * MINUTE for minute in minutes)},
        split=(0.5, 0.25, 0.25),
        missing_value=255,
        stride=1,
    )


@pytest.fixture
def striped(tmp_path: Path) -> Iterator[Batches]:
    """Windows of 3 x 8 x 8 at three places of 8 x 24, of which 0, a quarter and all are wet."""
    raw = {name: np.zeros((30, 1, 8, 24), np.uint8) for name in "abc"}
    for frames in raw.values():
        frames[..., 8:10] = frames[..., 16:] = 9
    yield from opened(
        tmp_path, raw, patch_size=8, valid_sequences=["b"], test_sequences=["c"], stride=1
    )


def test_an_epoch_of_the_grid_shows_every_training_window_once(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows, ways = cut_by(drawing(batches), monkeypatch)
    grid = [Window(*row) for row in batches.index["train"].tolist()]
    assert len(grid) == 12  # 6 of 12 sequences, 2 windows each
    assert sorted(windows) == sorted(grid)
    assert windows != grid
    assert ways == [0] * 12


CASCADE: dict[str, Any] = {"readout": "cascade", "members": 2, "loss": "crps"}


@pytest.mark.parametrize("changes", [{}, RANDOM, {"augment": "turns"}])
@pytest.mark.parametrize(
    ("part", "readout"), [("frames", {}), ("uniform", {}), ("white", CASCADE)], ids=str
)
def test_seed_epoch_and_step_alone_decide_the_batches_and_the_numbers(
    batches: Batches, part: str, readout: dict[str, Any], changes: dict[str, Any]
) -> None:
    def shown(seed: int, epoch: int, done: int = 0) -> list[torch.Tensor]:
        draws = drawing(batches, seed=seed, **readout | changes)
        return [getattr(step, part) for step in draws.epoch(epoch, done=done)]

    first = shown(0, 1)
    assert [one.shape[1 if part == "white" else 0] for one in first] == [5, 5, 2]
    assert not torch.equal(first[0], first[1])
    assert all(map(torch.equal, first, shown(0, 1)))
    assert not all(map(torch.equal, first, shown(0, 2)))
    assert not all(map(torch.equal, first, shown(1, 1)))
    rest = shown(0, 1, done=1)
    assert len(rest) == 2
    assert all(map(torch.equal, first[1:], rest))


@pytest.mark.parametrize("changes", [{}, RANDOM | {"wet_preference": 1.0}])
def test_an_epoch_that_streams_from_shards_shows_and_resumes_what_one_in_memory_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    chance = np.random.default_rng(0)
    raw = {name: chance.integers(0, 9, (15, 1, 18, 21), np.uint8) for name in "abcd"}
    folder = patches_of(tmp_path, raw, context_frames=2, forecast_frames=1, tile_size=8, stride=1)
    with open_patches(folder) as stored:
        kept = Batches(stored, repeated=True)
        monkeypatch.setattr("convlstm.model.batches.KEPT_IN_MEMORY_BYTES", 0)
        streamed = Batches(stored, repeated=True)
        whole = list(drawing(kept, **changes).epoch(2))
        done = len(whole) // 2
        rest = list(drawing(streamed, **changes).epoch(2, done=done))
    assert done > 5
    assert len(rest) == len(whole) - done
    for own, known in zip(rest, whole[done:], strict=True):
        assert torch.equal(own.frames, known.frames)
        assert torch.equal(own.mask, known.mask)


def test_a_random_window_lies_in_the_training_frames_and_crosses_no_gap(
    wide: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows, _ = cut_by(drawing(wide, **RANDOM), monkeypatch, epochs=40)
    sizes = {"gap": (18, 21), "small": (8, 25)}
    for start, sequence, row, col in windows:
        name = wide.sequences[sequence]
        rows, cols = sizes[name]  # of v and z, which validate and test, there is none
        assert start >= 0
        assert start + 3 <= 15
        assert name != "gap" or start + 3 <= GAP or start >= GAP
        assert name != "gap" or not start <= 12 < start + 3
        assert row % 4 == col % 4 == 0
        assert 0 <= row <= rows - 8
        assert 0 <= col <= cols - 8


def test_a_random_window_has_no_frame_of_those_that_validate_or_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = {"only": np.ones((30, 1, 8, 8), np.uint8)}
    (batches,) = opened(tmp_path, frames, split_by="time", split=(0.5, 0.25, 0.25), stride=1)
    windows, _ = cut_by(drawing(batches, **RANDOM), monkeypatch, epochs=30)
    assert {window.start for window in windows} == set(range(13))  # so the last ends at frame 14
    held_out = [*batches.index["valid"]["start"], *batches.index["test"]["start"]]
    assert min(held_out) == 15


def test_every_place_and_time_is_as_likely_as_the_others(
    wide: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows, _ = cut_by(drawing(wide, **RANDOM), monkeypatch, epochs=100)
    # gap: starts 0 to 4, 7 to 9 (not to 12, where frame 12 is empty), 3 x 4 corners;
    # small: starts 0 to 12, 1 x 5 corners
    places = 8 * 12 + 13 * 5
    seen = Counter(windows)
    assert len(seen) == places
    expected = len(windows) / places
    assert expected > 20
    chi_square = sum((count - expected) ** 2 / expected for count in seen.values())
    # of 160 degrees of freedom, four standard deviations of sqrt(2 * 160) above their mean
    assert chi_square < places - 1 + 4 * (2 * (places - 1)) ** 0.5


def test_the_law_of_the_kept_windows() -> None:
    assert kept_probability(0.0, 0.0) == kept_probability(1.0, 3.0) == pytest.approx(1)
    assert kept_probability(0.0, 1.0) == pytest.approx(0.05)
    assert kept_probability(0.25, 1.0) == pytest.approx(0.05 + 0.95 / 4)
    assert kept_probability(0.25, 0.5) == pytest.approx(0.05 + 0.95 / 2)


@pytest.mark.parametrize(
    ("preference", "weights"),  # of the dry, the quarter wet and the wet place
    [(0.0, (1, 1, 1)), (1.0, (0.05, 0.2875, 1)), (0.5, (0.05, 0.525, 1))],
)
def test_windows_are_drawn_by_the_law(
    striped: Batches,
    monkeypatch: pytest.MonkeyPatch,
    preference: float,
    weights: tuple[float, ...],
) -> None:
    draws = drawing(striped, random_windows=True, wet_preference=preference)
    windows, _ = cut_by(draws, monkeypatch, epochs=30)
    seen = Counter(window.col for window in windows)
    total = len(windows)
    assert total == 30 * 3 * 28  # 3 tiles, 30 - 3 + 1 starts
    for col, weight in zip((0, 8, 16), weights, strict=True):
        share = weight / sum(weights)
        deviation = (share * (1 - share) / total) ** 0.5
        assert seen[col] / total == pytest.approx(share, abs=4 * deviation)


def test_no_random_window_is_drier_than_those_of_the_grid_that_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = {name: np.zeros((30, 1, 8, 24), np.uint8) for name in "abc"}
    for frames in raw.values():
        frames[..., 9:12] = 9
    (batches,) = opened(
        tmp_path,
        raw,
        valid_sequences=["b"],
        test_sequences=["c"],
        stride=1,
        min_wet_fraction=0.25,
    )
    windows, _ = cut_by(drawing(batches, **RANDOM), monkeypatch, epochs=3)
    # columns 4 and 8 hold all three wet ones of their eight
    assert {window.col for window in windows} == {4, 8}


def test_where_no_random_window_can_train_the_grids_does(
    striped: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def none(window: Window) -> None:
        tries.append(window)

    draws = drawing(striped, **RANDOM)
    monkeypatch.setattr(draws, "_wet_share", none)
    windows, _ = cut_by(draws, monkeypatch)
    grid = [Window(*row) for row in striped.index["train"].tolist()]
    assert sorted(windows) == sorted(grid)
    assert len(tries) == MOST_TRIES * len(grid)


@pytest.mark.parametrize(("augment", "count"), [("none", 1), ("flips", 4), ("turns", 8)])
def test_windows_are_turned_in_all_ways_of_their_kind(
    batches: Batches, monkeypatch: pytest.MonkeyPatch, augment: str, count: int
) -> None:
    _, ways = cut_by(drawing(batches, augment=augment), monkeypatch, epochs=60)
    seen = Counter(ways)
    assert sorted(seen) == list(range(count))
    # 720 draws, of 8 ways 90 each with a deviation of 9
    assert min(seen.values()) > 720 / count - 45


def test_windows_that_are_not_square_are_flipped_but_not_turned(tmp_path: Path) -> None:
    raw = {name: np.ones((5, 1, 8, 12), np.uint8) for name in "abc"}
    (oblong,) = opened(tmp_path, raw, tile_size=None)
    with pytest.raises(BadInput) as raised:
        drawing(oblong, augment="turns")
    assert str(raised.value) == (
        "augment = 'turns': needs square windows, but these have 8 x 12 pixels; set augment to "
        "flips, or tile_size to the side of a square"
    )
    assert drawing(oblong, augment="flips").steps == 1
