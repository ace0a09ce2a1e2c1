"""The windows of one split of patches.h5 as batches of tensors, shuffled by epoch."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Num, Shaped
from torch import Tensor

from convlstm.patch.folding import Geometry
from convlstm.patch.scaling import Scaling
from convlstm.storage import hdf5
from convlstm.storage.prefetch import ahead

KEPT_IN_MEMORY_BYTES = 4 * 2**30  # frames that together need less are read once, for all epochs
FRAMES_READ_AT_ONCE = 256  # of those: a second copy of all need not fit beside the first


class Batch(NamedTuple):
    """Windows in [0, 1], and where they hold a measured pixel: not missing, not padding.

    They lie in memory as (time, batch, row, col, channel), which the network works in: to turn them
    around in each step would cost more than the gates of a small network.
    """

    frames: Float[Tensor, "batch time channel row col"]
    valid: Bool[Tensor, "batch time channel row col"]


class Batches:
    """The windows of an open patches.h5.

    Args:
        file: the open file.
        repeated: the windows will be read again and again, so they are kept in memory if they fit;
            else memory does not grow with the file.
    """

    def __init__(self, file: hdf5.File, *, repeated: bool) -> None:
        facts = hdf5.description(file)
        self.fingerprint: str = facts["fingerprint"]
        self.geometry = Geometry(**facts["geometry"])
        self.scaling = Scaling(**facts["scaling"])
        self.reading: dict[str, Any] = facts["reading"]
        self.params: dict[str, Any] = facts["params"]
        self.context_frames: int = facts["context_frames"]
        self.forecast_frames: int = facts["forecast_frames"]
        self.index = {split: rows[:] for split, rows in file["windows"].items()}
        self.sequences: list[str] = hdf5.texts(file["sequences"])
        frames = file["frames"]
        fits = frames.nbytes <= KEPT_IN_MEMORY_BYTES
        self._frames = _kept(frames) if repeated and fits else frames
        self._real = _turned(self.geometry.real_pixels())

    def count(self, split: str) -> int:
        """Windows in `split`."""
        return len(self.index[split])

    def take(self, split: str, numbers: Sequence[int] | Int[np.ndarray, " batch"]) -> Batch:
        """The windows of `split` with these numbers, on the CPU."""
        starts = self.index[split]["start"][numbers].tolist()
        unit, measured = self.scaling.to_unit(
            np.stack([self._window(start) for start in starts], axis=1)
        )
        frames, valid = torch.from_numpy(unit), torch.from_numpy(measured & self._real)
        return Batch(frames.permute(1, 0, 4, 2, 3), valid.permute(1, 0, 4, 2, 3))

    def _window(self, start: int) -> Num[np.ndarray, "time row col channel"]:
        length = self.context_frames + self.forecast_frames
        return np.ascontiguousarray(_turned(self._frames[start : start + length]))

    def in_order(self, split: str, batch_size: int) -> Iterator[Batch]:
        """All windows of `split`, as they stand in the index; the last batch may be smaller."""
        yield from self._batches(split, np.arange(self.count(split)), batch_size)

    def shuffled(
        self, split: str, batch_size: int, *, seed: int, epoch: int, done: int = 0
    ) -> Iterator[Batch]:
        """All windows of `split`, in an order that (seed, epoch) alone decides.

        The first `done` batches are left out: a run that goes on has seen them.
        """
        order = np.random.default_rng([seed, epoch]).permutation(self.count(split))
        yield from self._batches(split, order[done * batch_size :], batch_size)

    def pixels(
        self, batch: Batch
    ) -> tuple[
        Float[np.ndarray, "batch time channel row col"],
        Bool[np.ndarray, "batch time channel row col"],
    ]:
        """The unfolded frames of a batch, and where they are measured."""
        return self.geometry.unfold(batch.frames.numpy()), self.geometry.unfold(batch.valid.numpy())

    def _batches(
        self, split: str, order: Int[np.ndarray, " window"], batch_size: int
    ) -> Iterator[Batch]:
        """The next batch is read while the last one is worked on."""
        parts = (order[at : at + batch_size] for at in range(0, len(order), batch_size))
        calls = (partial(self.take, split, numbers) for numbers in parts)
        yield from ahead(calls, threads=1, most=1)


def _turned(
    frames: Shaped[np.ndarray, "*lead channel row col"],
) -> Shaped[np.ndarray, "*lead row col channel"]:
    """The same with its channels last; nothing is copied."""
    return np.moveaxis(frames, -3, -1)


def _kept(frames: hdf5.Dataset) -> Num[np.ndarray, "frame channel row col"]:
    """All frames in memory, where their channels come last: there `_turned` finds them in order."""
    count, channels, rows, cols = frames.shape
    kept = np.empty((count, rows, cols, channels), frames.dtype)
    for start in range(0, count, FRAMES_READ_AT_ONCE):
        block = slice(start, start + FRAMES_READ_AT_ONCE)
        kept[block] = _turned(frames[block])
    return np.moveaxis(kept, -1, -3)
