"""Pictures show what they say, in the same bytes every time."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from convlstm.plot import figures, pictures
from convlstm.plot.pictures import COLOUR_MAP
from convlstm.storage.forecasts import DrawnWindow


def window(channels: int = 1, context: int = 3, leads: int = 2) -> DrawnWindow:
    random = np.random.default_rng(0)
    shape = (channels, 12, 14)
    return DrawnWindow(
        "a label",
        random.uniform(0, 200, (context, *shape)).astype(np.float32),
        random.uniform(0, 200, (leads, *shape)).astype(np.float32),
        random.uniform(0, 200, (leads, *shape)).astype(np.float32),
        (0.0, 200.0),
    )


def panels(axes: list[Axes]) -> dict[str, np.ndarray]:
    return {
        panel.get_title(): np.asarray(panel.images[0].get_array()) for panel in axes if panel.images
    }


def test_the_reports_pictures_are_numbered_through() -> None:
    names = list(pictures.numbered(window(context=10, leads=10)))
    assert names[:2] == ["gt01", "gt02"]
    assert names[19:21] == ["gt20", "pd11"]
    assert names[-1] == "pd20"
    assert len(names) == 30


def test_a_strip_shows_input_truth_forecast_and_error() -> None:
    drawn = window()
    shown = panels(pictures.strip(drawn).axes)
    np.testing.assert_array_equal(shown["input 0"], drawn.context[2, 0])
    np.testing.assert_array_equal(shown["truth +2"], drawn.truth[1, 0])
    np.testing.assert_array_equal(shown["forecast +1"], drawn.forecast[0, 0])
    np.testing.assert_allclose(shown["error +1"], drawn.forecast[0, 0] - drawn.truth[0, 0])


def test_a_long_strip_ends_with_the_last_lead() -> None:
    shown = panels(pictures.strip(window(context=10, leads=10)).axes)
    assert [title for title in shown if title.startswith("truth")] == [
        f"truth +{lead}" for lead in (2, 4, 6, 8, 10)
    ]


def test_the_colours_mean_the_same_in_every_run() -> None:
    for panel in pictures.strip(window()).axes:
        for image in panel.images:
            error = panel.get_title().startswith("error")
            assert image.get_clim() == ((-100, 100) if error else (0, 200))


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
def test_every_picture_is_the_same_bytes_twice(tmp_path: Path, channels: int) -> None:
    drawn = window(channels, context=1, leads=1)
    for name in ("a", "b"):
        figures.save(tmp_path / f"{name}.png", pictures.strip(drawn))
        pictures.save_comparison(tmp_path / f"{name}.gif", drawn, frames_per_second=4)
        pictures.save_frame(
            tmp_path / f"{name}.frame.png", drawn.truth[0], value_range=drawn.value_range
        )
    for suffix in (".png", ".gif", ".frame.png"):
        first, second = (tmp_path / f"{name}{suffix}" for name in ("a", "b"))
        assert first.read_bytes() == second.read_bytes()


def test_a_missing_pixel_looks_unlike_every_value(tmp_path: Path) -> None:
    frame = np.array([[[0, 100, 200, np.nan]]], np.float32)
    pictures.save_frame(tmp_path / "a.png", frame, value_range=(0.0, 200.0))
    with Image.open(tmp_path / "a.png") as image:
        shown = np.asarray(image.convert("RGB")).astype(int)[0]
    scale = (np.array([COLOUR_MAP(place) for place in np.linspace(0, 1, 256)])[:, :3] * 255).round()
    assert np.abs(scale - shown[3]).sum(axis=1).min() > 60
    np.testing.assert_allclose(shown[0], scale[0], atol=1)
    np.testing.assert_allclose(shown[2], scale[-1], atol=1)


def test_a_frame_is_a_picture_pixel_for_pixel(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (3, 5, 7)).astype(np.float32)
    pictures.save_frame(tmp_path / "a.png", colours, value_range=(0.0, 255.0))
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_allclose(
            np.asarray(image.convert("RGB")), np.moveaxis(colours, 0, -1), atol=1
        )


@pytest.mark.slow
def test_a_film_has_every_frame_even_if_nothing_moves(tmp_path: Path) -> None:
    # a GIF writer drops a frame that equals the one before; here the title changes
    known, next_two = (np.full((count, 1, 9, 9), 50, np.float32) for count in (3, 2))
    still = DrawnWindow("s", known, next_two, next_two, (0.0, 99.0))
    pictures.save_comparison(tmp_path / "a.gif", still, frames_per_second=4)
    with Image.open(tmp_path / "a.gif") as film:
        assert getattr(film, "n_frames", 1) == 5
        assert film.info["duration"] == 250  # milliseconds, 4 a second
