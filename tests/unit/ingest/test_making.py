"""Shards hold what was read, the same bytes whoever makes them, and are made once."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convlstm.ingest import cutting, decoding, making, summary
from convlstm.ingest.params import Reading
from convlstm.runtime import system
from convlstm.runtime.errors import BadInput
from convlstm.storage import frames as frames_h5
from tests.builders import reading_of
from tests.ingesting import ingest

SHAPES = {"a": (30, 16, 17), "b": (3, 16, 17), "c": (5, 8, 9)}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Three sequences of noise, whose names tell times; a file has some 300 bytes."""
    chance = np.random.default_rng(0)
    for name, shape in SHAPES.items():
        (tmp_path / "raw" / name).mkdir(parents=True)
        for minute, frame in enumerate(chance.integers(0, 256, shape, np.uint8)):
            Image.fromarray(frame).save(tmp_path / "raw" / name / f"2020010100{minute:02d}.png")
    return tmp_path / "raw"


@pytest.fixture
def _in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "LEAST_BYTES", 2000)


DATED = {"time_format": "%Y%m%d%H%M"}


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def read(folder: Path) -> object:
    """Return all that a folder says of its sequences."""
    with frames_h5.opened(folder) as stored:
        return [
            (
                name,
                own.frames[:].tolist(),
                None if own.times is None else own.times.tolist(),
                [own.label(time) for time in range(len(own.frames))],
                summary.of_stored(own, (piece.tally for piece in own.pieces)),
            )
            for name, own in stored.sequences.items()
        ]


