"""Pages of a TIFF are frames where its file says so; their writer, tifffile, is the reference."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from convlstm.ingest import tiffs
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame
from tests.builders import reading_of

FILM = np.random.default_rng(0).integers(0, 256, (6, 9, 11), np.uint8)
TWO = np.random.default_rng(1).integers(0, 256, (6, 2, 9, 11), np.uint8)


def read(path: Path, part: int = 0, **reading: object) -> np.ndarray:
    """Return all frames of a file, (time, channel, row, col)."""
    return np.stack([frame.values for frame in listed(path, part, **reading)])


def listed(path: Path, part: int = 0, **reading: object) -> list[Frame]:
    found = list(tiffs.frames(path, reading_of(**reading), part))
    assert tiffs.extent(path, reading_of(**reading))[1] >= len(found)
    return found


def written(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, pixels, **options)
    return path


@pytest.mark.parametrize("how", ["imagej", "ome", "shaped"])
def test_channels_that_the_file_names_are_channels(tmp_path: Path, how: str) -> None:
    # B7: 60 frames whose channels alternate
    path = tmp_path / ("a.ome.tif" if how == "ome" else "a.tif")
    if how == "ome":
        written(path, TWO[:, :, None], metadata={"axes": "TCZYX"})
    else:
        written(path, TWO, imagej=how == "imagej", metadata={"axes": "TCYX"})
    assert tiffs.extent(path, reading_of()) == (1, 6)
    np.testing.assert_array_equal(read(path), TWO)


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "zstd", "packbits", "lzma"])
def test_channels_may_come_before_time_and_be_packed(
    tmp_path: Path, compression: str | None
) -> None:
    path = tmp_path / "a.tif"
    written(path, TWO.swapaxes(0, 1), compression=compression, metadata={"axes": "CTYX"})
    np.testing.assert_array_equal(read(path), TWO)


def test_pages_without_a_word_are_time(tmp_path: Path) -> None:
    some: list[dict[str, Any]] = [{}, {"metadata": None}, {"compression": "lzw"}]
    some.append({"metadata": None, "compression": "zlib"})
    for number, options in enumerate(some):
        path = written(tmp_path / f"{number}.tif", FILM, **options)
        np.testing.assert_array_equal(read(path), FILM[:, None])
    with tifffile.TiffWriter(tmp_path / "each.tif") as file:
        for frame in FILM:
            file.write(frame, compression="lzw")
    np.testing.assert_array_equal(read(tmp_path / "each.tif"), FILM[:, None])


@pytest.mark.parametrize(
    ("axes", "imagej"), [("ZYX", False), ("ZYX", True), ("TZYX", True), ("PYX", False)]
)
def test_an_axis_that_is_none_of_a_film_is_refused(tmp_path: Path, axes: str, imagej: bool) -> None:
    pixels = TWO if len(axes) == 4 else FILM
    path = written(tmp_path / "a.tif", pixels, imagej=imagej, metadata={"axes": axes})
    with pytest.raises(BadInput, match=rf"a\.tif: .*its axes are {axes} of .*set raw_axes, as "):
        read(path)


def test_raw_axes_come_before_what_the_file_says(tmp_path: Path) -> None:
    path = written(tmp_path / "z.tif", FILM, imagej=True, metadata={"axes": "ZYX"})
    np.testing.assert_array_equal(read(path, raw_axes="THW"), FILM[:, None])
    np.testing.assert_array_equal(read(path, raw_axes="CHW"), FILM[None])
    path = written(tmp_path / "q.tif", TWO)
    with pytest.raises(BadInput, match="its axes are QQYX of 6 x 2 x 9 x 11"):
        read(path)
    np.testing.assert_array_equal(read(path, raw_axes="TCHW"), TWO)
    assert tiffs.extent(path, reading_of(raw_axes="TNHW")) == (2, 6)
    np.testing.assert_array_equal(read(path, 1, raw_axes="TNHW"), TWO[:, 1:])
    with pytest.raises(BadInput, match="raw_axes = THW, but its axes are QQYX"):
        read(path, raw_axes="THW")


def test_bands_without_a_name_are_refused_until_raw_axes_names_them(tmp_path: Path) -> None:
    bands = np.moveaxis(FILM, 0, -1)
    options = {"photometric": "minisblack", "planarconfig": "contig", "metadata": None}
    path = written(tmp_path / "a.tif", bands, **options)
    with pytest.raises(BadInput, match=r"a pixel has 6 samples, .* set raw_axes, as HWC or HWT"):
        read(path)
    np.testing.assert_array_equal(read(path, raw_axes="HWC"), FILM[None])
    np.testing.assert_array_equal(read(path, raw_axes="HWT"), FILM[:, None])


def test_overviews_and_masks_are_no_frames(tmp_path: Path) -> None:
    # B17: tiles of floats with two overviews, and missing numbers of GDAL
    path, pixels = tmp_path / "a.tif", np.full((64, 64), -9999, np.float32)
    pixels[:9] = 3.5
    for metadata in dict[str, Any](), None:
        with tifffile.TiffWriter(path) as file:
            tags = [(42113, "s", 0, "-9999", True)]
            file.write(pixels, tile=(32, 32), extratags=tags, metadata=metadata)
            for step in (2, 4):
                file.write(pixels[::step, ::step], subfiletype=1, metadata=metadata)
        assert tiffs.extent(path, reading_of()) == (1, 1)
        (frame,) = listed(path)
        np.testing.assert_array_equal(frame.values, pixels[None])
        assert frame.meaning.channels[0].missing == (-9999,)


def test_a_mask_says_which_pixels_are_missing(tmp_path: Path) -> None:
    mask = FILM[0] > 99
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(FILM[0], metadata=None)
        file.write(mask, subfiletype=4, photometric="minisblack", metadata=None)
    (frame,) = listed(tmp_path / "a.tif")
    np.testing.assert_array_equal(frame.values[0], np.where(mask, FILM[0].astype(int), -1))
    assert frame.meaning.channels[0].missing == (-1,)


def test_pages_of_several_sizes_are_refused(tmp_path: Path) -> None:
    for metadata in dict[str, Any](), None:
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            file.write(FILM[0], metadata=metadata)
            file.write(FILM[0, ::2], metadata=metadata)
        with pytest.raises(BadInput, match="several sizes"):
            read(tmp_path / "a.tif")


def test_each_image_of_an_ome_file_is_a_sequence(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
        for film in (FILM, FILM[::-1]):
            file.write(film, metadata={"axes": "TYX"})
    assert tiffs.extent(tmp_path / "a.ome.tif", reading_of()) == (2, 6)
    np.testing.assert_array_equal(read(tmp_path / "a.ome.tif"), FILM[:, None])
    np.testing.assert_array_equal(read(tmp_path / "a.ome.tif", 1), FILM[::-1, None])


def ome(path: Path, *, film: np.ndarray = FILM, **metadata: Any) -> Path:
    return written(path, film, metadata={"axes": "TYX", **metadata})


def test_ome_times_are_those_of_the_planes_after_the_date(tmp_path: Path) -> None:
    delays = [0.0, 1.5, 3.0, 60.0, 61.5, 63.0]
    path = ome(
        tmp_path / "a.ome.tif",
        AcquisitionDate="2021-02-03T20:05:00",
        Plane={"DeltaT": delays, "DeltaTUnit": ["s"] * 6},
    )
    begin = 1612382700 * 10**6  # date -u -d 2021-02-03T20:05:00 +%s
    found = [frame.time for frame in listed(path)]
    assert found == [begin + round(delay * 10**6) for delay in delays]


def test_a_constant_step_gives_times_only_after_a_date(tmp_path: Path) -> None:
    step: dict[str, Any] = {"TimeIncrement": 5.0, "TimeIncrementUnit": "min"}
    dated = ome(tmp_path / "a.ome.tif", AcquisitionDate="1970-01-01T00:00:00", **step)
    assert [frame.time for frame in listed(dated)] == [300 * 10**6 * time for time in range(6)]
    undated = ome(tmp_path / "b.ome.tif", **step)
    assert [frame.time for frame in listed(undated)] == [None] * 6


def test_names_of_ome_channels_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    written(path, TWO, metadata={"axes": "TCYX", "Channel": {"Name": ["rain", "snow"]}})
    assert [channel.name for channel in listed(path)[0].meaning.channels] == ["rain", "snow"]


def test_an_ome_file_of_several_files_is_refused(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.ome.tif")
    text = str(tifffile.tiffcomment(path))
    uuid = (
        '<TiffData IFD="0" PlaneCount="6"><UUID FileName="b.ome.tif">urn:uuid:1</UUID></TiffData>'
    )
    assert '<TiffData IFD="0" PlaneCount="6"/>' in text
    tifffile.tiffcomment(path, text.replace('<TiffData IFD="0" PlaneCount="6"/>', uuid).encode())
    with pytest.raises(BadInput, match="names other files or is damaged"):
        read(path)


def test_pages_that_an_ome_file_does_not_have_end_it_or_leave_a_gap(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.ome.tif")
    text, whole = str(tifffile.tiffcomment(path)), '<TiffData IFD="0" PlaneCount="6"/>'
    for first, kept in (((0, 3), 4), ((0, 4), None)):
        some = "".join(
            f'<TiffData IFD="{number}" FirstT="{number}" PlaneCount="1"/>'
            for number in (*range(first[1]), *([] if kept else [5]))
        )
        tifffile.tiffcomment(path, text.replace(whole, some).encode())
        if kept is not None:
            np.testing.assert_array_equal(read(path), FILM[: first[1], None])
        else:
            with pytest.raises(BadInput, match="has a gap before its frame 6"):
                read(path)


def test_two_sizes_of_one_page_are_checked_before_it_is_unpacked(tmp_path: Path) -> None:
    zeros = np.zeros((400, 400), np.uint8)
    for options in ({"tile": (16, 16)}, {"compression": "zlib"}, {"compression": "jpeg"}):
        path = written(tmp_path / "a.tif", zeros, **options)
        with pytest.raises(BadInput, match="max_pixels = 1000"):
            read(path, max_pixels=1000)


def test_a_jpeg_within_a_page_may_not_be_larger_than_the_page(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", np.zeros((64, 64), np.uint8), compression="jpeg")
    content = path.read_bytes()
    size = content.index(b"\xff\xc0") + 5
    changed = content[:size] + struct.pack(">2H", 60000, 60000) + content[size + 4 :]
    path.write_bytes(changed)
    with pytest.raises(BadInput, match="max_pixels = 10000"):
        read(path, max_pixels=10000)


def test_a_file_that_promises_a_page_that_is_not_there_is_named(tmp_path: Path) -> None:
    # after the tags, 12 bytes each, stands where the next page begins
    Image.fromarray(FILM[0]).save(tmp_path / "a.tif")
    damaged = bytearray((tmp_path / "a.tif").read_bytes())
    damaged[10 + 12 * damaged[8]] = 5
    (tmp_path / "a.tif").write_bytes(damaged)
    with pytest.raises(BadInput, match=r"a\.tif: cannot be read as an image"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("metadata", [None, {"axes": "TYX"}])
def test_pages_that_go_in_a_circle_are_named(
    tmp_path: Path, metadata: dict[str, Any] | None
) -> None:
    path = written(tmp_path / "a.tif", FILM, metadata=metadata)
    with tifffile.TiffFile(path) as file:
        first, last = file.pages[0].offset, file.pages[-1].offset
    content = bytearray(path.read_bytes())
    (count,) = struct.unpack_from("<H", content, last)
    struct.pack_into("<I", content, last + 2 + 12 * count, first)
    path.write_bytes(content)
    with pytest.raises(BadInput, match="its pages follow each other in a circle"):
        read(path)


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "packbits"])
def test_a_truncated_file_is_named(tmp_path: Path, compression: str | None) -> None:
    path = written(tmp_path / "a.tif", FILM[0], compression=compression, metadata=None)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BadInput, match=r"a\.tif: cannot be read as an image \(.+\)"):
        read(path)


def test_errors_that_tifffile_logs_raise_only_while_a_file_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tifffile.TiffFile(written(tmp_path / "a.tif", FILM[0])).close()
    tifffile.logger().error("said by another user of tifffile")
    assert "another user" in caplog.text


DTYPES = ("u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8")
AXES = ("YX", "TYX", "CYX", "TCYX", "CTYX")
LENGTHS = {"T": 3, "C": 2, "Y": 8, "X": 9}


@st.composite
def tiff_files(draw: st.DrawFn) -> tuple[np.ndarray, str, dict[str, Any]]:
    """An array, its axes, and how tifffile is to write it."""
    axes = draw(st.sampled_from(AXES))
    ordered = axes != "CTYX"  # ImageJ has one order of axes
    kind = draw(st.sampled_from(["shaped", "ome", "bigtiff", *(["imagej"] if ordered else [])]))
    known = {"imagej": ("u1", "u2", "f4"), "ome": tuple(one for one in DTYPES if one != "f2")}
    dtype = np.dtype(draw(st.sampled_from(known.get(kind, DTYPES))))
    shape = tuple(LENGTHS[axis] for axis in axes)
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pixels = chance.integers(0, 256, (*shape, dtype.itemsize), np.uint8).view(dtype)[..., 0]
    options: dict[str, Any] = {"metadata": {"axes": axes}, "photometric": "minisblack"}
    if kind == "imagej":
        options["imagej"] = True
    if kind == "bigtiff":
        options |= {"bigtiff": True, "byteorder": draw(st.sampled_from("<>"))}
    if kind != "imagej":
        options["photometric"] = draw(st.sampled_from(["minisblack", "miniswhite"]))
        options["compression"] = draw(
            st.sampled_from([None, "lzw", "zlib", "zstd", "packbits", "lzma"])
        )
        packed = options["compression"] in ("lzw", "zlib") and dtype.kind in "ui"
        options["predictor"] = packed and draw(st.booleans())
        if draw(st.booleans()):
            options["tile"] = (16, 16)
        else:
            options["rowsperstrip"] = draw(st.sampled_from([1, 3, 8]))
    return pixels, axes, options | {"ome": kind == "ome"}


def check_like_tifffile(folder: Path, drawn: tuple[np.ndarray, str, dict[str, Any]]) -> None:
    pixels, axes, options = drawn
    path = folder / "a.tif"
    tifffile.imwrite(path, pixels, **options)
    expected: np.ndarray = tifffile.imread(path).reshape(pixels.shape)
    order = [axes.index(axis) for axis in "TCYX" if axis in axes]
    expected = expected.transpose(order).reshape(
        LENGTHS["T"] if "T" in axes else 1, LENGTHS["C"] if "C" in axes else 1, 8, 9
    )
    found = read(path)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=tiff_files())
def test_numbers_are_those_that_tifffile_reads(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[np.ndarray, str, dict[str, Any]]
) -> None:
    check_like_tifffile(tmp_path_factory.mktemp("tiff"), drawn)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=tiff_files())
def test_numbers_are_those_that_tifffile_reads_in_500_draws(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[np.ndarray, str, dict[str, Any]]
) -> None:
    check_like_tifffile(tmp_path_factory.mktemp("tiff"), drawn)
