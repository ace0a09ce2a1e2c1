"""Frames come in order and unchanged from all cores; every bad file is named with its reason."""

import os
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from PIL import Image

from convlstm.ingest import decoding, readers, sources
from convlstm.ingest.params import Reading
from convlstm.runtime import system
from convlstm.runtime.errors import BadInput, Faults
from convlstm.storage.frames import Frame
from convlstm.storage.meaning import Channel, Meaning
from tests.builders import reading_of, values_of


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def read(raw: Path, **reading: object) -> dict[str, np.ndarray]:
    """Return all sequences under a folder, or raise its faults."""
    faults, how = Faults(), reading_of(**reading)
    found = sources.find(raw, how, faults)
    everything = {}
    for source, sequence in decoding.read(found, how, faults):
        listed = values_of(sequence)
        everything[source.name] = np.stack(listed) if listed else np.zeros(0)
    faults.check()
    return everything


def lines(raw: Path, **reading: object) -> list[str]:
    with pytest.raises(BadInput) as raised:
        read(raw, **reading)
    return str(raised.value).splitlines()


def test_frames_come_in_order_and_unchanged(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (3, 40, 8, 9), np.uint8)
    for number, sequence in enumerate(drawn):
        for time, frame in enumerate(sequence):
            save(tmp_path / f"s{number}" / f"f{time}.png", frame)
    found = read(tmp_path)
    assert list(found) == ["s0", "s1", "s2"]
    np.testing.assert_array_equal(np.stack(list(found.values()))[:, :, 0], drawn)


def test_folders_of_frames_and_of_films_can_be_mixed(tmp_path: Path) -> None:
    save(tmp_path / "a/1.png", np.zeros((8, 8), np.uint8))
    (tmp_path / "b").mkdir()
    np.save(tmp_path / "b/x.npy", np.ones((3, 8, 8), np.uint8))
    found = read(tmp_path)
    assert {name: sequence.shape for name, sequence in found.items()} == {
        "a": (1, 1, 8, 8),
        "b/x": (3, 1, 8, 8),
    }


def test_every_bad_file_is_named_with_its_reason(tmp_path: Path) -> None:
    good = np.random.default_rng(0).integers(0, 256, (30, 30), np.uint8)
    for time in range(10):
        save(tmp_path / f"{time}.png", good)
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[:600])
    (tmp_path / "2.png").write_bytes(b"")
    (tmp_path / "3.png").write_text("text")
    save(tmp_path / "4.png", good[:20])
    save(tmp_path / "5.png", good.astype(np.uint16))
    save(tmp_path / "6.png", np.dstack([good] * 3))
    (tmp_path / "7.png").unlink()
    (tmp_path / "7.png").symlink_to(tmp_path / "gone.png")
    stack = [Image.fromarray(np.roll(good, shift)) for shift in range(2)]
    stack[0].save(tmp_path / "8.gif", save_all=True, append_images=stack[1:])
    (tmp_path / "8.png").unlink()
    (tmp_path / "9.png").unlink()
    os.mkfifo(tmp_path / "9.png")
    found = lines(tmp_path)
    expected = {
        "1.png": "cannot be read as an image",
        "2.png": "cannot be read as an image",
        "3.png": "cannot be read as an image",
        "4.png": "20 x 30 pixels of 1 uint8, but",
        "5.png": "30 x 30 pixels of 1 uint16, but",
        "6.png": "holds colours (RGB)",
        "7.png": "No such file",
        "8.gif": "holds several frames",
        "9.png": "not a regular file",
    }
    assert len(found) == len(expected)
    for line, (name, words) in zip(found, expected.items(), strict=True):
        assert line.startswith(str(tmp_path / name)), line
        assert words in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    save(tmp_path / "1.png", np.zeros((8, 8), np.uint8))
    save(tmp_path / "2.png", np.zeros((8, 8), np.uint8))
    (tmp_path / "2.png").chmod(0)
    assert "2.png: cannot be read" in lines(tmp_path)[0]


