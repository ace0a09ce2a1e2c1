"""Windows of data/patches in the frames of data/frames, as batches of tensors, read ahead."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Num, Shaped
from torch import Tensor

from convlstm.patch.conversion import Conversion
from convlstm.patch.folding import Geometry
from convlstm.patch.scaling import Scaling
from convlstm.storage.frames import Sequence as FrameSequence
from convlstm.storage.meaning import Quantity
from convlstm.storage.patches import Patches, Window
from convlstm.storage.prefetch import prefetch
from convlstm.storage.shards import Stored

KEPT_IN_MEMORY_BYTES = 4 * 2**30
"""Frames and counts that together need no more are read once, for all epochs; so are counts alone,
which are an eighth of the frames for patches of 4 x 4 bytes."""
TURNS = 8
"""Ways to turn and flip a square: each axis backwards or not, then rows as columns or not."""


class Batch(NamedTuple):
    """Folded windows in [0, 1], and the mask of their measured pixels: not missing, not padding.

    They lie in memory as (time, batch, row, col, channel), in which the network works: reordering
    them in each step would cost more than the gates of a small network.
    """

    frames: Float[Tensor, "batch time channel row col"]
    mask: Bool[Tensor, "batch time channel row col"]


class Batches:
    """The windows of an open data/patches.

    Args:
        stored: the contents of the open file, and the frames.
        repeated: the windows will be read again and again, so they are kept in memory if they fit.
            Otherwise memory does not grow with the files.
    """

    def __init__(self, stored: Patches, *, repeated: bool) -> None:
        about = stored.description
        self.fingerprint: str = about["fingerprint"]
        self.geometry = Geometry(**about["geometry"])
        self.scaling = Scaling(**about["scaling"])
        self.quantities = tuple(Quantity(*own) for own in about["quantities"])
        every = list(stored.sequences.values())
        self._conversions = _conversions(self.scaling, every)
        self.reading: dict[str, Any] = about["reading"]
        self.params: dict[str, Any] = about["params"]
        self.context_frames: int = about["context_frames"]
        self.forecast_frames: int = about["forecast_frames"]
        self.index, self.sequences = stored.windows, list(stored.sequences)
        self._frames: list[Stored | np.ndarray] = [own.frames for own in every]
        self._counts, self.spans = list(stored.counts), stored.spans
        self.sizes = [frames.shape[-2:] for frames in self._frames]
        frames, counts = (sum(a.nbytes for a in own) for own in (self._frames, self._counts))
        self._keeps_counts = repeated and counts <= KEPT_IN_MEMORY_BYTES
        if repeated and frames + counts <= KEPT_IN_MEMORY_BYTES:
            self._frames, self._counts = _read(self._frames), _read(self._counts)
        self._padding_mask = _channels_last(self.geometry.padding_mask())

    @property
    def window_frames(self) -> int:
        """The number of frames in a window."""
        return self.context_frames + self.forecast_frames

    def count(self, split: str) -> int:
        """Return the number of windows of the grid in `split`."""
        return len(self.index[split])

    def take(self, split: str, numbers: Sequence[int] | Int[np.ndarray, " batch"]) -> Batch:
        """Return the windows of the grid in `split` with these numbers, on the CPU."""
        rows = self.index[split][numbers].tolist()
        return self.cut([Window(*row) for row in rows], [0] * len(rows))

    def cut(self, windows: Sequence[Window], turns: Sequence[int]) -> Batch:
        """Return windows anywhere in the frames, on the CPU.

        Args:
            windows: that lie within the frames of their sequences.
            turns: one of `TURNS` for each window; from the fourth on it must be square.
        """
        folded = [self._folded(*pair) for pair in zip(windows, turns, strict=True)]
        conversions = [self._conversions[window.sequence] for window in windows]
        if all(conversion is conversions[0] for conversion in conversions):
            unit, measured = self._to_unit(conversions[0], np.stack(folded, axis=1))
        else:
            pairs = map(self._to_unit, conversions, folded)
            unit, measured = (np.stack(parts, axis=1) for parts in zip(*pairs, strict=True))
        unit[..., ~self._padding_mask] = 0  # which is the low end of the range, whatever zero is
        frames, mask = torch.from_numpy(unit), torch.from_numpy(measured & self._padding_mask)
        return Batch(frames.permute(1, 0, 4, 2, 3), mask.permute(1, 0, 4, 2, 3))

    def counts(self, window: Window) -> Int[np.ndarray, "time kind"]:
        """Return how many pixels are measured, and wet, in each frame of a window.

        Its corner must lie on the grid of patches; those that it only touches count as a whole.
        Random windows ask for the counts of several draws each, so what is asked for is kept, if
        all counts fit into memory where frames do not: reading them took more than the frames.
        """
        p, (_, rows, cols) = self.geometry.patch_size, self.geometry.folded_shape
        row, col = window.row // p, window.col // p
        times = slice(window.start, window.start + self.window_frames)
        picks = (times, slice(None), slice(row, row + rows), slice(col, col + cols))
        counts = self._counts[window.sequence]
        if self._keeps_counts and not isinstance(counts, np.ndarray):
            counts = self._counts[window.sequence] = counts[:]
        area = counts[picks]
        return np.asarray(area.sum(axis=(2, 3), dtype=np.int64))

    def _folded(self, window: Window, turn: int) -> Num[np.ndarray, "time row col channel"]:
        """Cut and turn a window, then fold it."""
        times = slice(window.start, window.start + self.window_frames)
        rows = slice(window.row, window.row + self.geometry.rows)
        cols = slice(window.col, window.col + self.geometry.cols)
        pixels = self._frames[window.sequence][times, :, rows, cols]
        return np.ascontiguousarray(_channels_last(self.geometry.fold(turned(pixels, turn))))

    def _to_unit(
        self, conversion: Conversion, folded: Num[np.ndarray, "*lead row col channel"]
    ) -> tuple[
        Float[np.ndarray, "*lead row col channel"], Bool[np.ndarray, "*lead row col channel"]
    ]:
        """Convert stored numbers, whose channels are the fastest part of the folded ones."""
        parts = folded.reshape(*folded.shape[:-1], -1, self.geometry.channels)
        unit, measured = conversion.to_unit(parts, axis=-1)
        return unit.reshape(folded.shape), measured.reshape(folded.shape)

    def in_order(
        self, split: str, batch_size: int, *, every: int = 1, first: int = 0
    ) -> Iterator[Batch]:
        """Yield all windows of `split` in the order of the index; the last batch may be smaller.

        The next batch is read while the last one is in use.

        Args:
            split: its name.
            batch_size: the number of windows in a batch.
            every: of this number of batches only one is yielded; the others are for other ranks.
            first: the number of the first batch that is yielded.
        """
        numbers = np.arange(self.count(split))
        starts = range(first * batch_size, len(numbers), every * batch_size)
        parts = (numbers[at : at + batch_size] for at in starts)
        calls = (partial(self.take, split, part) for part in parts)
        yield from prefetch(calls, threads=1, depth=1)

    def pixels(
        self, batch: Batch
    ) -> tuple[
        Float[np.ndarray, "batch time channel row col"],
        Bool[np.ndarray, "batch time channel row col"],
    ]:
        """Return the unfolded frames and mask of a batch."""
        return self.geometry.unfold(batch.frames.numpy()), self.geometry.unfold(batch.mask.numpy())


def turned(
    frames: Shaped[np.ndarray, "*lead row col"], turn: int
) -> Shaped[np.ndarray, "*lead _ _"]:
    """Return a view of frames that are turned or flipped in one of the ways of `TURNS`.

    0 leaves them as they are; bit 0 flips the rows, bit 1 the columns, and bit 2 then exchanges
    the axes.
    """
    flipped = frames[..., :: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]
    return flipped.swapaxes(-2, -1) if turn & 4 else flipped


def _channels_last(
    frames: Shaped[np.ndarray, "*lead channel row col"],
) -> Shaped[np.ndarray, "*lead row col channel"]:
    """Return a view with the channel axis last."""
    return np.moveaxis(frames, -3, -1)


def _conversions(scaling: Scaling, sequences: Iterable[FrameSequence]) -> list[Conversion]:
    """Return the conversion of each sequence, the same one for those of equal channels and type."""
    found: dict[tuple[str, np.dtype[Any]], Conversion] = {}
    keys = []
    for sequence in sequences:
        keys.append((sequence.meaning.text, sequence.frames.dtype))
        if keys[-1] not in found:
            found[keys[-1]] = Conversion(scaling, sequence.meaning.channels, sequence.frames.dtype)
    return [found[key] for key in keys]


def _read(arrays: Iterable[Stored | np.ndarray]) -> list[Stored | np.ndarray]:
    """Read arrays into memory, each of them at once."""
    return [array[:] for array in arrays]
