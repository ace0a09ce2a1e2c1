"""Damaged files of every kind from outside: frames or one line, and nothing else.

CONVLSTM_FUZZ_SECONDS, 45 if not given, is how long to go on. HDF5 and NetCDF4 are left out: the
library itself has known faults on hostile files (those that we write carry checksums: test_rot).
"""

import gzip
import io
import itertools
import os
import random
import resource
import struct
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

from convlstm.demo import digits
from convlstm.ingest import arrays, images, readers
from convlstm.model import model_file
from convlstm.params import loading
from convlstm.params.groups import Params
from convlstm.patch.folding import Geometry
from convlstm.runtime.errors import BadInput
from tests.builders import model_of, params_of, reading_of

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("CONVLSTM_FUZZ_SECONDS", "45"))
GRAY = np.random.default_rng(0).integers(0, 256, (24, 20), np.uint8)
READINGS = [
    reading_of(pixel_values=kind, max_pixels=1_000_000)
    for kind in ("gray", "luminance", "index", "rgb")
]
MEMORY_BYTES = 8 * 2**30


def encoded(format_: str, mode: str = "L", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(GRAY).convert(mode).save(buffer, format_, **options)
    return buffer.getvalue()


def film(format_: str) -> bytes:
    buffer = io.BytesIO()
    first, *others = (Image.fromarray(np.roll(GRAY, shift, 0)) for shift in range(3))
    first.save(buffer, format_, save_all=True, append_images=others)
    return buffer.getvalue()


def saved(write: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def trained(folder: Path) -> bytes:
    model_file.save(folder / "model", model_of("convlstm", Geometry(1, 8, 8, 2)))
    return (folder / "model").read_bytes()


def seeds(folder: Path) -> dict[str, bytes]:
    """A sound file of each kind, by name."""
    idx = struct.pack(">4B3I", 0, 0, 8, 3, 2, 9, 9) + bytes(162)
    return {
        "a.png": encoded("PNG"),
        "b.png": encoded("PNG", "P"),
        "c.png": encoded("PNG", "RGBA"),
        "a.gif": film("GIF"),
        "a.tif": film("TIFF"),
        "b.tif": encoded("TIFF", compression="tiff_lzw"),
        "c.tif": encoded("TIFF", "F"),
        "a.jpg": encoded("JPEG"),
        "a.bmp": encoded("BMP"),
        "a.pgm": encoded("PPM"),
        "a.ppm": encoded("PPM", "RGB"),
        "a.pgm.gz": gzip.compress(encoded("PPM")),
        "a.npy": saved(lambda file: np.save(file, GRAY[None].repeat(3, 0))),
        "a.npz": saved(lambda file: np.savez_compressed(file, a=GRAY)),
        "digits-idx3-ubyte": idx,
        "digits-idx3-ubyte.gz": gzip.compress(idx),
        "model.safetensors": trained(folder),
        "params.yaml": saved(lambda file: YAML().dump(params_of(Params).model_dump(), file)),
    }


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Some bits flipped, bytes set, a part cut out, doubled or overwritten by another."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        first, second = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        match chance.randrange(6):
            case 0 if first < len(data):
                data[first] ^= 1 << chance.randrange(8)
            case 1 if first < len(data):
                data[first] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                del data[first:second]
            case 3:
                data[first:first] = data[first : min(second, first + 64)]
            case 4:
                del data[second:]
            case _:
                data[first : first + 4] = struct.pack("<I", chance.getrandbits(32))
    return bytes(data)


def read(path: Path) -> None:
    """As the pipeline would."""
    if path.name == "params.yaml":
        loading.load(path, Params)
    elif path.name == "model.safetensors":
        model_file.load(path, torch.device("cpu"))
    elif "idx3" in path.name:
        digits.load(path)
    else:
        for reading in READINGS[: 1 if path.suffix in arrays.SUFFIXES else None]:
            readers.extent(path, reading)
            for _ in itertools.islice(readers.frames(path, reading), 5):
                pass


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Who asks for more memory than this is refused it, instead of taking the machine down."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.usefixtures("little_memory")
def test_damaged_files_are_read_or_refused_in_one_line_each(tmp_path: Path) -> None:
    chance, sound = random.Random(0), seeds(tmp_path)
    kinds = {readers.suffix(Path(name)) for name in sound}
    assert kinds >= {*images.SUFFIXES, ".npy", ".npz"} - {".jpeg", ".tiff"}
    end, tries, refused = time.monotonic() + SECONDS, 0, 0
    while time.monotonic() < end:
        for name, content in sound.items():
            path = tmp_path / name
            path.write_bytes(mutated(content, chance))
            tries += 1
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # a decoder may warn of what it repairs
                    read(path)
            except BadInput as error:
                refused += 1
                if name != "params.yaml":  # which tells all faults at once
                    assert len(str(error).splitlines()) == 1, error  # noqa: PT017 - told, not how
            except Exception as error:
                error.add_note(f"try {tries}: {name}, {path.read_bytes()!r}"[:5000])
                raise
    print(f"{tries} damaged files, {refused} refused")
    assert refused > tries / 4
