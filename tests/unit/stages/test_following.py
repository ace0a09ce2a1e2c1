"""A training can be followed on a page, which changes nothing of it and cannot stop it."""

import errno
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from convlstm.model.batches import Batches
from convlstm.train.loop import Training
from convlstm.train.params import Train
from stages import following
from tests.builders import params_of


def new(batches: Batches) -> Training:
    changes = {"hidden_channels": (3,), "epochs": 3, "batch_size": 5}
    return Training(batches, params_of(Train, **changes), torch.device("cpu"))


def trained(training: Training, after_epoch: Callable[[], None]) -> Training:
    for _ in training.epochs(lambda _: None):
        after_epoch()
    return training


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the page after each epoch."""
    monkeypatch.setattr(following, "SECONDS_BETWEEN_PAGES", 0.0)


@pytest.mark.usefixtures("hasty")
def test_who_is_followed_learns_the_same_bit_for_bit(batches: Batches, tmp_path: Path) -> None:
    alone = trained(new(batches), lambda: None)
    followed = new(batches)
    page = following.Page(followed, tmp_path, pytest.fail)
    trained(followed, page.update)
    assert {path.name for path in tmp_path.iterdir()} == {"training.html", "training.png"}
    expected = alone.model.network.state_dict()
    for name, weight in followed.model.network.state_dict().items():
        assert torch.equal(weight, expected[name]), name
    assert followed.finished == alone.finished


@pytest.mark.usefixtures("hasty")
def test_the_page_has_the_curves_so_far_and_names_its_picture(
    batches: Batches, tmp_path: Path
) -> None:
    training = new(batches)
    page = following.Page(training, tmp_path, pytest.fail)
    seen: list[str] = []

    def after_epoch() -> None:
        page.update()
        seen.append(page.path.read_text(encoding="utf-8"))

    trained(training, after_epoch)
    for number, text in enumerate(seen, start=1):
        assert f'src="training.png?{number}"' in text
        assert not re.search(r"https?://", text)
        charts = [ET.fromstring(own) for own in re.findall(r"<svg.*?</svg>", text)]
        assert len(charts) == len(training.finished[0].row()) - 1
        lines = [own.find("polyline") for own in charts]
        assert all(
            line is not None and len(line.attrib["points"].split()) == number for line in lines
        )
        crps = training.finished[number - 1].validation["crps"]
        assert f"valid_crps: {crps:.4g} (" in text


def test_a_chart_spans_its_values_and_passes_over_what_is_undefined() -> None:
    chart = ET.fromstring(following.chart("a<b", [2.0, float("nan"), 4.0, 3.0]))
    words, line = chart.find("text"), chart.find("polyline")
    assert words is not None
    assert line is not None
    assert words.text == "a<b: 3 (2 to 4)"
    assert line.attrib["points"] == "10.0,110.0 196.7,30.0 290.0,70.0"
    assert 'points="10.0,110.0"' in following.chart("one", [7.0])


def test_the_picture_has_the_truth_above_the_forecast_in_the_colours_of_the_others() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    truth = np.linspace(0, 1, 7, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 2, 3))
    drawn = following.picture(truth.astype(np.float32), np.zeros((7, 1, 2, 3), np.float32))
    with Image.open(BytesIO(drawn)) as image:
        assert image.size == (5 * (3 + 2), 2 * (2 + 2))  # 5 of 7 lead times, in frames of a pixel
        colours = np.asarray(image.convert("RGB")).astype(int)
    shown = colours[1, 1::5]  # of lead times 1, 2, 4, 5 and 7
    viridis = matplotlib.colormaps["viridis"](np.array([0, 1, 3, 4, 6]) / 6)[:, :3] * 255
    np.testing.assert_allclose(shown, viridis, atol=6)
    np.testing.assert_array_equal(colours[5:7], np.broadcast_to((68, 1, 84), (2, 25, 3)))


@pytest.mark.usefixtures("hasty")
def test_the_best_forecast_of_the_window_of_the_highest_values_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fake:
        on_window: Callable[[np.ndarray, np.ndarray], None]
        is_best, state_in_words, finished = True, "", ()

    def frames(value: float) -> np.ndarray:
        return np.full((2, 1, 2, 2), value, np.float32)

    training = Fake()
    page = following.Page(training, tmp_path, pytest.fail)  # type: ignore[arg-type] # all it uses
    drawn: list[float] = []

    def picture(_: np.ndarray, forecast: np.ndarray) -> bytes:
        drawn.append(float(forecast[0, 0, 0, 0]))
        return b""

    monkeypatch.setattr(following, "page", lambda *_: "")
    monkeypatch.setattr(following, "picture", picture)
    for is_best, forecasts in ((True, (1, 2, 3)), (False, (4, 5, 6)), (True, (7, 8, 9))):
        for truth, forecast in zip((0.1, 0.9, 0.5), forecasts, strict=True):
            training.on_window(frames(truth), frames(forecast))
        training.is_best = is_best
        page.update()
    assert drawn == [2, 2, 8]


def test_the_page_is_written_every_ten_seconds_at_most(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 0.0, 9.9, 10.0, 10.0])
    clock = SimpleNamespace(monotonic=lambda: next(now))
    monkeypatch.setattr(following, "time", clock)
    training = new(batches)
    page = following.Page(training, tmp_path, pytest.fail)
    written: list[int] = []

    def after_epoch() -> None:
        page.update()
        written.append(int(re.findall(r"png\?(\d)", page.path.read_text("utf-8"))[0]))

    trained(training, after_epoch)
    assert written == [1, 1, 3]


@pytest.mark.usefixtures("hasty")
def test_a_full_disk_is_said_once_and_the_training_goes_on(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Path, "write_bytes", full)
    said: list[str] = []
    training = new(batches)
    trained(training, following.Page(training, tmp_path, said.append).update)
    assert len(training.finished) == 3
    assert len(said) == 1
    assert said[0].startswith("the page cannot be written, and the run goes on: ")
    assert list(tmp_path.iterdir()) == []
