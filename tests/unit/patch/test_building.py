"""Every window holds the frames that it names, and every patch is counted."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from convlstm.patch import counting
from convlstm.runtime.errors import BadInput
from convlstm.storage.meaning import Channel, Meaning
from convlstm.storage.patches import MEASURED, WET, Patches, Span, Window
from tests.builders import MINUTE, open_patches, patches_of, reading_of

DATED = 51 * 365 * 1440  # minutes since 1970


def build(
    folder: Path,
    sequences: Mapping[str, np.ndarray],
    minutes: Mapping[str, tuple[int, ...]] | None = None,
    meanings: Mapping[str, Meaning] | None = None,
    /,
    **changes: object,
) -> Patches:
    """Build patches with windows of 2 frames to 1, and return it with its counts as arrays.

    `minutes` are the times of the frames after a day of 2020, and `meanings` what their numbers
    mean, for the sequences that have them.
    """
    times = {
        name: tuple((DATED + minute) * MINUTE for minute in moments)
        for name, moments in (minutes or {}).items()
    }
    usual: dict[str, object] = {"context_frames": 2, "forecast_frames": 1, "stride": 1}
    path = patches_of(
        folder, sequences, times=times, meanings=meanings, time_format=None, **{**usual, **changes}
    )
    with open_patches(path) as built:
        return built._replace(counts=[own[:] for own in built.counts])


def windows_of(built: Patches, split: str) -> list[Window]:
    """Return the windows of a split."""
    return [Window(*row) for row in built.windows[split].tolist()]


def unique(count: int, rows: int = 10, cols: int = 11, start: int = 0) -> np.ndarray:
    """Return frames whose pixels all differ."""
    size = count * rows * cols
    return np.arange(start, start + size, dtype=np.int32).reshape(count, 1, rows, cols)


def three(length: int = 5, **sizes: int) -> dict[str, np.ndarray]:
    """Return three sequences whose pixels all differ."""
    return {f"s{k}": unique(length, start=10_000 * k, **sizes) for k in range(3)}


WIDE: dict[str, object] = {"value_range": (0.0, 50_000.0)}


def test_the_description_says_how_windows_are_read(tmp_path: Path) -> None:
    built = build(tmp_path, three(), **WIDE)
    assert list(built.sequences) == ["s0", "s1", "s2"]
    assert built.description["scaling"]["value_range"] == ((0, 50_000),)
    assert built.description["reading"] == reading_of().model_dump()
    assert (built.description["context_frames"], built.description["forecast_frames"]) == (2, 1)


def test_tiles_of_every_start_hold_every_pixel(tmp_path: Path) -> None:
    raw = three()
    built = build(tmp_path, raw, tile_size=7, patch_size=2, **WIDE)
    windows = [window for split in built.windows for window in windows_of(built, split)]
    # 3 sequences, 2 x 2 tiles each, 5 - 3 + 1 starts
    assert len(windows) == len(set(windows)) == 3 * 4 * 3
    seen = [np.zeros(frames.shape, bool) for frames in raw.values()]
    for start, sequence, row, col in windows:
        seen[sequence][start : start + 3, :, row : row + 7, col : col + 7] = True
    assert all(map(np.all, seen))


def test_measured_and_wet_pixels_are_counted_by_patch(tmp_path: Path) -> None:
    raw = {f"s{k}": np.zeros((5, 1, 10, 11), np.uint8) for k in range(3)}
    raw["s0"][4, 0, 4:6, 3:9] = 9  # 2 rows of the second patch row; 1, 4 and 1 of its columns
    raw["s0"][4, 0, 9, 10] = 255  # in the last patch, which has 2 x 3 pixels within the frame
    built = build(tmp_path, raw, patch_size=4, missing_value=255)
    whole = [[16, 16, 12], [16, 16, 12], [8, 8, 6]]
    assert built.counts[0][3, MEASURED].tolist() == built.counts[1][4, MEASURED].tolist() == whole
    assert built.counts[0][4, MEASURED].tolist() == [*whole[:2], [8, 8, 5]]
    assert built.counts[0][4, WET].tolist() == [[0, 0, 0], [2, 8, 2], [0, 0, 0]]
    assert built.counts[0].dtype == np.uint8
    assert not built.counts[1][:, WET].any()


@pytest.mark.parametrize("split_by", ["sequence", "time"])
def test_sequences_that_are_too_short_can_be_skipped(tmp_path: Path, split_by: str) -> None:
    raw = {**three(), "b": unique(2)} | ({"s1": unique(10)} if split_by == "time" else {})
    with pytest.raises(BadInput, match=r"b: 2 frames, fewer than .* = 3; lower one"):
        build(tmp_path, raw, **WIDE)
    built = build(tmp_path, raw, split_by=split_by, short_sequences="skip", **WIDE)
    seen = {window[1] for split in built.windows for window in windows_of(built, split)}
    names = {list(built.sequences)[number] for number in seen}
    assert names == ({"s0", "s1", "s2"} if split_by == "sequence" else {"s1"})  # of 5 frames
    with pytest.raises(BadInput, match="b: 2 frames"):
        build(tmp_path, {"b": unique(2)}, short_sequences="skip", **WIDE)


def test_a_patch_of_more_pixels_than_a_byte_counts_is_counted(tmp_path: Path) -> None:
    raw = {f"s{k}": np.full((3, 1, 17, 17), 1, np.uint8) for k in range(3)}
    built = build(tmp_path, raw, patch_size=17)
    assert built.counts[0][:].tolist() == [[[[289]], [[289]]]] * 3


def test_the_training_frames_without_a_gap_are_listed(tmp_path: Path) -> None:
    raw = {"late": unique(20), "whole": unique(18, start=10_000)}
    minutes = {"late": tuple(range(0, 20, 5)) + tuple(range(100, 180, 5))}
    built = build(tmp_path, raw, minutes, split_by="time", split=(0.5, 0.25, 0.25), **WIDE)
    assert built.spans == [Span(0, 0, 4), Span(0, 4, 10), Span(1, 0, 9)]


def test_the_patches_are_the_same_however_many_frames_are_in_memory_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, built = three(), []
    for values in (1, 2 * raw["s0"][0].size, counting.BLOCK_VALUES):  # 1, 2 and all frames
        monkeypatch.setattr(counting, "BLOCK_VALUES", values)
        built.append(build(tmp_path, raw, tile_size=7, **WIDE))
    first, *others = [each.description["fingerprint"] for each in built]
    assert others == [first, first]


@pytest.mark.parametrize("split_by", ["sequence", "time"])
def test_no_pixel_of_a_test_window_is_in_another_split(tmp_path: Path, split_by: str) -> None:
    raw = {f"s{k}": unique(20, start=10_000 * k) for k in range(4)}
    built, frames = build(tmp_path, raw, split_by=split_by, **WIDE), list(raw.values())
    pixels = {
        split: {
            int(pixel)
            for start, sequence, *_ in windows_of(built, split)
            for pixel in frames[sequence][start : start + 3].ravel()
        }
        for split in built.windows
    }
    assert all(pixels.values())
    assert not pixels["train"] & pixels["valid"]
    assert not pixels["train"] & pixels["test"]
    assert not pixels["valid"] & pixels["test"]


def test_no_window_crosses_a_gap(tmp_path: Path) -> None:
    raw = three(length=7)
    minutes = {
        name: tuple(1000 * number + minute for minute in (0, 5, 10, 30, 35, 40, 45))
        for number, name in enumerate(raw)
    }
    built = build(tmp_path, raw, minutes, **WIDE)
    starts = sorted(start for rows in built.windows.values() for start in rows["start"])
    assert starts == [0] * 3 + [3] * 3 + [4] * 3  # frames 0-2, 3-5 and 4-6 of each


def test_no_window_mixes_two_rates(tmp_path: Path) -> None:
    """Frames every minute, and then every ten."""
    raw = {"rates": unique(12)}
    minutes = {"rates": (*range(6), *range(15, 75, 10))}
    built = build(tmp_path, raw, minutes, split_by="time", **WIDE)
    starts = sorted(start for rows in built.windows.values() for start in rows["start"])
    assert 4 not in starts
    assert 5 not in starts


def test_no_time_of_a_test_window_is_in_another_split(tmp_path: Path) -> None:
    """Events cut from one archive, each of 30 frames, from frame 12, 24 and so on."""
    raw = {f"event{n}": unique(30, start=10_000 * n) for n in range(4)}
    minutes = {f"event{n}": tuple(range(60 * n, 60 * n + 150, 5)) for n in range(4)}
    built = build(tmp_path, raw, minutes, split=(0.5, 0.25, 0.25), **WIDE)
    of = {
        split: {
            minutes[f"event{sequence}"][frame]
            for start, sequence, *_ in windows_of(built, split)
            for frame in range(start, start + 3)
        }
        for split in built.windows
    }
    assert all(of.values())
    assert not of["train"] & (of["valid"] | of["test"])
    assert not of["valid"] & of["test"]
    assert built.description["left_out"] == {"train": 24, "valid": 18}
    assert built.spans == [Span(0, 0, 24), Span(1, 0, 12)]


def test_a_split_that_lost_its_windows_to_another_is_told_why(tmp_path: Path) -> None:
    raw = three(length=7)
    minutes = dict.fromkeys(raw, tuple(range(0, 35, 5)))
    with pytest.raises(BadInput) as raised:
        build(tmp_path, raw, minutes, **WIDE)
    assert str(raised.value) == (
        "split: no window is left to train; 7 frames of train and 7 frames of valid are left out, "
        "because their times are in test or valid too; set split_by to time, or name sequences of "
        "other times in valid_sequences and test_sequences"
    )


def test_times_without_a_date_are_not_compared_between_sequences(tmp_path: Path) -> None:
    """Names such as day1/05.png say the hour of some day."""
    raw = {name: np.zeros((20, 1, 8, 8), np.uint8) for name in "abc"}
    same = dict.fromkeys(raw, tuple(range(0, 100 * MINUTE, 5 * MINUTE)))
    with open_patches(patches_of(tmp_path, raw, times=same, time_format="%H%M")) as built:
        assert built.description["left_out"] == {}


def test_films_without_a_date_are_not_taken_for_films_of_one_hour(tmp_path: Path) -> None:
    """Such films count from the first moment of 1970."""
    raw = {name: np.zeros((20, 1, 8, 8), np.uint8) for name in "abc"}
    same = dict.fromkeys(raw, tuple(range(0, 20 * MINUTE, MINUTE)))
    with open_patches(patches_of(tmp_path, raw, times=same, time_format=None)) as built:
        assert built.description["left_out"] == {}


def test_a_sequence_cut_to_pieces_is_named(tmp_path: Path) -> None:
    raw = three(length=4)
    raw["gaps"] = unique(4, start=30_000)
    with pytest.raises(BadInput, match="gaps: 2 frames between gaps"):
        build(tmp_path, raw, {"gaps": (0, 5, 60, 65)}, **WIDE)


def test_a_window_with_an_empty_frame_is_left_out(tmp_path: Path) -> None:
    raw = three(length=7)
    raw["s0"][3] = -1
    built = build(tmp_path, raw, missing_value=-1, **WIDE)
    starts = sorted(built.windows["train"]["start"])
    assert starts == [0, 4]  # of 0 to 4, those that do not hold frame 3


@pytest.mark.parametrize(("fraction", "kept"), [(0.0, 6), (0.25, 6), (0.26, 3), (1.0, 3)])
def test_dry_windows_validate_and_test_but_do_not_train(
    tmp_path: Path, fraction: float, kept: int
) -> None:
    raw = {f"s{k}": np.zeros((5, 1, 8, 8), np.uint8) for k in range(4)}
    raw["s0"][:] = 9
    raw["s1"][..., :2] = 9  # a quarter of the pixels
    raw["s1"][..., 7] = 5  # not above the threshold
    built = build(
        tmp_path,
        raw,
        min_wet_fraction=fraction,
        wet_threshold=5.0,
        valid_sequences=["s2"],
        test_sequences=["s3"],
    )
    counts = {split: len(rows) for split, rows in built.windows.items()}
    assert counts == {"train": kept, "valid": 3, "test": 3}


def test_all_frames_out_of_range_are_named_by_their_file(tmp_path: Path) -> None:
    raw = {f"s{k}": np.zeros((4, 1, 8, 8), np.float32) for k in range(3)}
    raw["s0"][1, 0, 2, 3] = 300
    raw["s2"][3, 0, 2, 3] = np.nan
    with pytest.raises(BadInput) as raised:
        build(tmp_path, raw)
    first, second = str(raised.value).splitlines()
    assert first.startswith("s0/1.png: 300.0 lies outside value_range [0, 255]")
    assert second.startswith("s2/3.png: nan lies outside")


@pytest.mark.parametrize(
    ("sequences", "changes", "words"),
    [
        ({"a": (5, 8, 8), "b": (5, 8, 9), "c": (5, 8, 8)}, {}, r"b: frames of .* \(1, 8, 9\)"),
        ({"a": (5, 8, 8), "b": (5, 8, 8)}, {}, "there are 2 sequences"),
        ({"a": (5, 8, 8)} | {"b": (2, 8, 8), "c": (1, 8, 8)}, {}, "c: 1 frames, fewer than"),
        ({"a": (9, 6, 8)}, {"split_by": "time"}, "a: frames of 6 x 8 are too small"),
        ({"a": (9, 8, 8)}, {"split_by": "time", "tile_size": 9}, "tile_size = 9: a has frames"),
        ({"a": (9, 8, 8)}, {"split_by": "time", "patch_size": 9}, "too small"),
        ({"a": (9, 8, 8)}, {"split_by": "time", "missing_value": 0}, "no window is left to train"),
    ],
)
def test_frames_that_do_not_fit_the_params_are_named(
    tmp_path: Path,
    sequences: dict[str, tuple[int, int, int]],
    changes: dict[str, object],
    words: str,
) -> None:
    raw = {
        name: np.zeros((time, 1, rows, cols), np.uint8)
        for name, (time, rows, cols) in sequences.items()
    }
    with pytest.raises(BadInput, match=words):
        build(tmp_path, raw, **changes)


def test_sequences_of_several_sizes_can_be_cut_to_tiles(tmp_path: Path) -> None:
    raw = three(rows=8, cols=8) | {"large": unique(5, 16, 24, start=40_000)}
    built = build(tmp_path, raw, tile_size=8, patch_size=2, **WIDE)
    windows = [window for split in built.windows for window in windows_of(built, split)]
    assert {(window.row, window.col) for window in windows if window.sequence == 3} == {
        (row, col) for row in (0, 8) for col in (0, 8, 16)
    }


def test_a_missing_value_is_missing_in_each_sequences_own_type(tmp_path: Path) -> None:
    raw = {name: np.ones((5, 1, 10, 11)) for name in "abc"}
    raw["a"] = raw["a"].astype(np.float32)
    raw["a"][0, 0, 0, 0] = raw["b"][0, 0, 0, 0] = -999.9  # another number in float32
    built = build(tmp_path, dict(raw), missing_value=(-999.9,), value_range=(0.0, 2.0))
    assert [own[0, MEASURED].sum() for own in built.counts] == [109, 109, 110]


def test_values_out_of_range_can_count_as_missing_without_a_number_that_means_it(
    tmp_path: Path,
) -> None:
    raw = {name: np.ones((5, 1, 8, 8), np.uint8) for name in "abc"}
    raw["a"][4, 0, 0, :3] = 201, 255, 200
    built = build(tmp_path, raw, value_range=(0.0, 200.0), out_of_range="missing", patch_size=8)
    assert built.counts[0][:, MEASURED].ravel().tolist() == [64, 64, 64, 64, 62]
    assert built.counts[0][:, WET].ravel().tolist() == [64, 64, 64, 64, 62]


def packed_kelvin() -> tuple[dict[str, np.ndarray], dict[str, Meaning]]:
    """Return case B1: months of kelvin, 5 K apart, each packed with its own scale and offset."""
    frames, meanings = {}, {}
    for month in range(3):
        kelvin = 273 + 5 * month + np.linspace(0, 20, 500).reshape(5, 1, 10, 10)
        scale, offset = (kelvin.max() - kelvin.min()) / 65_000, (kelvin.max() + kelvin.min()) / 2
        stored = np.rint((kelvin - offset) / scale).astype(np.int16)
        stored[0, 0, 0, 0] = -32_767
        frames[f"m{month}"] = stored
        channel = Channel("t2m", "K", float(scale), float(offset), (-32_767.0,))
        meanings[f"m{month}"] = Meaning((channel,))
    return frames, meanings


def test_files_with_scales_of_their_own_share_one_physical_range(tmp_path: Path) -> None:
    frames, meanings = packed_kelvin()
    built = build(tmp_path, frames, None, meanings, value_range=[250, 330], wet_threshold=280.0)
    for number in range(3):
        above = np.linspace(0, 20, 500).reshape(5, 100)[1:].max(axis=1) + 273 + 5 * number > 280
        assert (built.counts[number][1:, WET].sum(axis=(1, 2)) > 0).tolist() == above.tolist()
        assert built.counts[number][0, MEASURED].sum() == 99
    assert built.description["quantities"] == (("t2m", "K", (250.0, 330.0), 0, 1),)


def test_a_physical_value_out_of_range_is_named_in_its_unit(tmp_path: Path) -> None:
    frames, meanings = packed_kelvin()
    with pytest.raises(BadInput) as raised:
        build(tmp_path, frames, None, meanings, value_range=[250, 300])
    (line,) = str(raised.value).splitlines()
    assert line.startswith("m2/4.png: t2m = 300.")
    assert "K lies outside value_range [250, 300]" in line


def test_a_range_that_is_not_given_is_found_and_noted(tmp_path: Path) -> None:
    frames, meanings = packed_kelvin()
    names = {"valid_sequences": ["m1"], "test_sequences": ["m2"]}
    built = build(tmp_path, frames, None, meanings, value_range=None, **names)
    # m0 trains: 273 to 293 K, of which the 0.1 and the 99.9 percentile lie within 0.02 K
    assert built.description["scaling"]["value_range"] == ((273.0, 293.0),)
    assert built.description["scaling"]["out_of_range"] == "clip"  # a thousandth at each end
    assert built.description["params"]["value_range"] is None
    built = build(
        tmp_path, frames, None, meanings, value_range=None, out_of_range="missing", **names
    )
    assert built.description["scaling"]["out_of_range"] == "missing"


def test_a_range_that_files_call_valid_holds_all_values(tmp_path: Path) -> None:
    frames = {name: np.full((5, 1, 8, 8), value, np.uint8) for value, name in enumerate("abc", 200)}
    meanings = dict.fromkeys("abc", Meaning((Channel(valid_range=(0.0, 255.0)),)))
    built = build(tmp_path, frames, None, meanings, value_range=None)
    assert built.description["scaling"]["value_range"] == ((0.0, 255.0),)
    assert built.description["scaling"]["out_of_range"] == "error"


def test_sequences_that_disagree_are_refused(tmp_path: Path) -> None:
    frames, meanings = packed_kelvin()
    other = meanings["m1"].channels[0]._replace(unit="degC")
    with pytest.raises(BadInput, match=r"m1: its unit is 'degC', but that of m0 is 'K'"):
        build(tmp_path, frames, None, {**meanings, "m1": Meaning((other,))}, value_range=None)


def test_each_channel_has_its_own_range_and_wet_threshold(tmp_path: Path) -> None:
    frames = np.zeros((5, 2, 8, 8), np.float32)
    frames[:, 0], frames[:, 1] = 280, 0.01
    changes: dict[str, object] = {
        "value_range": [[200, 320], [0, 0.03]],
        "wet_threshold": [300, 0.005],
    }
    built = build(tmp_path, dict.fromkeys("abc", frames), **changes)
    assert built.counts[0][0, WET].sum() == 64  # of the second channel
    ranges = [quantity[2] for quantity in built.description["quantities"]]
    assert ranges == [(200, 320), (0, 0.03)]
    with pytest.raises(BadInput, match="wet_threshold: 3 are given, but frames have 2 channel"):
        build(tmp_path, dict.fromkeys("abc", frames), **{**changes, "wet_threshold": [1, 2, 3]})