def test_a_file_that_may_not_be_read_is_named_even_for_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("1.bmp", "2.bmp"):
        save(tmp_path / name, np.zeros((8, 8), np.uint8))
    original = Image.open

    def refusing(path: Path, **options: object) -> Image.Image:
        if Path(path).name == "2.bmp":
            raise PermissionError(13, "Permission denied", str(path))
        return original(path, **options)  # type: ignore[arg-type] # passed on

    monkeypatch.setattr(Image, "open", refusing)
    (line,) = lines(tmp_path)
    assert line == f"{tmp_path / '2.bmp'}: cannot be read (Permission denied)"


def test_only_the_first_20_bad_files_are_listed(tmp_path: Path) -> None:
    tmp_path.joinpath("raw").mkdir()
    for number in range(25):
        (tmp_path / f"raw/{number}.png").write_text("text")
    found = lines(tmp_path / "raw")
    assert len(found) == 21
    assert found[-1] == "... and 5 more"


def test_a_bad_film_is_named(tmp_path: Path) -> None:
    for name in ("1.npy", "2.npy"):
        np.save(tmp_path / name, np.zeros((3, 8, 8)))
    (tmp_path / "3.npy").write_text("text")
    (line,) = lines(tmp_path)
    assert "3.npy: cannot be read as an array file" in line


@pytest.mark.slow
def test_memory_does_not_grow_with_the_archive(tmp_path: Path) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)
    for time in range(300):
        save(tmp_path / f"{time}.png", frame)
    how, faults = reading_of(), Faults()
    found = sources.find(tmp_path, how, faults)
    tracemalloc.start()
    for _, sequence in decoding.read(found, how, faults):
        count = sum(1 for _ in sequence)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 300
    # all frames are 12 MB of 40 kB each
    in_flight = decoding.FILES_PER_TASK * (decoding.TASKS_AHEAD * system.cores() + 2)
    assert peak < in_flight * frame.nbytes + 1_000_000


def test_one_thread_decodes_each_frame_when_it_is_asked_for(tmp_path: Path) -> None:
    for time in range(9):
        save(tmp_path / f"files/{time}.png", np.full((8, 9), time, np.uint8))
    (tmp_path / "films").mkdir()
    np.save(tmp_path / "films/a.npy", np.arange(5 * 72, dtype=np.uint16).reshape(5, 8, 9))
    (tmp_path / "files/4.png").write_text("text")
    before, how = threading.active_count(), reading_of()
    found: list[dict[str, list[np.ndarray]]] = []
    lines: list[str] = []
    for threads in (1, 2):
        faults = Faults()
        sequences = decoding.read(sources.find(tmp_path, how, faults), how, faults, threads)
        found.append({source.name: values_of(frames) for source, frames in sequences})
        with pytest.raises(BadInput) as raised:
            faults.check()
        lines.append(str(raised.value))
        assert threads == 2 or threading.active_count() == before
    assert [len(frames) for frames in found[0].values()] == [8, 5]
    for one, two in zip(*(own.values() for own in found), strict=True):
        np.testing.assert_array_equal(one, two)
    assert lines[0] == lines[1]


