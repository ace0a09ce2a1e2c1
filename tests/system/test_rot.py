"""What a disk does to a file: a line that names the file, or no harm at all.

Every file that one stage leaves to another or to its own next run is damaged by 200 flipped bits
and 100 truncations, and of radar that is mostly dry by lost sectors and words, too: a checksum that
adds words up takes some of these for whole.
"""

import io
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from convlstm.model import model_file
from convlstm.patch.folding import Geometry
from convlstm.runtime.errors import BadInput
from convlstm.storage import forecasts, hdf5
from convlstm.storage import frames as frames_h5
from convlstm.storage import patches as patches_h5
from convlstm.storage.meaning import Quantity
from convlstm.storage.patches import Span, Window
from convlstm.train.checkpoint import Checkpoints
from tests.builders import frames_from, model_of, open_patches, reading_of

FLIPS, TRUNCATIONS = 200, 100
OVERWRITTEN = 400
CHANCE = np.random.default_rng(0)


def noise(count: int) -> np.ndarray:
    return CHANCE.integers(0, 256, (count, 1, 7, 7), np.uint8)


def write_frames(path: Path) -> None:
    """Write a shard, and beside it its index; `path` is one of them."""
    path = path.with_name("shard.h5")
    with hdf5.create(path) as file:
        for name in ("first", "zweite Wolke ☁"):
            labels, times = ("a.png", "b.png", "c.png"), (1, 2, 3)
            frames_h5.append_sequence(file, name, frames_from(noise(3)), labels=labels, times=times)
    frames_h5.write_index(path.parent, [path.name], reading_of().model_dump())


def read_frames(path: Path) -> object:
    with frames_h5.opened(path.parent) as stored:
        return stored.reading, [
            (name, found.frames[:].tolist(), found.times, [found.label(time) for time in range(3)])
            for name, found in stored.sequences.items()
        ]


RAIN = Quantity("rain", "mm/h", (0.0, 255.0))


def write_patches(path: Path) -> None:
    write_frames(path.parent.with_name("frames") / "shard.h5")
    write_counts(path, [CHANCE.integers(0, 16, (3, 2, 2, 2), np.uint8) for _ in range(2)])


def write_counts(path: Path, counts: list[np.ndarray]) -> None:
    """Write a shard of patches, and beside it its index; `path` is one of them."""
    with hdf5.create(path.with_name("shard.h5")) as file:
        for number, own in enumerate(counts):
            writer = patches_h5.Counts(file, f"{number:06d}")
            writer.append(own)
            writer.finish(own.sum(axis=3, dtype=np.int64), "")
        hdf5.write_array(file, "filling", np.zeros((1, 3), np.int64))
    places = [own.place for own in patches_h5.counted(path.with_name("shard.h5"))[0].values()]
    windows = {"train": [Window(0, 0, 0, 0)], "valid": [], "test": [Window(4, 0, 0, 0)]}
    about = {"scaling": {"value_range": ((0.0, 255.0),)}}
    with frames_h5.opened(path.parent.with_name("frames")) as source:
        patches_h5.write_index(
            path.parent, source.sequences, places, windows, [Span(0, 0, 3)], about
        )


def read_patches(path: Path) -> object:
    with open_patches(path.parent) as found:
        windows = {split: rows.tolist() for split, rows in found.windows.items()}
        counts = [counted[:].tolist() for counted in found.counts]
        return found.description, counts, windows, found.spans


def write_forecasts(path: Path) -> None:
    with hdf5.create(path) as file:
        forecasts.describe(file, (RAIN,), {"device": "a CPU"})
        for label in ("median", "best"):
            context, truth, forecast = (noise(count).astype(np.float32) for count in (3, 2, 2))
            window = forecasts.DrawnWindow(label, context, truth, forecast, (RAIN,))
            forecasts.append(file, window)


def read_forecasts(path: Path) -> object:
    with hdf5.open_complete(path) as file:
        windows, run = forecasts.read(file)
        parts = [[getattr(window, part).tolist() for part in forecasts.PARTS] for window in windows]
        return [(window.label, window.quantities) for window in windows], parts, run


def write_model(path: Path) -> None:
    model_file.save(path, model_of("convlstm", Geometry(1, 8, 8, 2)))


def read_model(path: Path) -> object:
    found = model_file.load(path, torch.device("cpu"))
    weights = {name: weight.tolist() for name, weight in found.network.state_dict().items()}
    others = {name: value for name, value in vars(found).items() if name != "network"}
    return weights, others, found.network.architecture


KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], Any]]] = {
    **dict.fromkeys(("frames/shard.h5", "frames/index.h5"), (write_frames, read_frames)),
    **dict.fromkeys(("patches/shard.h5", "patches/index.h5"), (write_patches, read_patches)),
    "forecasts.h5": (write_forecasts, read_forecasts),
    "model.safetensors": (write_model, read_model),
}


def damaged(path: Path, content: bytes) -> Iterator[Path]:
    """Yield `path` with one damage after another."""
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
        return "refused" if re.fullmatch(rf"{re.escape(str(path))}: .+", str(error)) else str(error)


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
    assert set(outcomes) <= {"refused", "harmless"}
    # what is left over between the parts of an HDF5 file, and the spaces in a header, hold nothing
    assert outcomes["refused"] >= 0.8 * (FLIPS + TRUNCATIONS)


