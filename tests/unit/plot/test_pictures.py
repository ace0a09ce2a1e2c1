"""Pictures show what they say, in the same bytes every time."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from convlstm.plot import pictures
from convlstm.plot.pictures import COLOUR_MAP
from convlstm.storage.forecasts import DrawnWindow, Ensemble
from convlstm.storage.meaning import Quantity


def window(channels: int = 1, context: int = 3, leads: int = 2) -> DrawnWindow:
    random = np.random.default_rng(0)
    shape = (channels, 12, 14)
    return DrawnWindow(
        "a label",
        random.uniform(0, 200, (context, *shape)).astype(np.float32),
        random.uniform(0, 200, (leads, *shape)).astype(np.float32),
        random.uniform(0, 200, (leads, *shape)).astype(np.float32),
        (Quantity(value_range=(0.0, 200.0), stop=channels),),
    )


def ensemble_window(channels: int = 1, members: int = 3) -> DrawnWindow:
    random = np.random.default_rng(1)
    shape = (2, channels, 12, 14)
    own = random.uniform(0, 200, (members, *shape)).astype(np.float32)
    probability = random.uniform(0, 1, shape).astype(np.float32)
    return replace(window(channels), ensemble=Ensemble(own, probability, (63.75,)))


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


def test_a_strip_of_an_ensemble_shows_members_mean_and_probability() -> None:
    drawn = ensemble_window()
    assert drawn.ensemble is not None
    axes = pictures.strip(drawn).axes
    shown = panels(axes)
    names = ("truth", "member 1", "member 2", "member 3", "mean", "P(>= 63.75)")
    assert [title for title in shown if title[-2] == "+"] == [
        f"{name} +{lead}" for name in names for lead in (1, 2)
    ]
    np.testing.assert_array_equal(shown["truth +2"], drawn.truth[1, 0])
    np.testing.assert_array_equal(shown["member 3 +1"], drawn.ensemble.members[2, 0, 0])
    np.testing.assert_array_equal(shown["mean +2"], drawn.forecast[1, 0])
    np.testing.assert_array_equal(shown["P(>= 63.75) +2"], drawn.ensemble.probability[1, 0])
    for panel in axes:
        for image in panel.images:
            probability = panel.get_title().startswith("P(")
            assert image.get_clim() == ((0, 1) if probability else (0, 200))
    assert [bar.get_ylabel() for bar in axes if bar.get_ylabel()] == ["data units", "probability"]


def test_the_lead_pictures_of_an_ensemble_are_its_film_after_the_inputs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn, seen = ensemble_window(), []
    drawn.context[0, 0, 0, :3] = np.nan, 63.75, 63.5
    assert drawn.ensemble is not None

    def png(figure: Figure) -> bytes:
        seen.append(still(figure))
        return b""

    monkeypatch.setattr(pictures, "png", png)
    film = pictures._film_of_ensemble(drawn)
    film.png(0)
    assert [name for name, _ in pictures.lead_pictures(drawn)] == ["lead01", "lead02"]
    names = ["truth", *(f"member {number}" for number in (1, 2, 3)), "mean"]
    names.append("probability of >= 63.75")
    assert [list(shown) for _, shown in seen] == [names] * 3
    assert [title for title, _ in seen] == ["input -2", "lead time +1 of 2", "lead time +2 of 2"]
    (_, first), _, (_, last) = seen
    for name in names[:5]:  # of the inputs there is one version
        np.testing.assert_array_equal(first[name], drawn.context[0, 0])
    np.testing.assert_array_equal(first[names[5]][0, :3], [np.nan, 1, 0])
    np.testing.assert_array_equal(last["truth"], drawn.truth[1, 0])
    np.testing.assert_array_equal(last["member 2"], drawn.ensemble.members[1, 1, 0])
    np.testing.assert_array_equal(last["mean"], drawn.forecast[1, 0])
    np.testing.assert_array_equal(last[names[5]], drawn.ensemble.probability[1, 0])


def still(figure: Figure) -> tuple[str, dict[str, np.ndarray]]:
    """Return the title and the panels of a figure as they are now; missing pixels as NaN."""
    shown: dict[str, np.ndarray] = {
        panel.get_title(): np.ma.filled(np.ma.asarray(panel.images[0].get_array()), np.nan)
        for panel in figure.axes
        if panel.images and panel.get_title()
    }
    return figure.get_suptitle(), shown


def test_without_an_ensemble_there_are_no_lead_pictures() -> None:
    assert list(pictures.lead_pictures(window())) == []


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "members"), [(1, 3), (1, 2), (3, 3)])
def test_the_film_of_an_ensemble_is_900_pixels_wide_and_the_same_bytes_twice(
    tmp_path: Path, channels: int, members: int
) -> None:
    drawn = ensemble_window(channels, members)
    for name in ("a.gif", "b.gif"):
        pictures.save_comparison(tmp_path / name, drawn, frames_per_second=4)
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
    with Image.open(tmp_path / "a.gif") as film:
        assert film.size == (900, 600)
        assert getattr(film, "n_frames", 1) == 5
    assert list(pictures.lead_pictures(drawn)) == list(pictures.lead_pictures(drawn))


def test_a_figure_is_a_png_of_few_colours_that_nobody_tells_from_the_drawn_one(
    tmp_path: Path,
) -> None:
    figure = pictures.strip(window(1, context=1, leads=1))
    figure.savefig(tmp_path / "drawn.png", dpi=pictures.DPI)
    (tmp_path / "kept.png").write_bytes(pictures.png(figure))
    with Image.open(tmp_path / "drawn.png") as drawn, Image.open(tmp_path / "kept.png") as kept:
        assert (kept.mode, kept.size) == ("P", drawn.size)
        many, few = (np.asarray(image.convert("RGB"), np.int16) for image in (drawn, kept))
    assert np.abs(many - few).max() < 25  # of 255, also where a colour is rare
    assert (tmp_path / "kept.png").stat().st_size < 0.6 * (tmp_path / "drawn.png").stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
def test_every_picture_is_the_same_bytes_twice(tmp_path: Path, channels: int) -> None:
    drawn = window(channels, context=1, leads=1)
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(pictures.png(pictures.strip(drawn)))
        pictures.save_comparison(tmp_path / f"{name}.gif", drawn, frames_per_second=4)
        frame = pictures.png_of_frame(drawn.truth[0], drawn.quantities[0])
        (tmp_path / f"{name}.frame.png").write_bytes(frame)
    for suffix in (".png", ".gif", ".frame.png"):
        first, second = (tmp_path / f"{name}{suffix}" for name in ("a", "b"))
        assert first.read_bytes() == second.read_bytes()


def test_a_missing_pixel_looks_unlike_every_value() -> None:
    frame = np.array([[[0, 100, 200, np.nan]]], np.float32)
    drawn = pictures.png_of_frame(frame, Quantity(value_range=(0.0, 200.0)))
    with Image.open(BytesIO(drawn)) as image:
        shown = np.asarray(image.convert("RGB")).astype(int)[0]
    scale = (np.array([COLOUR_MAP(place) for place in np.linspace(0, 1, 256)])[:, :3] * 255).round()
    assert np.abs(scale - shown[3]).sum(axis=1).min() > 60
    np.testing.assert_allclose(shown[0], scale[0], atol=1)
    np.testing.assert_allclose(shown[2], scale[-1], atol=1)


def test_a_frame_is_a_picture_pixel_for_pixel() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (3, 5, 7)).astype(np.float32)
    drawn = pictures.png_of_frame(colours, Quantity(value_range=(0.0, 255.0), stop=3))
    with Image.open(BytesIO(drawn)) as image:
        np.testing.assert_allclose(
            np.asarray(image.convert("RGB")), np.moveaxis(colours, 0, -1), atol=1
        )


def test_a_frame_of_every_colour_of_the_map_loses_none() -> None:
    frame = np.arange(256, dtype=np.float32).reshape(1, 16, 16)
    drawn = pictures.png_of_frame(frame, Quantity(value_range=(0.0, 255.0)))
    with Image.open(BytesIO(drawn)) as image:
        assert image.mode == "P"
        shown = np.asarray(image.convert("RGB")).reshape(256, 3)
    np.testing.assert_array_equal(shown, COLOUR_MAP(np.arange(256), bytes=True)[:, :3])


@pytest.mark.slow
def test_a_film_has_every_frame_even_if_nothing_moves(tmp_path: Path) -> None:
    # a GIF writer drops a frame that equals the one before; here the title changes
    known, next_two = (np.full((count, 1, 9, 9), 50, np.float32) for count in (3, 2))
    still = DrawnWindow("s", known, next_two, next_two, (Quantity(value_range=(0.0, 99.0)),))
    pictures.save_comparison(tmp_path / "a.gif", still, frames_per_second=4)
    with Image.open(tmp_path / "a.gif") as film:
        assert getattr(film, "n_frames", 1) == 5
        assert film.info["duration"] == 250  # milliseconds, 4 a second


def two_quantities() -> DrawnWindow:
    """Return a window of kelvin and of kg/kg, whose errors are +a and -a times their widths."""
    truth = np.stack([np.full((2, 12, 14), 260), np.full((2, 12, 14), 0.015)], axis=1)
    errors = np.array([12, -0.003]).reshape(2, 1, 1)
    parts = (np.concatenate([truth[:1], truth]), truth, truth + errors)
    both = (
        Quantity("t2m", "K", (200.0, 320.0), 0, 1),
        Quantity("q", "kg/kg", (0.0, 0.03), 1, 2),
    )
    context, true, forecast = (part.astype(np.float32) for part in parts)
    return DrawnWindow("w", context, true, forecast, both)


def test_each_channel_has_rows_of_its_own_and_its_own_error() -> None:
    """Cases B20 and B21: errors of two channels were averaged away, and one channel not shown."""
    axes = pictures.strip(two_quantities()).axes
    rows = [panel for panel in axes if panel.get_title() in ("truth +1", "error +1")]
    shown = [(panel.get_title(), np.asarray(panel.images[0].get_array())[0, 0]) for panel in rows]
    assert [title for title, _ in shown] == ["truth +1", "error +1"] * 2
    np.testing.assert_allclose([value for _, value in shown], [260, 12, 0.015, -0.003], rtol=1e-4)
    limits = [panel.images[0].get_clim() for panel in rows]
    assert limits == [(200, 320), (-60, 60), (0, 0.03), (-0.015, 0.015)]
    assert [bar.get_ylabel() for bar in axes if bar.get_ylabel()] == [
        *("t2m (K)", "forecast - truth: t2m (K)", "q (kg/kg)", "forecast - truth: q (kg/kg)")
    ]


def test_the_pictures_of_a_second_channel_have_names_of_their_own() -> None:
    drawn = pictures.numbered(two_quantities())
    assert list(drawn) == [
        *("gt01", "gt02", "gt03", "gt04", "gt05", "pd04", "pd05"),
        *("gt01_2", "gt02_2", "gt03_2", "gt04_2", "gt05_2", "pd04_2", "pd05_2"),
    ]
    frame, quantity = drawn["pd05_2"]
    assert quantity.value_range == (0, 0.03)
    np.testing.assert_allclose(frame, 0.012, rtol=1e-5)


def test_a_film_has_a_row_for_each_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(pictures.Film, "save", lambda film, *_: drawn.append(film.figure))
    pictures.save_comparison(Path("a.gif"), two_quantities(), frames_per_second=4)
    pictures.save_forecast(
        Path("b.gif"),
        two_quantities().context,
        two_quantities().forecast,
        quantities=two_quantities().quantities,
        frames_per_second=4,
    )
    panels = [[axes for axes in figure.axes if axes.images] for figure in drawn]
    assert [len(own) for own in panels] == [2 * 3, 2]
    assert [axes.images[0].get_clim() for axes in panels[1]] == [(200, 320), (0, 0.03)]
