"""A forecast is written in the kind, type, size and names of its input."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from convlstm.forecast import writers
from convlstm.forecast.known import Known
from convlstm.forecast.params import Forecast
from convlstm.ingest import arrays, readers, tiffs
from convlstm.ingest.sources import Source
from convlstm.plot import pictures
from convlstm.storage.meaning import Channel, Meaning, Quantity
from tests.builders import MINUTE, params_of, reading_of, values_of

FORECAST = np.linspace(0, 200, 2 * 8 * 9, dtype=np.float32).reshape(2, 1, 8, 9)
INDEX = np.arange(8 * 9, dtype=np.uint8).reshape(8, 9) % 4
PALETTE = [0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255]  # black, red, green, blue

without_film = pytest.mark.usefixtures("empty_film")
"""For tests that look at other files, because drawing the film takes longer than all else."""


@pytest.fixture
def empty_film(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the film be an empty file."""

    def save(path: Path, *_: object, **__: object) -> None:
        path.touch()

    monkeypatch.setattr(pictures, "save_forecast", save)


def params(**changes: object) -> Forecast:
    """Return the shipped params of a forecast, with changes."""
    return params_of(Forecast, **changes)


def context(dtype: str) -> np.ndarray:
    """Return three frames of sevens."""
    return np.full((3, 1, 8, 9), 7, dtype)


@without_film
@pytest.mark.parametrize(("dtype", "suffix"), [("u1", ".png"), ("u2", ".png"), ("f4", ".tif")])
def test_images_are_answered_with_images(tmp_path: Path, dtype: str, suffix: str) -> None:
    raw = tmp_path / f"raw{suffix}"
    writers.write_image(raw, context(dtype)[0])
    writers.write(tmp_path / "out", Known(Source("s", (raw,)), context(dtype), params()), FORECAST)
    expected = FORECAST if dtype == "f4" else np.rint(FORECAST)
    for lead, name in enumerate(("001", "002")):
        with Image.open(tmp_path / f"out/{name}{suffix}") as image:
            np.testing.assert_array_equal(np.asarray(image), expected[lead, 0])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"001{suffix}",
        f"002{suffix}",
        "forecast.gif",
        "forecast.h5",
    ]


@without_film
@pytest.mark.parametrize("name", ["raw.pgm.gz", "raw.mp4"])
def test_a_file_that_has_no_palette_is_not_opened_for_one(tmp_path: Path, name: str) -> None:
    raw = tmp_path / name
    raw.write_bytes(b"no image")
    writers.write(tmp_path / "out", Known(Source("s", (raw,)), context("u1"), params()), FORECAST)
    assert (tmp_path / "out/001.png").exists()


@without_film
def test_colours_are_answered_with_colours(tmp_path: Path) -> None:
    raw = tmp_path / "raw.png"
    three = np.repeat(context("u1"), 3, axis=1)
    writers.write_image(raw, three[0])
    forecast = np.repeat(FORECAST, 3, axis=1)
    writers.write(tmp_path / "out", Known(Source("s", (raw,)), three, params()), forecast)
    with Image.open(tmp_path / "out/002.png") as image:
        assert image.mode == "RGB"


@without_film
@pytest.mark.parametrize("axes", [None, "THW", "NTHW", "HWT"])
def test_arrays_are_answered_with_an_array_of_the_same_axes(
    tmp_path: Path, axes: str | None
) -> None:
    source = Source("s", (tmp_path / "raw.npy",), 0)
    how = params(raw_axes=axes)
    writers.write(tmp_path / "out", Known(source, context("u2"), how), FORECAST)
    kept = axes.replace("N", "") if axes else "THW"
    frames = arrays.frames(tmp_path / "out/forecast.npy", reading_of(raw_axes=kept))
    result = np.stack(values_of(frames))
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result, np.rint(FORECAST))


@without_film
def test_forecast_h5_holds_unrounded_values_and_times(tmp_path: Path) -> None:
    source = Source("s", (tmp_path / "raw.npy",) * 3, times=(0, 5 * MINUTE, 10 * MINUTE))
    writers.write(tmp_path / "out", Known(source, context("u1"), params()), FORECAST)
    with h5py.File(tmp_path / "out/forecast.h5") as file:
        np.testing.assert_array_equal(file["frames"][:], FORECAST)
        assert file["times"][:].tolist() == [15 * MINUTE, 20 * MINUTE]


@without_film
def test_the_times_in_names_go_on(tmp_path: Path) -> None:
    files = tuple(tmp_path / f"R197001010{minute:02d}x.png" for minute in (0, 5, 10))
    writers.write_image(files[-1], context("u1")[0])
    source = Source("s", files, times=(0, 5 * MINUTE, 10 * MINUTE))
    how = params(time_format="R%Y%m%d%H%M")
    writers.write(tmp_path / "out", Known(source, context("u1"), how), FORECAST)
    names = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert names == {"R197001010015.png", "R197001010020.png"}


@without_film
def test_without_times_no_times_are_written(tmp_path: Path) -> None:
    source = Source("s", (tmp_path / "raw.npy",), 0)
    writers.write(tmp_path / "out", Known(source, context("u1"), params()), FORECAST)
    with h5py.File(tmp_path / "out/forecast.h5") as file:
        assert "times" not in file