def films(folder: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> list[sources.Source]:
    """Return the sources of `count` films, which two cores decode."""
    monkeypatch.setattr(system, "cores", lambda: 2)
    for number in range(count):
        np.save(folder / f"{number}.npy", np.zeros((2, 8, 8)))
    found = sources.find(folder, reading_of(), Faults())
    return [replace(source, span=None) for source in found]


def test_two_films_are_decoded_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = films(tmp_path, 4, monkeypatch)
    together = threading.Barrier(2, timeout=20)

    def met(*_: object) -> Iterator[Frame]:
        together.wait()  # until the other core is at its film, too
        yield Frame(np.zeros((1, 8, 8)))

    monkeypatch.setattr(readers, "frames", met)
    assert sum(1 for _, film in decoding.read(found, reading_of(), Faults()) for _ in film) == 4


def test_of_a_long_film_only_the_beginning_is_decoded_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = films(tmp_path, 20, monkeypatch)
    decoded = 0

    def long(*_: object) -> Iterator[Frame]:
        nonlocal decoded
        while decoded < 1000:
            decoded += 1
            yield Frame(np.zeros((1, 512, 256)))  # a MB: four of them are a task

    monkeypatch.setattr(readers, "frames", long)
    next(next(decoding.read(found, reading_of(), Faults()))[1])
    assert decoded <= 4 * (2 * 2 + 1)  # of the film at hand, and of two more for each core


def test_the_rest_of_a_film_is_decoded_in_few_bytes_while_its_frames_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (film,) = films(tmp_path, 1, monkeypatch)
    decoded, threads = 0, set()
    ninth = threading.Event()

    def long(*_: object) -> Iterator[Frame]:
        nonlocal decoded
        while decoded < 100:
            decoded += 1
            threads.add(threading.get_ident())
            yield Frame(np.full((1, 512, 256), float(decoded)))  # a MB: four of them are a task
            if decoded == 9:
                ninth.set()

    monkeypatch.setattr(readers, "frames", long)
    ((_, frames),) = decoding.read([film], reading_of(), Faults())
    for number, frame in enumerate(frames):
        assert frame.values[0, 0, 0] == number + 1
        assert decoded <= number + 1 + 3 * 4  # a task in use, one that waits, one at work
        if number == 4:  # the first of the second task, beside whose frames the third is decoded
            assert ninth.wait(timeout=20)
    assert decoded == 100
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("pixels_ahead", [0, 71, 72, 89, 90, 10**6])
def test_frames_are_the_same_however_few_are_decoded_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels_ahead: int
) -> None:
    """Of 72 and 90 pixels, in files of one frame and in films, and a bad one among them."""
    drawn = np.random.default_rng(0).integers(0, 256, (2, 9, 10, 9), np.uint8)
    for time, frame in enumerate(drawn[0]):
        save(tmp_path / "files" / f"{time}.png", frame)
    (tmp_path / "films").mkdir()
    np.save(tmp_path / "films/a.npy", drawn[1])
    np.save(tmp_path / "films/b.npy", drawn[1, :, :8])
    monkeypatch.setattr(decoding, "_pixels_ahead", lambda _: pixels_ahead)
    found = read(tmp_path)
    np.testing.assert_array_equal(found["files"][:, 0], drawn[0])
    np.testing.assert_array_equal(found["films/a"][:, 0], drawn[1])
    np.testing.assert_array_equal(found["films/b"][:, 0], drawn[1, :, :8])
    save(tmp_path / "files/3.png", drawn[0, 3, :8])
    save(tmp_path / "files/5.png", np.zeros((100, 10), np.uint8))
    smaller, larger = lines(tmp_path, max_pixels=100)
    assert "3.png: 8 x 9 pixels of 1 uint8, but files begins with 10 x 9" in smaller
    assert "5.png: has more pixels than max_pixels = 100; raise it" in larger


@pytest.mark.parametrize(("pixels_ahead", "ahead"), [(89, False), (90, True)])
def test_what_does_not_fit_into_memory_beside_the_others_waits_until_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels_ahead: int, ahead: bool
) -> None:
    for time in range(40):
        save(tmp_path / "files" / f"{time}.png", np.zeros((10, 9), np.uint8))
    (tmp_path / "films").mkdir()
    for name in "abcd":
        np.save(tmp_path / f"films/{name}.npy", np.zeros((2, 10, 9), np.uint8))
    plain, by_others = readers.frames, []

    def noted(*arguments: Any) -> Iterator[Frame]:
        for frame in plain(*arguments):
            by_others.append(threading.current_thread() is not threading.main_thread())
            yield frame

    monkeypatch.setattr(readers, "frames", noted)
    monkeypatch.setattr(decoding, "_pixels_ahead", lambda _: pixels_ahead)
    assert sum(map(len, read(tmp_path).values())) == 48
    assert all(by_others) if ahead else not any(by_others)


