"""One flipped bit, or an end that is missing: a line that names the file, or no harm at all.

Every file that one stage leaves to another, 200 flipped bits and 100 truncations each.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from convlstm.model import model_file
from convlstm.patch.folding import Geometry
from convlstm.runtime.errors import BadInput
from convlstm.storage import hdf5, store
from tests.builders import model_of, reading_of

FLIPS, TRUNCATIONS = 200, 100
CHANCE = np.random.default_rng(0)


def noise(count: int) -> np.ndarray:
    return CHANCE.integers(0, 256, (count, 1, 7, 7), np.uint8)


def write_frames(path: Path) -> None:
    with hdf5.create(path) as file:
        for name in ("first", "zweite Wolke ☁"):
            labels, times = ("a.png", "b.png", "c.png"), (1, 2, 3)
            store.append_sequence(file, name, noise(3), labels=labels, times=times)
        hdf5.describe(file, reading=reading_of().model_dump())


def read_frames(path: Path) -> object:
    with hdf5.reading(path) as file:
        return hdf5.description(file), [
            (name, found.frames[:].tolist(), found.times, [found.label(time) for time in range(3)])
            for name, found in store.sequences(file).items()
        ]


def write_patches(path: Path) -> None:
    with hdf5.create(path) as file:
        frames = store.PatchWriter(file, (1, 7, 7), np.dtype(np.uint8), 9)
        frames.write(frames.grow(9), noise(9))
        store.write_windows(file, ["a", "b"], {"train": [(0, 0, 0, 0)], "test": [(4, 1, 0, 7)]})
        hdf5.describe(file, scaling={"value_range": (0.0, 255.0)})


def read_patches(path: Path) -> object:
    with hdf5.reading(path) as file:
        windows = {split: rows[:].tolist() for split, rows in file["windows"].items()}
        texts = hdf5.texts(file["sequences"])
        return hdf5.description(file), file["frames"][:].tolist(), windows, texts


def write_forecasts(path: Path) -> None:
    with hdf5.create(path) as file:
        for label in ("median", "best"):
            store.write_forecast(file, label, context=noise(3), truth=noise(2), forecast=noise(2))
        hdf5.describe(file, value_range=(0.0, 1.0))


def read_forecasts(path: Path) -> object:
    with hdf5.reading(path) as file:
        return hdf5.description(file), [
            {name: np.asarray(part).tolist() for name, part in window.items()}
            for window in store.forecasts(file)
        ]


def write_model(path: Path) -> None:
    model_file.save(path, model_of("convlstm", Geometry(1, 8, 8, 2)))


def read_model(path: Path) -> object:
    found = model_file.load(path, torch.device("cpu"))
    weights = {name: weight.tolist() for name, weight in found.network.state_dict().items()}
    facts = {name: fact for name, fact in vars(found).items() if name != "network"}
    return weights, repr(facts), found.network.architecture


KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], Any]]] = {
    "frames.h5": (write_frames, read_frames),
    "patches.h5": (write_patches, read_patches),
    "forecasts.h5": (write_forecasts, read_forecasts),
    "model.safetensors": (write_model, read_model),
}


def damaged(path: Path, content: bytes) -> Iterator[Path]:
    """The file with one damage after another."""
    chance = random.Random(0)
    for _ in range(FLIPS):
        flipped = bytearray(content)
        place = chance.randrange(8 * len(content))
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        yield path
    for _ in range(TRUNCATIONS):
        path.write_bytes(content[: chance.randrange(len(content))])
        yield path


def outcome(path: Path, read: Callable[[Path], object], whole: str) -> str:
    try:
        return "harmless" if repr(read(path)) == whole else "silent"
    except BadInput as error:
        return "told" if re.fullmatch(rf"{re.escape(str(path))}: .+", str(error)) else str(error)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "model.safetensors" else pytest.mark.slow)
        for name in KINDS
    ],
)
def test_no_damage_is_silent(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write, read = KINDS[name]
    write(path)
    whole, content = repr(read(path)), path.read_bytes()
    outcomes = Counter(outcome(path, read, whole) for path in damaged(path, content))
    assert set(outcomes) <= {"told", "harmless"}
    # what is left over between the parts of an HDF5 file, and the spaces in a header, hold nothing
    assert outcomes["told"] >= 0.8 * (FLIPS + TRUNCATIONS)