def test_a_sequence_in_pieces_reads_as_the_whole_one(
    tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ingest(raw, tmp_path / "whole", reading_of(**DATED), tmp_path / "cache")
    monkeypatch.setattr(cutting, "LEAST_BYTES", 2000)
    pieces = ingest(raw, tmp_path / "pieces", reading_of(**DATED), tmp_path / "cache")
    assert (len(whole), len(pieces) > 3) == (1, True)
    assert read(tmp_path / "pieces") == read(tmp_path / "whole")


@pytest.mark.usefixtures("_in_pieces")
def test_several_processes_make_the_same_bytes_as_one(
    tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cores in (1, 2):
        monkeypatch.setattr(system, "cores", lambda cores=cores: cores)
        ingest(raw, tmp_path / f"by {cores}", reading_of(), tmp_path / f"cache {cores}")
    assert content(tmp_path / "by 1") == content(tmp_path / "by 2")


@pytest.mark.parametrize("cores", [1, 2])
def test_one_large_file_becomes_several_shards_of_the_same_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(system, "cores", lambda: cores)
    drawn = np.random.default_rng(0).integers(0, 256, (30, 16, 17), np.uint8)
    (tmp_path / "raw").mkdir()
    np.save(tmp_path / "raw/a.npy", drawn)
    ingest(tmp_path / "raw", tmp_path / "whole", reading_of(), tmp_path / "cache")
    monkeypatch.setattr(cutting, "LEAST_BYTES", 2000)  # 7.6 frames of 272 bytes with the head
    pieces = ingest(tmp_path / "raw", tmp_path / "pieces", reading_of(), tmp_path / "cache")
    assert len(pieces) == 4  # of 8 frames, the last one of 6
    with frames_h5.opened(tmp_path / "pieces") as stored:
        np.testing.assert_array_equal(stored.sequences["a"].frames[:][:, 0], drawn)
    assert read(tmp_path / "pieces") == read(tmp_path / "whole")


@pytest.mark.parametrize("count", [20, 24, 25])
@pytest.mark.parametrize("cores", [1, 2])
def test_a_long_film_becomes_several_shards_of_whole_chunks_by_one_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, count: int
) -> None:
    monkeypatch.setattr(system, "cores", lambda: cores)
    drawn = np.random.default_rng(0).integers(0, 256, (count, 16, 17), np.uint8)
    raw = tmp_path / "raw"
    raw.mkdir()
    for name, frames in (("a.npz", drawn), ("b.npz", drawn[:5])):
        np.savez(raw / name, frames)
    ingest(raw, tmp_path / "whole", reading_of(), tmp_path / "cache")
    monkeypatch.setattr(cutting, "LEAST_BYTES", 2000)
    monkeypatch.setattr(cutting, "TIMES_UNPACKED", 1)  # frames have 272 bytes, so a shard 8
    shards = ingest(raw, tmp_path / "pieces", reading_of(), tmp_path / "cache")
    with frames_h5.opened(tmp_path / "pieces") as stored:
        film, other = (stored.sequences[name] for name in "ab")
        assert [piece.shape[0] for piece in film.pieces] == {
            20: [8, 8, 4],
            24: [8, 8, 8],
            25: [8, 8, 8, 1],
        }[count]
        assert [piece.shape[0] for piece in other.pieces] == [5]
        np.testing.assert_array_equal(film.frames[:][:, 0], drawn)
        np.testing.assert_array_equal(other.frames[:][:, 0], drawn[:5])
    assert len(set(shards)) == len(shards) == len(film.pieces) + 1
    assert read(tmp_path / "pieces") == read(tmp_path / "whole")
    monkeypatch.setattr(making, "Filling", None)  # which is not asked for what is known
    assert ingest(raw, tmp_path / "again", reading_of(), tmp_path / "cache") == shards


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which the name of each file that is decoded is added."""
    monkeypatch.setattr(system, "cores", lambda: 1)
    names: list[str] = []
    original = decoding._decode

    def decode(path: Path, reading: Reading) -> object:
        names.append(path.name)
        return original(path, reading)

    monkeypatch.setattr(decoding, "_decode", decode)
    return names


@pytest.mark.usefixtures("_in_pieces")
def test_what_was_made_before_is_not_decoded_again(
    tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = counted(monkeypatch)

    def again() -> int:
        names.clear()
        ingest(raw, tmp_path / "out", reading_of(), tmp_path / "cache")
        return len(names)

    assert again() >= 38  # each frame, and those that pieces are compared with
    before = content(tmp_path / "out")
    assert again() == 0
    assert content(tmp_path / "out") == before
    for path in raw.rglob("*.png"):
        os.utime(path, ns=(1, 1))
    assert again() == 0
    Image.fromarray(np.full((8, 9), 7, np.uint8)).save(raw / "c/202001010005.png")
    assert 6 <= again() <= 15  # its shard, not all 39
    (raw / "c/202001010005.png").unlink()
    again()
    assert content(tmp_path / "out") == before


@pytest.mark.usefixtures("_in_pieces")
def test_a_shard_that_the_last_run_has_not_used_is_forgotten(tmp_path: Path, raw: Path) -> None:
    cache = tmp_path / "cache"
    names = ingest(raw, tmp_path / "out", reading_of(), cache)
    (cache / ".new-host-1.partial.h5").touch()  # of a run that was killed
    assert {path.name for path in cache.glob("*.h5")} >= set(names)
    (raw / "a/202001010000.png").unlink()
    others = ingest(raw, tmp_path / "out", reading_of(), cache)
    assert {path.name for path in cache.iterdir() if path.suffix == ".h5"} == set(others)
    assert set(others) != set(names)


@pytest.mark.usefixtures("_in_pieces")
def test_a_shard_is_linked_where_the_disk_can(tmp_path: Path, raw: Path) -> None:
    for name in ingest(raw, tmp_path / "out", reading_of(), tmp_path / "cache"):
        assert (tmp_path / "out" / name).samefile(tmp_path / "cache" / name)


def other_size(raw: Path) -> None:
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(raw / "a/202001010025.png")


def broken(raw: Path) -> None:
    (raw / "a/202001010025.png").write_bytes(b"none")


@pytest.mark.usefixtures("_in_pieces")
@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (other_size, "25.png: 9 x 9 pixels of 1 uint8, but a begins with 16 x 17 pixels"),
        (broken, "25.png: is of no kind that is read"),
    ],
)
def test_faults_of_any_piece_are_named_as_those_of_the_whole_sequence(
    tmp_path: Path,
    raw: Path,
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[Path], None],
    line: str,
    cores: int,
) -> None:
    monkeypatch.setattr(system, "cores", lambda: cores)
    harm(raw)
    (raw / "c/202001010001.png").write_bytes(b"none")
    with pytest.raises(BadInput) as raised:
        ingest(raw, tmp_path / "out", reading_of(), tmp_path / "cache")
    first, last = str(raised.value).splitlines()
    if harm is broken:
        assert "a/202001010025.png" in first
    else:
        assert line in first
    assert "c/202001010001.png" in last
    assert not (tmp_path / "out").exists()
    assert any((tmp_path / "cache").glob("*.h5"))  # of the other pieces