@pytest.mark.parametrize("tasks", [5, 17, 385])
def test_all_that_is_decoded_ahead_takes_at_most_half_of_the_memory(tasks: int) -> None:
    pages = next(
        int(line.split()[1])
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemTotal")
    )
    largest_bytes = 8 * decoding._pixels_ahead(tasks)  # of channels of 8 bytes together
    assert 0.49 <= tasks * decoding.FILES_PER_TASK * largest_bytes / (1024 * pages) <= 0.5


def test_a_film_without_frames_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 8)))
    np.save(tmp_path / "b.npy", np.zeros((0, 8, 8)))
    assert lines(tmp_path) == [f"{tmp_path}/b.npy: holds no frame; remove it"]


def pieces_of(path: Path) -> list[list[np.ndarray] | str]:
    """Return what is read of the pieces 0 to 4, 4 to 8 and 8 to 10 of a film, or their faults."""
    (source,) = sources.find(path, reading_of(), Faults())
    found: list[list[np.ndarray] | str] = []
    for span in (range(4), range(4, 8), range(8, 10)):
        faults = Faults()
        piece = replace(source, span=span)
        ((_, frames),) = decoding.read([piece], reading_of(), faults, 1)
        values: list[np.ndarray] | str = values_of(frames)
        try:
            faults.check()
        except BadInput as error:
            values = str(error)
        found.append(values)
    return found


@pytest.mark.parametrize("name", ["a.npy", "a.h5", "a.nc"])
def test_the_pieces_of_a_film_are_those_of_the_whole_one(tmp_path: Path, name: str) -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (10, 8, 9), np.uint8)
    path = tmp_path / name
    match path.suffix:
        case ".npy":
            np.save(path, drawn)
        case ".h5":
            with h5py.File(path, "w") as file:
                file.create_dataset("x", data=drawn, chunks=(3, 8, 9), compression="gzip")
        case ".nc":
            times = ("time", 9 - np.arange(10), {"units": "hours since 2020-01-01"})
            film = xr.Dataset({"rain": (("time", "y", "x"), drawn)}, coords={"time": times})
            film.to_netcdf(path, engine="h5netcdf")
            drawn = drawn[::-1]  # in the order of time
    found = np.concatenate([np.stack(own)[:, 0] for own in pieces_of(path)])
    np.testing.assert_array_equal(found, drawn)


def test_a_piece_of_a_film_is_compared_with_its_first_frame_and_the_last_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "a.npy", np.zeros((10, 8, 9), np.uint8))
    film = [Frame(np.zeros((1, 8, 9), np.uint8), time=time) for time in range(10)]

    def held(_: Path, __: Reading, part: int = 0, first: int = 0) -> Iterator[Frame]:  # noqa: ARG001
        yield from film[first:]

    monkeypatch.setattr(readers, "frames", held)
    assert [len(own) for own in pieces_of(tmp_path / "a.npy")] == [4, 4, 2]
    film[8] = film[8]._replace(time=7)
    assert "does not come after that of" in pieces_of(tmp_path / "a.npy")[2]
    film[8] = Frame(np.zeros((1, 8, 8), np.uint8), time=8)
    fault = pieces_of(tmp_path / "a.npy")[2]
    assert "a.npy: 8 x 8 pixels of 1 uint8, but a begins with 8 x 9 pixels" in fault


def test_what_is_wrong_in_a_piece_is_not_told_of_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "a.npy", np.zeros((10, 8, 9), np.uint8))

    def held(_: Path, __: Reading, part: int = 0, first: int = 0) -> Iterator[Frame]:  # noqa: ARG001
        for number in range(first, 10):
            if number == 7:
                raise BadInput("the eighth is broken")
            yield Frame(np.zeros((1, 8, 9), np.uint8))

    monkeypatch.setattr(readers, "frames", held)
    first, second, third = pieces_of(tmp_path / "a.npy")
    assert (len(first), second, len(third)) == (4, "the eighth is broken", 2)


