"""Sequences are cut into shards so that what is added changes few of them."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from convlstm.ingest import cutting
from convlstm.ingest.cutting import Job
from convlstm.ingest.sources import Source
from tests.builders import reading_of


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "LEAST_BYTES", 100)


def source_of(folder: Path, name: str, count: int, size: int = 10) -> Source:
    """Return a sequence of `count` files of `size` bytes, which differ."""
    (folder / name).mkdir(exist_ok=True)
    paths = [folder / name / f"{number}.png" for number in range(count)]
    for path in paths:
        if not path.exists():
            path.write_bytes(f"{name} {path.stem}".encode().ljust(size)[:size])
    return Source(name, tuple(paths), times=tuple(range(count)))


def jobs_of(sources: list[Source]) -> list[Job]:
    return cutting.jobs(sources, reading_of(), "", Path("cache"))


def lengths(jobs: list[Job]) -> list[list[int]]:
    """Return the number of files of each piece of each shard."""
    return [[len(piece.files) for piece in job.sources] for job in jobs]


def test_what_is_small_is_one_shard(tmp_path: Path) -> None:
    # two have 40 bytes, so the shard is not half full when the last one comes
    assert lengths(jobs_of([source_of(tmp_path, name, 2) for name in "abc"])) == [[2, 2, 2]]


def test_a_long_sequence_is_cut_at_whole_chunks_behind_the_bytes_of_a_shard(tmp_path: Path) -> None:
    # 10 files of 10 bytes have 100; whole chunks have 4 frames
    jobs = jobs_of([source_of(tmp_path, "a", 30)])
    assert lengths(jobs) == [[12], [12], [6]]
    pieces = [job.sources[0] for job in jobs]
    assert [piece.times for piece in pieces] == [
        tuple(range(12)),
        tuple(range(12, 24)),
        tuple(range(24, 30)),
    ]
    before = [[path.name for path in piece.before] for piece in pieces]
    assert before == [[], ["0.png", "11.png"], ["0.png", "23.png"]]


def test_files_at_the_end_of_a_long_sequence_change_its_last_piece(tmp_path: Path) -> None:
    before = [job.source for job in jobs_of([source_of(tmp_path, "a", 30)])]
    after = [job.source for job in jobs_of([source_of(tmp_path, "a", 40)])]
    assert (before[:2], before[2] in after) == (after[:2], False)


def test_a_sequence_anywhere_changes_few_shards(tmp_path: Path) -> None:
    every = [source_of(tmp_path, f"{number:03d}", 3) for number in range(101)]
    whole = {job.source for job in jobs_of(every)}
    assert 34 <= len(whole) <= 67  # of 30 bytes each, 2 or 3 in a shard
    for left_out in range(0, 101, 7):
        others = jobs_of([*every[:left_out], *every[left_out + 1 :]])
        assert len({job.source for job in others} - whole) <= 4


def test_the_shards_of_a_large_archive_are_larger_and_not_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "MOST_SHARDS", 10)
    sources = [source_of(tmp_path, f"{number:03d}", 3) for number in range(200)]
    # 6,000 bytes in 10 shards would be 600 each, so they have 800
    found = lengths(jobs_of(sources))
    assert max(30 * len(pieces) for pieces in found) <= 800
    assert 8 <= len(found) <= 20


def test_the_parts_of_one_file_share_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(bytes(150))
    parts = [Source(f"a[{number}]", (path,), number) for number in range(5)]
    assert sum(lengths(jobs_of(parts)), []) == [1] * 5  # noqa: RUF017 - it is short
    assert len(jobs_of(parts)) == 2  # 30 bytes each, at most 100 in a shard


def film_of(folder: Path, size: int, frames: int, parts: int = 1) -> list[Source]:
    """Return the sequences of a file of `size` bytes, which can be read from any frame on."""
    path = folder / "a.npy"
    path.write_bytes(bytes(size))
    return [Source(f"a[{part}]", (path,), part, span=range(frames)) for part in range(parts)]


@pytest.mark.parametrize(
    ("size", "frames", "spans"),
    [
        (300, 30, [(0, 12), (12, 24), (24, 30)]),  # 10 bytes a frame: 100 are 10, whole chunks 12
        (240, 24, [(0, 12), (12, 24)]),
        (100, 30, [(0, 30)]),
        (9000, 9, [(0, 4), (4, 8), (8, 9)]),  # a frame has more than a shard
        (0, 5, [(0, 5)]),
        (200, 1, [(0, 1)]),
    ],
)
def test_a_file_that_can_be_read_from_anywhere_is_cut_at_whole_chunks(
    tmp_path: Path, size: int, frames: int, spans: list[tuple[int, int]]
) -> None:
    jobs = jobs_of(film_of(tmp_path, size, frames))
    found = [source.span for job in jobs for source in job.sources]
    assert [(span.start, span.stop) for span in found if span is not None] == spans
    assert [job.frames for job in jobs] == [stop - start for start, stop in spans]
    assert [source.compared for job in jobs for source in job.sources] == [
        2 * bool(start) for start, _ in spans
    ]
    assert len({job.source for job in jobs}) == len({job.content() for job in jobs}) == len(spans)


def test_each_of_the_parts_of_one_file_is_cut(tmp_path: Path) -> None:
    jobs = jobs_of(film_of(tmp_path, 480, 24, parts=2))  # 10 bytes a frame
    assert [job.frames for job in jobs] == [12, 12, 12, 12]


def test_a_film_is_not_cut_and_the_number_of_its_frames_is_not_known(tmp_path: Path) -> None:
    (source,) = film_of(tmp_path, 1000, 30)
    (job,) = jobs_of([replace(source, span=None)])
    assert job.frames is None
    assert job.most == 800  # bytes of frames in a shard of 100 bytes of files
    assert {job.most for job in jobs_of([source])} == {None}


def test_a_copy_has_the_same_content_and_a_change_in_place_has_not(tmp_path: Path) -> None:
    (job,) = jobs_of([source_of(tmp_path, "a", 3)])
    path = tmp_path / "a/1.png"
    state, seen = path.stat(), (job.source, job.content())
    os.utime(path, ns=(1, 1))
    touched = jobs_of([source_of(tmp_path, "a", 3)])[0]
    assert (touched.source != seen[0], touched.content()) == (True, seen[1])
    path.write_bytes(b"another on")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    changed = jobs_of([source_of(tmp_path, "a", 3)])[0]
    assert changed.source not in (seen[0], touched.source)
    assert changed.content() != seen[1]
    assert job.now() != job.source


@pytest.mark.parametrize("change", ["another name", "another param", "other code", "a part"])
def test_a_shard_of_equal_files_is_another_one_for(tmp_path: Path, change: str) -> None:
    source = source_of(tmp_path, "a", 1)
    cache = Path("cache")
    (job,) = jobs_of([source])
    others = {
        "another name": Job((Source("b", source.files),), reading_of(), "", cache),
        "another param": Job((source,), reading_of(apply_scale=False), "", cache),
        "other code": Job((source,), reading_of(), "new", cache),
        "a part": Job((Source("a", source.files, part=1),), reading_of(), "", cache),
    }
    assert others[change].source != job.source
    assert others[change].content() != job.content()


def test_a_folder_of_zarr_has_the_content_of_its_files(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    store.mkdir()
    for name in ("zarr.json", "c0"):
        (store / name).write_text(name)
    job = Job((Source("a", (store,), part=0),), reading_of(), "", Path("cache"))
    before = job.content()
    (store / "c0").write_text("C0")
    assert job.content() != before