def test_the_film_shows_the_input_then_the_forecast(tmp_path: Path) -> None:
    source = Source("s", (tmp_path / "raw.npy",), 0)
    writers.write(tmp_path / "out", Known(source, context("u1"), params()), FORECAST)
    with Image.open(tmp_path / "out/forecast.gif") as film:
        assert getattr(film, "n_frames", 1) == 5  # 3 + 2


@without_film
@pytest.mark.parametrize("name", ["raw.png", "raw.npy"])
def test_a_forecast_of_packed_numbers_is_packed_alike(tmp_path: Path, name: str) -> None:
    # 0.5 count - 32: 14 dBZ are 92 counts; 50 dBZ are 164
    channel = Channel("DBZH", "dBZ", 0.5, -32.0, missing=(255.0,))
    forecast = np.full((2, 1, 8, 9), 14, np.float32)
    forecast[:, :, 0] = 50
    how = params(value_range=[-32, 95.5])
    writers.write_image(tmp_path / "raw.png", context("u1")[0])
    known = Known(Source("s", (tmp_path / name,), 0), context("u1"), how, Meaning((channel,)))
    writers.write(tmp_path / "out", known, forecast)
    if name == "raw.npy":
        first = np.load(tmp_path / "out/forecast.npy")[0]
    else:
        first = np.asarray(Image.open(tmp_path / "out/001.png"))
    assert (first[0, 0], first[1, 0], first.dtype) == (164, 92, np.uint8)
    with h5py.File(tmp_path / "out/forecast.h5") as file:
        np.testing.assert_array_equal(file["frames"][:], forecast)


@without_film
def test_images_of_two_channels_are_answered_with_images(tmp_path: Path) -> None:
    two = np.repeat(context("u1"), 2, axis=1)
    known = Known(Source("s", (tmp_path / "raw.tif",)), two, params(raw_axes="TCHW"))
    writers.write(tmp_path / "out", known, np.repeat(FORECAST, 2, axis=1))
    (frame,) = tiffs.frames(tmp_path / "out/001.tif", reading_of())
    np.testing.assert_array_equal(frame.values, np.repeat(np.rint(FORECAST[0]), 2, axis=0))


def test_the_film_is_drawn_from_physical_values() -> None:
    channel = Channel("DBZH", "dBZ", 0.5, -32.0, missing=(255.0,), undetected=(0.0,))
    numbers = np.array([0, 92, 255], np.uint8).reshape(1, 1, 1, 3)
    how = params(value_range=[-10, 60])
    known = Known(Source("s", ()), numbers, how, Meaning((channel,)))
    np.testing.assert_array_equal(known.physical(), [[[[-10, 14, np.nan]]]])
    assert known.quantities == (Quantity("DBZH", "dBZ", (-10.0, 60.0)),)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "i4"])
def test_a_written_image_is_read_as_it_was(tmp_path: Path, dtype: str) -> None:
    frame = (FORECAST[0].astype(np.int64) * 3 % 251).astype(dtype)
    path = tmp_path / f"a{writers.suffix_for(frame.dtype)}"
    writers.write_image(path, frame)
    (read,) = values_of(readers.frames(path, reading_of()))
    np.testing.assert_array_equal(read, frame)
    assert read.dtype == dtype


@pytest.mark.parametrize(("dtype", "channels"), [("u1", 3), ("i2", 3), ("u2", 3), ("u1", 2)])
def test_written_colours_and_channels_are_read_as_they_were(
    tmp_path: Path, dtype: str, channels: int
) -> None:
    numbers = np.arange(channels * 8 * 12).reshape(channels, 8, 12) % 251
    frame = (numbers - (dtype == "i2")).astype(dtype)
    path = tmp_path / f"a{writers.suffix_for(frame.dtype, channels)}"
    writers.write_image(path, frame)
    reading = reading_of(pixel_values="rgb" if channels == 3 else "gray")
    (read,) = values_of(readers.frames(path, reading))
    np.testing.assert_array_equal(read, frame)
    assert read.dtype == dtype


@pytest.mark.parametrize("suffix", [".gif", ".png", ".tif", ".bmp"])
def test_class_numbers_are_written_in_the_palette_of_the_input(tmp_path: Path, suffix: str) -> None:
    raw = Image.fromarray(INDEX)
    raw.putpalette(PALETTE)
    raw.save(tmp_path / f"raw{suffix}")
    writers.write_image(tmp_path / "a.png", INDEX[None], like=tmp_path / f"raw{suffix}")
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), INDEX)
        np.testing.assert_array_equal(
            np.asarray(image.convert("RGB")), np.array(PALETTE).reshape(-1, 3)[INDEX]
        )


@pytest.mark.parametrize("axes", [None, "HW", "THW", "CHW", "HWT", "NTCHW", "TNHW"])
def test_a_written_sequence_is_read_by_the_same_axes(tmp_path: Path, axes: str | None) -> None:
    channels = 3 if axes and "C" in axes else 1
    sequence = np.arange(5 * channels * 4 * 6, dtype=np.uint16).reshape(5, channels, 4, 6)
    writers.write_array(tmp_path / "x.npy", sequence, axes)
    kept = (axes or "HW").replace("N", "")
    kept = kept if "T" in kept else f"T{kept}"
    read = values_of(arrays.frames(tmp_path / "x.npy", reading_of(raw_axes=kept)))
    np.testing.assert_array_equal(read, sequence)