def reading_as(frames: list[Frame], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the files `0.npy`, `1.npy`, ... hold these frames."""

    def held(path: Path, *_: object) -> Iterator[Frame]:
        yield frames[int(path.stem)]

    monkeypatch.setattr(readers, "frames", held)


def single_frames(folder: Path, count: int) -> None:
    for number in range(count):
        np.save(folder / f"{number}.npy", np.zeros((8, 8)))


def test_files_that_mean_something_else_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    single_frames(tmp_path, 3)
    values, mean = np.zeros((1, 8, 8)), Meaning((Channel("t2m", "K", 0.5, 273.0),))
    other = Meaning((Channel("t2m", "K", 0.25, 270.0),))
    reading_as([Frame(values, mean), Frame(values, other), Frame(values, mean)], monkeypatch)
    assert lines(tmp_path) == [
        f"{tmp_path}/1.npy: another scale, offset than {tmp_path}/0.npy; all frames of a sequence "
        f"need the same; put them into folders of their own"
    ]


def test_pictures_of_another_palette_or_depth_are_named(tmp_path: Path) -> None:
    # the same class number would be another class, and the same grey value another brightness
    for name, palette in (("1.png", [0, 0, 0, 255, 0, 0]), ("2.png", [0, 0, 0, 0, 255, 0])):
        image = Image.fromarray(np.eye(8, dtype=np.uint8))
        image.putpalette(palette)
        image.save(tmp_path / name)
    (line,) = lines(tmp_path, pixel_values="index")
    assert line.startswith(f"{tmp_path}/2.png: another palette than {tmp_path}/1.png")
    save(tmp_path / "gray/1.png", np.eye(8, dtype=np.uint8))
    save(tmp_path / "gray/2.png", np.eye(8, dtype=bool))
    (line,) = lines(tmp_path / "gray")
    assert "gray/2.png: another valid_range, white than" in line


def test_times_inside_the_files_that_do_not_follow_each_other_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    single_frames(tmp_path, 4)
    values, second = np.zeros((1, 8, 8)), 10**6
    reading_as([Frame(values, time=time * second) for time in (0, 60, 60, 30)], monkeypatch)
    found = lines(tmp_path)
    assert len(found) == 2
    assert found[0] == (
        f"{tmp_path}/2.npy: the time inside it, 1970-01-01 00:01:00, does not come after that of "
        f"{tmp_path}/1.npy, 1970-01-01 00:01:00; remove one of them, or name the files in their "
        f"order"
    )
    assert found[1].startswith(f"{tmp_path}/3.npy: the time inside it, 1970-01-01 00:00:30")


@pytest.mark.parametrize("apply_scale", [True, False])
def test_without_scale_the_numbers_stay_as_stored_and_only_marks_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apply_scale: bool
) -> None:
    said = Channel("rain", "mm/h", 0.5, -32.0, (255.0,), (0.0,), (0.0, 100.0))

    def frames(path: Path, *_: object) -> Iterator[Frame]:
        # two files whose scales differ, which is no difference of stored numbers
        scale = 0.5 if path.stem == "a" or apply_scale else 0.25
        yield Frame(np.zeros((1, 8, 8), np.uint8), Meaning((said._replace(scale=scale),)))

    for name in "ab":
        save(tmp_path / f"{name}.png", np.zeros((8, 8), np.uint8))
    how, faults = reading_of(apply_scale=apply_scale), Faults()
    found = sources.find(tmp_path, how, faults)
    monkeypatch.setattr(readers, "frames", frames)
    ((_, sequence),) = decoding.read(found, how, faults)
    channels = {frame.meaning.channels for frame in sequence}
    faults.check()
    assert channels == {(said if apply_scale else Channel(missing=(255.0,), undetected=(0.0,)),)}
