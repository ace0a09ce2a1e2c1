"""The suffix of a file chooses its reader, whatever its case and the dots before it."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convlstm.ingest import readers
from convlstm.runtime.errors import BadInput
from tests.builders import reading_of, values_of


@pytest.mark.parametrize(
    ("name", "suffix", "stem"),
    [
        ("a.png", ".png", "a"),
        ("A.PNG", ".png", "A"),
        ("v1.2.2020.tif", ".tif", "v1.2.2020"),
        ("a.pgm.gz", ".pgm.gz", "a"),
        ("a.b.PGM.GZ", ".pgm.gz", "a.b"),
        ("a.png.gz", "", "a.png.gz"),
        ("a.gz", "", "a.gz"),
        ("a.txt", "", "a.txt"),
        ("png", "", "png"),
        ("a.nc4", ".nc4", "a"),
        ("a.mkv", ".mkv", "a"),
    ],
)
def test_a_name_is_its_stem_and_a_suffix_that_is_read(name: str, suffix: str, stem: str) -> None:
    assert readers.suffix(Path(name)) == suffix
    assert readers.stem(Path(name)) == stem


def test_every_suffix_belongs_to_one_kind() -> None:
    suffixes = [suffix for reader in readers.READERS for suffix in reader.SUFFIXES]
    assert sorted(readers.KINDS) == sorted(suffixes)


@pytest.mark.parametrize(
    ("name", "is_array"), [("a.npy", True), ("a.H5", True), ("a.tif", False), ("a.mp4", False)]
)
def test_an_array_is_told_from_a_picture(name: str, is_array: bool) -> None:
    assert readers.is_array(Path(name)) is is_array


def test_each_kind_of_file_is_read_by_its_reader(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.pgm")
    (tmp_path / "a.pgm.gz").write_bytes(gzip.compress((tmp_path / "a.pgm").read_bytes()))
    np.save(tmp_path / "a.npy", np.stack([pixels] * 3))
    for name, count in (("a.pgm", 1), ("a.pgm.gz", 1), ("a.npy", 3)):
        assert readers.extent(tmp_path / name, reading_of()) == (1, count)
        frames = values_of(readers.frames(tmp_path / name, reading_of()))
        np.testing.assert_array_equal(frames, np.stack([pixels[None]] * count))


def test_a_part_of_an_array_is_read_by_its_number(tmp_path: Path) -> None:
    array = np.arange(2 * 3 * 8 * 9).reshape(2, 3, 8, 9)
    np.save(tmp_path / "a.npy", array)
    reading = reading_of(raw_axes="NTHW")
    assert readers.extent(tmp_path / "a.npy", reading) == (2, 3)
    frames = values_of(readers.frames(tmp_path / "a.npy", reading, 1))
    np.testing.assert_array_equal(frames, array[1][:, None])


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.mp4"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    for read in (readers.extent, lambda *of: list(readers.frames(*of))):
        with pytest.raises(BadInput, match=rf"{name}: not a regular file; remove it"):
            read(tmp_path / name, reading_of())


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.h5", "a.mp4"])
def test_a_missing_file_is_named_with_its_reason(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=rf"{name}: cannot be read as an? .*No such file"):
        readers.extent(tmp_path / name, reading_of())
