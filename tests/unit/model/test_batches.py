"""Every window once per epoch, in an order that seed and epoch decide, missing pixels masked."""

from collections.abc import Sequence
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch

from convlstm.demo import rain
from convlstm.model.batches import Batch, Batches
from convlstm.storage import hdf5
from tests.builders import patches_of


def order_of(batches: Batches, *, seed: int, epoch: int) -> torch.Tensor:
    parts = [batch.frames for batch in batches.shuffled("train", 4, seed=seed, epoch=epoch)]
    return torch.cat(parts)


def test_an_epoch_shows_every_training_window_once(batches: Batches) -> None:
    shuffled = order_of(batches, seed=0, epoch=1).flatten(1).sum(dim=1)
    straight = torch.cat([batch.frames for batch in batches.in_order("train", 5)]).flatten(1).sum(1)
    assert len(shuffled) == batches.count("train") == 12  # 6 of 12 sequences, 2 windows each
    assert torch.equal(shuffled.sort().values, straight.sort().values)


def test_seed_and_epoch_alone_decide_the_order(batches: Batches) -> None:
    first = order_of(batches, seed=0, epoch=1)
    assert torch.equal(first, order_of(batches, seed=0, epoch=1))
    assert not torch.equal(first, order_of(batches, seed=0, epoch=2))
    assert not torch.equal(first, order_of(batches, seed=1, epoch=1))


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
    with hdf5.open_complete(patches_path) as file:
        batch = Batches(file, repeated=repeated).take("train", [0, 3])
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
    with hdf5.open_complete(path) as file:
        batches = Batches(file, repeated=True)
        frames, mask = batches.pixels(batches.take("train", [0]))
    assert np.argwhere(~mask[0, 0, 0]).tolist() == [[2, 3]]
    assert frames[0, 0, 0, 2, 3] == 0
    assert np.all(frames[mask] == 0.5)


def test_the_first_batches_of_an_epoch_can_be_left_out(batches: Batches) -> None:
    whole = list(batches.shuffled("train", 5, seed=0, epoch=2))
    rest = list(batches.shuffled("train", 5, seed=0, epoch=2, done=2))
    assert [len(batch.frames) for batch in whole] == [5, 5, 2]
    assert len(rest) == 1
    assert torch.equal(rest[0].frames, whole[2].frames)


def test_frames_stay_in_the_file_where_they_do_not_fit_into_memory(
    patches_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hdf5.open_complete(patches_path) as file:
        size = file["frames"].nbytes
        for most, is_kept in ((size, True), (size - 1, False)):
            monkeypatch.setattr("convlstm.model.batches.KEPT_IN_MEMORY_BYTES", most)
            batches = Batches(file, repeated=True)
            assert isinstance(batches._frames, np.ndarray) == is_kept


def test_windows_are_the_same_from_memory_and_from_the_file(patches_path: Path) -> None:
    with hdf5.open_complete(patches_path) as file:
        kept, streamed = (Batches(file, repeated=repeated) for repeated in (True, False))
        for split in ("train", "valid", "test"):
            pairs = zip(kept.in_order(split, 5), streamed.in_order(split, 5), strict=True)
            for one, other in pairs:
                assert torch.equal(one.frames, other.frames)
                assert torch.equal(one.mask, other.mask)
