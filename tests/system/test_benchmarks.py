"""The benchmark of the readers compares readers and libraries that read the same, and counts."""

import re
from pathlib import Path

import numpy as np
import pytest

from convlstm.ingest import readers
from convlstm.ingest.sources import find
from convlstm.runtime.errors import Faults
from tests.benchmarks import readers as benchmark
from tests.builders import reading_of

FILM = benchmark.film(frames=3, size=32)


@pytest.mark.parametrize("name", benchmark.KINDS)
def test_a_reader_and_the_bare_library_read_the_same(tmp_path: Path, name: str) -> None:
    kind = benchmark.KINDS[name]
    kind.write(tmp_path / kind.raw, FILM)
    reading = reading_of(**kind.reading)
    found = [
        np.moveaxis(frame.values, 0, -1)
        for source in find(tmp_path / kind.raw, reading, Faults())
        for path in source.files
        for frame in readers.frames(path, reading)
    ]
    bare = [np.atleast_3d(frame) for frame in kind.read(tmp_path / kind.raw)]
    assert len(found) == len(bare) == len(FILM)
    for ours, theirs in zip(found, bare, strict=True):
        np.testing.assert_array_equal(ours, theirs[..., : ours.shape[-1]])  # without alpha
    assert name == "mp4" or np.array_equal(np.stack(found)[..., 0], FILM)  # which is lossy


def test_a_row_has_rates_ratios_and_memory() -> None:
    cells = benchmark.row("hdf5", FILM, rounds=1)
    assert list(cells) == list(benchmark.COLUMNS)
    assert all(re.fullmatch(r"-?[\d.]+", cells[column]) for column in benchmark.COLUMNS[1:])
    assert float(cells["peak_mb"]) > 20  # an interpreter with NumPy and h5py
    assert abs(float(cells["more_mb"])) < 100
