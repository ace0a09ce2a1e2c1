"""The content of a file chooses its reader, and its suffix if the content is broken."""

import gzip
import io
import os
from pathlib import Path

import h5py
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
        ("202101012005.hf5", ".hf5", "202101012005"),
        ("a.he5", ".he5", "a"),
        ("a.zarr", ".zarr", "a"),
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


PIXELS = np.random.default_rng(0).integers(0, 256, (8, 9), np.uint8)


def written(path: Path, kind: str) -> Path:
    """Write a frame of a kind under any name."""
    match kind:
        case "npy":
            with path.open("wb") as file:
                np.save(file, PIXELS)
        case "npz":
            with path.open("wb") as file:
                np.savez_compressed(file, a=PIXELS)
        case "HDF5":
            with h5py.File(path, "w", userblock_size=512) as file:
                file["a"] = PIXELS
        case "gz":
            buffer = io.BytesIO()
            Image.fromarray(PIXELS).save(buffer, "PPM")
            path.write_bytes(gzip.compress(buffer.getvalue()))
        case _:
            Image.fromarray(PIXELS).save(path, kind)
    return path


@pytest.mark.parametrize("name", ["a.hf5", "a", "a.2020", "a.dat", "a.png"])
@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP", "PPM", "npy", "npz", "HDF5"])
def test_a_file_is_read_by_its_content_whatever_its_name(
    tmp_path: Path, name: str, kind: str
) -> None:
    path = written(tmp_path / name, kind)
    assert readers.is_read(path)
    assert readers.is_array(path) is (kind in ("npy", "npz", "HDF5"))
    ((frame,),) = values_of(readers.frames(path, reading_of()))
    np.testing.assert_array_equal(frame, PIXELS)


def test_gzip_is_read_if_a_picture_is_in_it(tmp_path: Path) -> None:
    assert readers.is_read(written(tmp_path / "a.gz", "gz"))
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"a,b,c"))
    assert not readers.is_read(tmp_path / "b.gz")


@pytest.mark.parametrize(
    "content",
    [b"", b"text", b"PK\x03\x04" + bytes(26) + b"word/document.xml", b"BM is a word", b"P1"],
)
def test_a_file_of_no_kind_is_passed_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    assert not readers.is_read(tmp_path / "a.txt")
    with pytest.raises(BadInput, match=r"a\.txt: is of no kind that is read"):
        readers.extent(tmp_path / "a.txt", reading_of())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"GRIB\0\0\0\2", "is GRIB, which is not read; convert it with `cdo -f nc4 copy`"),
        (b"\x0e\x03\x13\x01", "is HDF4, which is not read; convert it with h4toh5"),
        (b"CDF\x05", "is NetCDF-3 of 64-bit data .* with `nccopy -k nc4`"),
    ],
)
@pytest.mark.parametrize("name", ["a.hdf", "a.nc", "a"])
def test_a_kind_that_is_not_read_is_named_with_its_remedy(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert readers.is_read(tmp_path / name)
    with pytest.raises(BadInput, match=rf"{name}: {words}"):
        readers.extent(tmp_path / name, reading_of())


def test_only_a_folder_of_zarr_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    assert not readers.is_read(tmp_path / "a.zarr")
    (tmp_path / "a.zarr/.zgroup").write_text("{}")
    assert readers.is_read(tmp_path / "a.zarr")


def test_what_can_be_read_from_any_frame_on_says_so(tmp_path: Path) -> None:
    film = np.arange(5 * 72, dtype=np.uint8).reshape(5, 8, 9)
    np.save(tmp_path / "a.npy", film)
    np.savez_compressed(tmp_path / "a.npz", film)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = film
    first, *others = map(Image.fromarray, film)
    first.save(tmp_path / "a.gif", save_all=True, append_images=others)
    zarr = tmp_path / "a.zarr"
    zarr.mkdir()
    (zarr / "zarr.json").write_text("{}")
    known = {path.name: readers.is_begun_anywhere(path) for path in tmp_path.iterdir()}
    names = {"a.npy": True, "a.npz": False, "a.h5": True, "a.gif": False, "a.zarr": False}
    assert known == names
    for name in ("a.npy", "a.h5"):
        third = next(readers.frames(tmp_path / name, reading_of(), 0, 2))
        np.testing.assert_array_equal(third.values[0], film[2])
