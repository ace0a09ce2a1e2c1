"""Chunks of HDF5 that are unpacked here: several threads can, while HDF5 lets in one at a time.

Only the usual chunks of one frame, packed by zlib with or without shuffled bytes, are; all others
are left to HDF5. libdeflate takes a quarter of the time of the zlib that HDF5 is built with.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import numpy as np
from h5py import h5d, h5z

_PLAIN, _SHUFFLED = [h5z.FILTER_DEFLATE], [h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE]


class Frames:
    """A dataset (row, col) or (time, row, col) of which each frame is a packed chunk."""

    def __init__(self, dataset: h5py.Dataset, *, shuffled: bool) -> None:
        self._dataset, self._shuffled = dataset, shuffled
        self.shape, self.dtype = dataset.shape, dataset.dtype

    def __getitem__(self, picks: tuple[Any, ...]) -> np.ndarray:
        *time, rows, cols = picks
        whole = (rows, cols) == (slice(None), slice(None))
        if not whole or not all(isinstance(numbers, slice | np.ndarray) for numbers in time):
            return np.asarray(self._dataset[picks])  # the axes are others than time, row, col
        if not time:
            return self._frame(())
        numbers = np.arange(self.shape[0])[time[0]].tolist()
        block = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        for frame, number in zip(block, numbers, strict=True):
            frame[:] = self._frame((number,))
        return block

    def _frame(self, place: tuple[int, ...]) -> np.ndarray:
        dataset, size = self._dataset, self.shape[-2] * self.shape[-1]
        bytes_needed = size * self.dtype.itemsize
        try:
            mask, packed = dataset.id.read_direct_chunk((*place, 0, 0))
            content = imagecodecs.deflate_decode(packed, out=bytes_needed)
        except (OSError, RuntimeError, ValueError):  # of libdeflate, too
            mask, content = 1, b""
        if mask or len(content) != bytes_needed:  # never written, or not packed: HDF5 knows
            return np.asarray(dataset[place])
        if self._shuffled:
            parts = np.frombuffer(content, np.uint8).reshape(self.dtype.itemsize, size)
            content = np.ascontiguousarray(parts.T).tobytes()
        return np.frombuffer(content, self.dtype).reshape(self.shape[-2:])


@contextmanager
def opened(path: Path, name: str) -> Iterator[Any]:
    """Open a file for one dataset, which `of` returns."""
    with h5py.File(path, "r") as file:
        yield of(file[name])


def of(dataset: h5py.Dataset) -> Any:
    """Return the dataset as one that several threads unpack at once, or as it is."""
    frame = (*(1 for _ in dataset.shape[:-2]), *dataset.shape[-2:])
    if dataset.ndim not in (2, 3) or dataset.dtype.kind not in "iuf":
        return dataset
    layout = dataset.id.get_create_plist()
    if layout.get_layout() != h5d.CHUNKED or layout.get_chunk() != frame:
        return dataset
    filters = [layout.get_filter(number)[0] for number in range(layout.get_nfilters())]
    packed = filters in (_PLAIN, _SHUFFLED)
    return Frames(dataset, shuffled=filters == _SHUFFLED) if packed else dataset
