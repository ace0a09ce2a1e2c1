"""Windows of patches.h5 as batches of tensors, shuffled by epoch and read ahead of their use."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Num, Shaped
from torch import Tensor

from convlstm.patch.folding import Geometry
from convlstm.patch.scaling import Scaling
from convlstm.storage import hdf5, patches
from convlstm.storage.prefetch import prefetch

KEPT_IN_MEMORY_BYTES = 4 * 2**30  # frames that together need less are read once, for all epochs
FRAMES_PER_READ = 256  # of those, so that a second copy of all need not fit beside the first


class Batch(NamedTuple):
    """Folded windows in [0, 1], and the mask of their measured pixels: not missing, not padding.

    They lie in memory as (time, batch, row, col, channel), in which the network works: reordering
    them in each step would cost more than the gates of a small network.
    """

    frames: Float[Tensor, "batch time channel row col"]
    mask: Bool[Tensor, "batch time channel row col"]


class Batches:
    """The windows of an open patches.h5.

    Args:
        file: the open file.
        repeated: the windows will be read again and again, so they are kept in memory if they fit.
            Otherwise memory does not grow with the file.
    """

    def __init__(self, file: hdf5.File, *, repeated: bool) -> None:
        stored = patches.read(file)
        about = stored.description
        self.fingerprint: str = about["fingerprint"]
        self.geometry = Geometry(**about["geometry"])
        self.scaling = Scaling(**about["scaling"])
        self.reading: dict[str, Any] = about["reading"]
        self.params: dict[str, Any] = about["params"]
        self.context_frames: int = about["context_frames"]
        self.forecast_frames: int = about["forecast_frames"]
        self.index, self.sequences = stored.windows, stored.sequences
        fits = stored.frames.nbytes <= KEPT_IN_MEMORY_BYTES
        self._frames = _in_memory(stored.frames) if repeated and fits else stored.frames
        self._padding_mask = _channels_last(self.geometry.padding_mask())

    def count(self, split: str) -> int:
        """Return the number of windows in `split`."""
        return len(self.index[split])

    def take(self, split: str, numbers: Sequence[int] | Int[np.ndarray, " batch"]) -> Batch:
        """Return the windows of `split` with these numbers, on the CPU."""
        starts = self.index[split]["start"][numbers].tolist()
        unit, measured = self.scaling.to_unit(
            np.stack([self._window(start) for start in starts], axis=1)
        )
        frames, mask = torch.from_numpy(unit), torch.from_numpy(measured & self._padding_mask)
        return Batch(frames.permute(1, 0, 4, 2, 3), mask.permute(1, 0, 4, 2, 3))

    def _window(self, start: int) -> Num[np.ndarray, "time row col channel"]:
        length = self.context_frames + self.forecast_frames
        return np.ascontiguousarray(_channels_last(self._frames[start : start + length]))

    def in_order(self, split: str, batch_size: int) -> Iterator[Batch]:
        """Yield all windows of `split` in the order of the index; the last batch may be smaller."""
        yield from self._batches(split, np.arange(self.count(split)), batch_size)

    def shuffled(
        self, split: str, batch_size: int, *, seed: int, epoch: int, done: int = 0
    ) -> Iterator[Batch]:
        """Yield all windows of `split` in an order that (seed, epoch) alone decides.

        The first `done` batches are left out, because a resumed run has seen them.
        """
        order = np.random.default_rng([seed, epoch]).permutation(self.count(split))
        yield from self._batches(split, order[done * batch_size :], batch_size)

    def pixels(
        self, batch: Batch
    ) -> tuple[
        Float[np.ndarray, "batch time channel row col"],
        Bool[np.ndarray, "batch time channel row col"],
    ]:
        """Return the unfolded frames and mask of a batch."""
        return self.geometry.unfold(batch.frames.numpy()), self.geometry.unfold(batch.mask.numpy())

    def _batches(
        self, split: str, order: Int[np.ndarray, " window"], batch_size: int
    ) -> Iterator[Batch]:
        """Yield batches, the next of which is read while the last one is in use."""
        parts = (order[at : at + batch_size] for at in range(0, len(order), batch_size))
        calls = (partial(self.take, split, numbers) for numbers in parts)
        yield from prefetch(calls, threads=1, depth=1)


def _channels_last(
    frames: Shaped[np.ndarray, "*lead channel row col"],
) -> Shaped[np.ndarray, "*lead row col channel"]:
    """Return a view with the channel axis last."""
    return np.moveaxis(frames, -3, -1)


def _in_memory(frames: hdf5.Dataset) -> Num[np.ndarray, "frame channel row col"]:
    """Read all frames, and lay them out so that `_channels_last` finds them contiguous."""
    count, channels, rows, cols = frames.shape
    kept = np.empty((count, rows, cols, channels), frames.dtype)
    for start in range(0, count, FRAMES_PER_READ):
        block = slice(start, start + FRAMES_PER_READ)
        kept[block] = _channels_last(frames[block])
    return np.moveaxis(kept, -1, -3)
