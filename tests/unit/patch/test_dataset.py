"""What was read and made is told in numbers that are counted by hand here."""

import numpy as np
import pytest

from convlstm.ingest import summary
from convlstm.ingest.summary import Tally
from convlstm.patch.conversion import Conversion
from convlstm.patch.dataset import Dataset, Filling
from convlstm.patch.scaling import Scaling
from convlstm.storage.meaning import Channel

SCALING = Scaling(((0.0, 255.0),), ("none",))


def filled(frames: np.ndarray, scaling: Scaling = SCALING, *channels: Channel) -> list[float]:
    """Return how much of the value range frames fill."""
    conversion = Conversion(scaling, channels, frames.dtype)
    filling = Filling(frames.shape[1])
    filling.add(frames, conversion.outside(frames), conversion)
    return filling.percents()


def test_floats_in_0_to_1_fill_a_sliver_of_0_to_255() -> None:
    # case B19: 1 / 255 is 0.4 %
    frames = np.linspace(0, 1, 5 * 20 * 20, dtype=np.float32).reshape(5, 1, 20, 20)
    assert filled(frames)[0] == pytest.approx(0.39, abs=0.02)


def test_rain_on_few_pixels_fills_what_it_reaches() -> None:
    frames = np.zeros((5, 1, 30, 30), np.uint8)
    frames[:, :, :2, :2] = 128  # half a percent of the pixels
    assert filled(frames)[0] == pytest.approx(100 * 128 / 255, abs=0.02)


def test_each_channel_fills_its_own_range() -> None:
    # case B21: K and kg/kg with one range
    frames = np.empty((3, 2, 10, 10), np.float32)
    frames[:, 0] = np.linspace(250, 300, 300).reshape(3, 10, 10)
    frames[:, 1] = np.linspace(0, 0.015, 300).reshape(3, 10, 10)
    both = filled(frames, Scaling(((0.0, 320.0),) * 2, ("none",) * 2))
    assert both == pytest.approx([100 * 49 / 320, 0.005], abs=0.1)
    own = filled(frames, Scaling(((200.0, 320.0), (0.0, 0.03)), ("none",) * 2))
    assert own == pytest.approx([100 * 49 / 120, 49], abs=0.7)


def test_the_lines_warn_of_a_range_that_the_values_do_not_fill() -> None:
    frames = np.linspace(0, 1, 400, dtype=np.float32).reshape(1, 1, 20, 20)
    dataset = made_of(frames, SCALING)
    *_, warning = dataset.lines()
    assert warning.startswith("warning: the values of values, 0 to 1, fill 0.39 % of value_range")
    assert len(list(made_of(255 * frames, SCALING).lines())) == 2


def made_of(frames: np.ndarray, scaling: Scaling, *channels: Channel) -> Dataset:
    """Return the dataset of one sequence, with one window that was left out."""
    dataset, conversion = Dataset(scaling, "params"), Conversion(scaling, channels, frames.dtype)
    tally = Tally(conversion.channels, frames.dtype)
    tally.add(frames)
    dataset.filling.add(frames, conversion.outside(frames), conversion)
    own = summary.of_sequence("may", frames.shape, None, tally)
    dataset.dropped["train", "drier than min_wet_fraction"] += 1
    dataset.add(own, {"train": 2, "valid": 1, "test": 1})
    return dataset


def test_the_content_tells_windows_values_and_what_is_clipped() -> None:
    frames = np.zeros((2, 1, 10, 10), np.uint8)
    frames[0, 0, 0] = 200  # 0.5 count - 32 is 68, over 60: 5 % of the pixels
    frames[1, 0, 0] = 255  # no data, as many
    frames[1, 0, 1] = 164  # 50
    channel = Channel("DBZH", "dBZ", 0.5, -32.0, missing=(255.0,), undetected=(0.0,))
    scaling = Scaling(((-10.0, 60.0),), ("none",), (), "clip")
    dataset = made_of(frames, scaling, channel)
    content = dataset.content()
    assert content["channels"]["DBZH"] == {
        **{"unit": "dBZ", "minimum": 50, "maximum": 68, "missing_percent": 5},
        **{"range_low": -10, "range_high": 60, "range_from": "params", "transform": "none"},
        **{"filled_percent": 100, "clipped_percent": 5},
    }
    assert content["windows"] == {"train": 2, "valid": 1, "test": 1}
    assert content["dropped"] == {"train: drier than min_wet_fraction": 1}
    assert content["by_sequence"]["may"]["size"] == "10 x 10"
    assert list(dataset.lines()) == [
        "windows: 2 train, 1 valid, 1 test; left out of train: 1, drier than min_wet_fraction",
        "DBZH: value_range [-10, 60] dBZ from params; 5 % of the values lie outside and are "
        "clipped",
    ]