def dry_radar(count: int) -> np.ndarray:
    """Frames of which 5 % are wet, of the sides that a radar has."""
    wet = CHANCE.random((count, 1, 256, 256)) < 0.05
    return (wet * CHANCE.integers(1, 90, wet.shape)).astype(np.uint8)


def write_radar(path: Path) -> None:
    """Write the file of `path`, with radar in it; what has another name is written beside it."""
    if path.name == "forecasts.h5":
        with hdf5.create(path) as file:
            forecasts.describe(file, (RAIN,), {})
            context, truth, forecast = (dry_radar(count).astype(np.float32) for count in (3, 2, 2))
            window = forecasts.DrawnWindow("median", context, truth, forecast, (RAIN,))
            forecasts.append(file, window)
        return
    frames = path.parent.with_name("frames")
    with hdf5.create(frames / "shard.h5") as file:
        frames_h5.append_sequence(file, "radar", frames_from(dry_radar(9)))
    frames_h5.write_index(frames, ["shard.h5"], {})
    if path.parent != frames:
        write_counts(path, [dry_radar(18).reshape(9, 2, 256, 256)])


def read_radar(path: Path) -> object:
    """Return the numbers as bytes, for texts of so many take long."""
    if path.parent.name == "patches":
        with open_patches(path.parent) as stored:
            windows = [rows.tobytes() for rows in stored.windows.values()]
            return stored.description, windows, stored.spans, stored.counts[0][:].tobytes()
    if path.parent.name == "frames":
        with frames_h5.opened(path.parent) as found:
            return found.sequences["radar"].frames[:].tobytes()
    with hdf5.open_complete(path) as file:
        (window,), _ = forecasts.read(file)
        return [getattr(window, part).tobytes() for part in forecasts.PARTS]


def stretch(byte: bytes, size: int) -> Callable[[bytearray, random.Random], None]:
    """Overwrite an aligned stretch of the file with one byte."""

    def overwrite(content: bytearray, chance: random.Random) -> None:
        first = chance.randrange(len(content) // size) * size
        content[first : first + size] = byte * size

    return overwrite


def exchanged_words(content: bytearray, chance: random.Random) -> None:
    """Turn zeros of a sector into ones, or the other way about, word by word."""
    first = chance.randrange(len(content) // 512) * 512
    words = np.frombuffer(content, "<u2", 256, first)
    low, high = words == 0, words == 0xFFFF
    words[low], words[high] = 0xFFFF, 0


def zeroed_chunk(content: bytearray, chance: random.Random) -> None:
    """Zero a chunk of any dataset, with whatever checksum may be in it."""
    chunks: list[Any] = []

    def note(_: str, node: h5py.Group | h5py.Dataset) -> None:
        if isinstance(node, h5py.Dataset) and node.chunks:
            chunks.extend(map(node.id.get_chunk_info, range(node.id.get_num_chunks())))

    with h5py.File(io.BytesIO(content), "r") as file:
        file.visititems(note)
    chosen = chance.choice(chunks)
    content[chosen.byte_offset : chosen.byte_offset + chosen.size] = bytes(chosen.size)


OVERWRITES: dict[str, Callable[[bytearray, random.Random], None]] = {
    "512 B of 0xFF": stretch(b"\xff", 512),
    "4 kB of 0xFF": stretch(b"\xff", 4096),
    "512 B of 0x00": stretch(b"\0", 512),
    "4 kB of 0x00": stretch(b"\0", 4096),
    "0x0000 for 0xFFFF": exchanged_words,
    "a chunk of 0x00": zeroed_chunk,
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", OVERWRITES)
@pytest.mark.parametrize("name", ["frames/shard.h5", "patches/shard.h5", "forecasts.h5"])
def test_no_lost_sector_of_dry_radar_is_silent(tmp_path: Path, name: str, damage: str) -> None:
    path, chance = tmp_path / name, random.Random(0)
    write_radar(path)
    whole, content = repr(read_radar(path)), path.read_bytes()
    outcomes: Counter[str] = Counter()
    for _ in range(OVERWRITTEN):
        changed = bytearray(content)
        OVERWRITES[damage](changed, chance)
        path.write_bytes(changed)
        outcomes[outcome(path, read_radar, whole) if changed != content else "unchanged"] += 1
    assert set(outcomes) <= {"refused", "harmless", "unchanged"}
    # Most of it lies where something is: of the small shard of counts, a quarter is free.
    most = 0.7 if name == "patches/shard.h5" else 0.8
    assert outcomes["refused"] >= most * (OVERWRITTEN - outcomes["unchanged"])


def test_no_damaged_checkpoint_is_continued_but_the_one_before_it(tmp_path: Path) -> None:
    saved = Checkpoints(tmp_path, {}, every_minutes=0.0)
    for iteration in (4, 5):
        saved.save(iteration, {"iteration": iteration, "weights": torch.rand(100)})
    before, newest = sorted(saved.folder.iterdir())
    for path in damaged(newest, newest.read_bytes()):
        states: list[dict[str, Any]] = []
        notes = saved.resume(states.append)
        assert [state["iteration"] for state in states] == [4]
        assert notes == [
            f"{path}: damaged; it is not continued",
            f"continues after batch 4, from {before}",
        ]
