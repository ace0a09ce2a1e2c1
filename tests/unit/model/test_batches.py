"""A window is cut anywhere, scaled, folded and turned; what is missing or padding is masked."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch

from convlstm.demo import rain
from convlstm.model.batches import TURNS, Batch, Batches, turned
from convlstm.storage.meaning import Channel, Meaning
from convlstm.storage.patches import Window
from tests.builders import open_patches, patches_of


def test_the_next_batch_is_prefetched_while_the_last_one_is_in_use(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, original, second = [], batches.take, Event()

    def take(split: str, numbers: Sequence[int]) -> Batch:
        read.append(list(numbers))
        if len(read) == 2:
            second.set()
        return original(split, numbers)

    monkeypatch.setattr(batches, "take", take)
    in_use = batches.in_order("train", 5)
    next(in_use)
    assert second.wait(60)
    assert read == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]  # and no more: memory is for two
    assert len(list(in_use)) == 2


def test_an_error_in_reading_is_raised_where_the_batch_is_asked_for(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(*_: object) -> Batch:
        raise OSError("damaged")

    monkeypatch.setattr(batches, "take", take)
    with pytest.raises(OSError, match="damaged"):
        next(batches.in_order("train", 5))


def test_a_window_is_its_sequences_frames_scaled_and_folded(batches: Batches) -> None:
    # the second window of sequence 6, the first that validates, starts at its frame 1
    expected = rain.sequence(frames=6, size=18, seed=1, index=6)[1:6, None] / np.float32(255)
    batch = batches.take("valid", [1])
    np.testing.assert_allclose(
        batches.geometry.unfold(batch.frames.numpy())[0], expected, atol=1e-7
    )


@pytest.mark.parametrize("repeated", [True, False])
def test_a_batch_lies_in_memory_as_the_network_works(patches_path: Path, repeated: bool) -> None:
    with open_patches(patches_path) as stored:
        batch = Batches(stored, repeated=repeated).take("train", [0, 3])
    for part in batch:
        assert part.shape == (2, 5, 16, 5, 5)
        assert part.permute(1, 0, 3, 4, 2).is_contiguous()


def test_padding_is_zero_and_outside_the_mask(batches: Batches) -> None:
    batch = batches.take("test", [0])
    padded = ~torch.from_numpy(batches.geometry.padding_mask())
    assert int(padded.sum()) == 20 * 20 - 18 * 18
    assert not batch.mask[0, :, padded].any()
    assert not batch.frames[0, :, padded].any()
    assert batch.mask[0, :, ~padded].all()


def test_missing_pixels_are_zero_and_outside_the_mask(tmp_path: Path) -> None:
    stored = np.full((15, 1, 8, 8), 100, np.uint8)
    stored[:, :, 2, 3] = 255
    path = patches_of(
        tmp_path,
        {"only": stored},
        context_frames=3,
        forecast_frames=2,
        split_by="time",
        missing_value=(255.0,),
        value_range=(0.0, 200.0),
    )
    with open_patches(path) as opened:
        batches = Batches(opened, repeated=True)
        frames, mask = batches.pixels(batches.take("train", [0]))
    assert np.argwhere(~mask[0, 0, 0]).tolist() == [[2, 3]]
    assert frames[0, 0, 0, 2, 3] == 0
    assert np.all(frames[mask] == 0.5)


def whole(time: int, rows: int, cols: int) -> np.ndarray:
    """Return frames of which no two pixels are alike, and a seventh are missing."""
    frames = np.arange(time * rows * cols, dtype=np.uint16).reshape(time, 1, rows, cols)
    return np.where(frames % 7 == 0, 60_000, frames).astype(np.uint16)


@pytest.fixture(params=[True, False], ids=["memory", "file"])
def large(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Batches]:
    """Windows of 5 frames of 10 x 10, padded to 12 x 12, in 15 frames of 26 x 30, -10 to 20000."""
    path = patches_of(
        tmp_path,
        {"only": whole(15, 26, 30)},
        context_frames=3,
        forecast_frames=2,
        split_by="time",
        tile_size=10,
        value_range=(-10.0, 20_000.0),
        missing_value=60_000,
    )
    with open_patches(path) as stored:
        yield Batches(stored, repeated=request.param)


@pytest.mark.parametrize("turn", range(TURNS))
def test_a_window_and_its_mask_are_cut_and_turned_alike(large: Batches, turn: int) -> None:
    frames, mask = large.pixels(large.cut([Window(4, 0, 13, 20)], [turn]))
    raw = whole(15, 26, 30)[4:9, :, 13:23, 20:30].astype(np.float64)
    flipped = np.flip(raw, tuple(axis for axis, bit in ((-2, 1), (-1, 2)) if turn & bit))
    expected = np.moveaxis(flipped, -1, -2) if turn & 4 else flipped
    np.testing.assert_array_equal(mask[0], expected != 60_000)
    known = (expected + 10) / 20_010
    np.testing.assert_allclose(frames[0][mask[0]], known[mask[0]], atol=1e-6)
    assert not frames[~mask].any()


def test_the_turns_of_a_square_are_all_that_there_are() -> None:
    square = np.arange(9).reshape(3, 3)
    ways = {turned(square, turn).tobytes() for turn in range(TURNS)}
    others = {
        np.rot90(flipped, quarter).tobytes()
        for flipped in (square, np.fliplr(square))
        for quarter in range(4)
    }
    assert ways == others
    assert len(ways) == TURNS
    np.testing.assert_array_equal(turned(square, 0), square)


def test_what_lies_outside_is_the_low_end_of_any_range(large: Batches) -> None:
    batch = large.cut([Window(0, 0, 0, 0)], [0])
    outside = ~torch.from_numpy(large.geometry.padding_mask())
    assert int(outside.sum()) == 12 * 12 - 10 * 10
    assert not batch.mask[0, :, outside].any()
    assert not batch.frames[0, :, outside].any()


def test_the_counts_of_a_window_are_those_of_its_patches(large: Batches) -> None:
    counts = large.counts(Window(2, 0, 8, 12))
    own = whole(15, 26, 30)[2:7, 0, 8:20, 12:24]  # three patches a side, 10 pixels and 2 beyond
    measured = (own != 60_000).sum(axis=(1, 2))
    assert counts.tolist() == [[n, n] for n in measured.tolist()]  # all are above wet_threshold 0


def test_frames_stay_in_the_file_where_they_do_not_fit_into_memory(
    patches_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_patches(patches_path) as stored:
        frames = [sequence.frames for sequence in stored.sequences.values()]
        size = sum(dataset.nbytes for dataset in (*frames, *stored.counts))
        for most, is_kept in ((size, True), (size - 1, False)):
            monkeypatch.setattr("convlstm.model.batches.KEPT_IN_MEMORY_BYTES", most)
            batches = Batches(stored, repeated=True)
            assert isinstance(batches._frames[0], np.ndarray) == is_kept


def test_counts_alone_are_read_once_where_they_fit_and_frames_do_not(
    patches_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_patches(patches_path) as stored:
        size = sum(counts.nbytes for counts in stored.counts)
        window = Window(*stored.windows["train"][0].tolist())
        expected = Batches(stored, repeated=False).counts(window)
        for most, is_kept in ((size, True), (size - 1, False)):
            monkeypatch.setattr("convlstm.model.batches.KEPT_IN_MEMORY_BYTES", most)
            batches = Batches(stored, repeated=True)
            assert not isinstance(batches._counts[window.sequence], np.ndarray)
            for _ in range(2):  # from the file, and from memory
                np.testing.assert_array_equal(batches.counts(window), expected)
            kept = [isinstance(counts, np.ndarray) for counts in batches._counts]
            assert kept == [is_kept and n == window.sequence for n in range(len(kept))]


def test_windows_are_the_same_from_memory_and_from_the_file(patches_path: Path) -> None:
    with open_patches(patches_path) as stored:
        kept, streamed = (Batches(stored, repeated=repeated) for repeated in (True, False))
        for split in ("train", "valid", "test"):
            pairs = zip(kept.in_order(split, 5), streamed.in_order(split, 5), strict=True)
            for one, other in pairs:
                assert torch.equal(one.frames, other.frames)
                assert torch.equal(one.mask, other.mask)


def test_a_batch_of_sequences_with_their_own_scales_is_of_physical_values(tmp_path: Path) -> None:
    # 30 dBZ of 0 to 60: 124 counts of 0.5 dBZ from -32 on, 30 counts of 1 dBZ
    channels = (
        Channel("DBZH", "dBZ", 0.5, -32.0, missing=(255.0,), undetected=(0.0,)),
        Channel("DBZH", "dBZ", 1.0, 0.0, missing=(99.0,)),
    )
    stored = {
        name: np.full((15, 1, 8, 8), count, np.uint8) for name, count in (("a", 124), ("b", 30))
    }
    stored["a"][:, :, 0, :2] = 255, 0
    stored["b"][:, :, 0, 0] = 99
    path = patches_of(
        tmp_path,
        stored,
        meanings={name: Meaning((own,)) for name, own in zip("ab", channels, strict=True)},
        context_frames=3,
        forecast_frames=2,
        split_by="time",
        value_range=[0, 60],
    )
    with open_patches(path) as opened:
        batches = Batches(opened, repeated=True)
        mixed = batches.cut([Window(0, 0, 0, 0), Window(0, 1, 0, 0)], [0, 3])
        frames, mask = batches.pixels(mixed)
        alone = [batches.pixels(batches.cut([Window(0, k, 0, 0)], [3 * k])) for k in (0, 1)]
    assert frames[0, :, 0, 0, :3].tolist() == [[0, 0, 0.5]] * 5
    assert mask[0, 0, 0, 0, :3].tolist() == [False, True, True]
    assert (frames[1, 0, 0, -1, -1], mask[1, 0, 0, -1, -1]) == (0, False)  # turned upside down
    for number, (own, measured) in enumerate(alone):
        np.testing.assert_array_equal(frames[number], own[0])
        np.testing.assert_array_equal(mask[number], measured[0])


def test_folded_channels_have_their_own_ranges(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).random((15, 2, 9, 10))
    frames = (frames * [[[120]], [[0.03]]] + [[[200]], [[0]]]).astype(np.float32)
    path = patches_of(
        tmp_path,
        {"only": frames},
        context_frames=3,
        forecast_frames=2,
        split_by="time",
        value_range=[[200, 320], [0, 0.03]],
    )
    with open_patches(path) as stored:
        batches = Batches(stored, repeated=True)
        seen, _ = batches.pixels(batches.cut([Window(2, 0, 0, 0)], [0]))
    expected = (frames[2:7] - [[[200]], [[0]]]) / [[[120]], [[0.03]]]
    np.testing.assert_allclose(seen[0], expected, atol=1e-6)
