"""A forecast is written in the kind, type, size and names of its input."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from convlstm.forecast import writers
from convlstm.ingest import arrays, images
from convlstm.ingest.sources import Source
from convlstm.params.groups import Forecast, Patch
from convlstm.plot import pictures
from tests.builders import params_of, reading_of

MINUTE = 60_000_000
FORECAST = np.linspace(0, 200, 2 * 8 * 9, dtype=np.float32).reshape(2, 1, 8, 9)


@pytest.fixture(autouse=True)
def no_film(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Only the test of the film draws one, which takes longer than all else."""

    def empty(path: Path, *_: object, **__: object) -> None:
        path.touch()

    if "film" not in request.node.name:
        monkeypatch.setattr(pictures, "save_forecast", empty)


def params(**changes: object) -> Forecast:
    patch = params_of(Patch).model_dump()
    kept = {name: patch[name] for name in ("value_range", "missing_value", "out_of_range")}
    return Forecast(**reading_of().model_dump() | kept | changes)


def context(dtype: str) -> np.ndarray:
    return np.full((3, 1, 8, 9), 7, dtype)


@pytest.mark.parametrize(("dtype", "suffix"), [("u1", ".png"), ("u2", ".png"), ("f4", ".tif")])
def test_images_are_answered_with_images(tmp_path: Path, dtype: str, suffix: str) -> None:
    raw = tmp_path / f"raw{suffix}"
    images.write(raw, context(dtype)[0])
    writers.write(tmp_path / "out", Source("s", (raw,)), context(dtype), FORECAST, params())
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


@pytest.mark.parametrize("name", ["raw.pgm.gz", "raw.mp4"])
def test_what_has_no_palette_is_not_asked_for_one(tmp_path: Path, name: str) -> None:
    raw = tmp_path / name
    raw.write_bytes(b"what Pillow cannot open")
    writers.write(tmp_path / "out", Source("s", (raw,)), context("u1"), FORECAST, params())
    assert (tmp_path / "out/001.png").exists()


def test_colours_are_answered_with_colours(tmp_path: Path) -> None:
    raw = tmp_path / "raw.png"
    three = np.repeat(context("u1"), 3, axis=1)
    images.write(raw, three[0])
    forecast = np.repeat(FORECAST, 3, axis=1)
    writers.write(tmp_path / "out", Source("s", (raw,)), three, forecast, params())
    with Image.open(tmp_path / "out/002.png") as image:
        assert image.mode == "RGB"


@pytest.mark.parametrize("axes", [None, "THW", "NTHW", "HWT"])
def test_arrays_are_answered_with_an_array_of_the_same_axes(
    tmp_path: Path, axes: str | None
) -> None:
    source = Source("s", (tmp_path / "raw.npy",), 0)
    how = params(raw_axes=axes)
    writers.write(tmp_path / "out", source, context("u2"), FORECAST, how)
    kept = axes.replace("N", "") if axes else "THW"
    frames = arrays.frames(tmp_path / "out/forecast.npy", reading_of(raw_axes=kept))
    result = np.stack(list(frames))
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result, np.rint(FORECAST))


def test_forecast_h5_holds_unrounded_values_and_times(tmp_path: Path) -> None:
    source = Source("s", (tmp_path / "raw.npy",) * 3, times=(0, 5 * MINUTE, 10 * MINUTE))
    writers.write(tmp_path / "out", source, context("u1"), FORECAST, params())
    with h5py.File(tmp_path / "out/forecast.h5") as file:
        np.testing.assert_array_equal(file["frames"][:], FORECAST)
        assert file["times"][:].tolist() == [15 * MINUTE, 20 * MINUTE]


def test_names_with_times_go_on(tmp_path: Path) -> None:
    files = tuple(tmp_path / f"R197001010{minute:02d}x.png" for minute in (0, 5, 10))
    images.write(files[-1], context("u1")[0])
    source = Source("s", files, times=(0, 5 * MINUTE, 10 * MINUTE))
    how = params(time_format="R%Y%m%d%H%M")
    writers.write(tmp_path / "out", source, context("u1"), FORECAST, how)
    names = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert names == {"R197001010015.png", "R197001010020.png"}


def test_without_times_none_are_made_up(tmp_path: Path) -> None:
    source = Source("s", (tmp_path / "raw.npy",), 0)
    writers.write(tmp_path / "out", source, context("u1"), FORECAST, params())
    with h5py.File(tmp_path / "out/forecast.h5") as file:
        assert "times" not in file


def test_the_film_shows_the_input_then_the_forecast(tmp_path: Path) -> None:
    source = Source("s", (tmp_path / "raw.npy",), 0)
    writers.write(tmp_path / "out", source, context("u1"), FORECAST, params())
    with Image.open(tmp_path / "out/forecast.gif") as film:
        assert getattr(film, "n_frames", 1) == 5  # 3 + 2


@pytest.mark.parametrize(
    ("value", "dtype", "kept"),
    [(1.5, "u1", 2), (-3.0, "u1", 0), (300.0, "u1", 255), (-3.4, "i2", -3), (0.1, "f4", 0.1)],
)
def test_whole_numbers_are_rounded_and_kept_in_their_range(
    value: float, dtype: str, kept: float
) -> None:
    result = writers.as_type(np.array([value], np.float32), np.dtype(dtype))
    assert result.dtype == dtype
    assert result[0] == np.array(kept, dtype)
