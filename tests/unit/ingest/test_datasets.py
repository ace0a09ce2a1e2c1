"""Datasets of HDF5 are found by name, pattern or alone; none is read from another file."""

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from convlstm.ingest import readers
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Frame
from tests.builders import reading_of


def frames(path: Path, **reading: object) -> list[Frame]:
    return list(readers.frames(path, reading_of(**reading)))


def steps_of(path: Path, count: int = 12) -> Path:
    """Write a dataset a time step, as `fields/t10`; its pixels are the number of the step."""
    with h5py.File(path, "w") as file:
        for step in range(count):
            file[f"fields/t{step}"] = np.full((9, 10), step, np.uint8)
    return path


def test_a_dataset_a_time_step_is_read_in_natural_order(tmp_path: Path) -> None:
    path = steps_of(tmp_path / "a.h5")
    assert readers.extent(path, reading_of(raw_dataset="fields/t*")) == (1, 12)
    found = [frame.values[0, 0, 0] for frame in frames(path, raw_dataset="fields/t*")]
    assert found == list(range(12))


def test_many_datasets_are_listed_with_the_pattern_that_names_them(tmp_path: Path) -> None:
    path = steps_of(tmp_path / "a.h5")
    with pytest.raises(BadInput, match=r"names no array .* or raw_dataset=fields/t\* if each is"):
        frames(path)


def test_steps_in_a_doubtful_order_are_named_unless_they_say_their_times(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in ("0.5", "0.25"):
            file[f"t{name}/v"] = np.full((8, 9), float(name))
    words = (
        r"a.h5: t\S+/v and t\S+/v can be sorted in two ways, .*; give all numbers as many digits"
    )
    with pytest.raises(BadInput, match=words):
        frames(tmp_path / "a.h5", raw_dataset="*/v")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        for name, second in (("0.5", "30"), ("0.25", "15")):
            what = {"startdate": "20200601", "starttime": f"0000{second}", "gain": 1.0}
            file.create_group(f"t{name}/what").attrs.update(what)
    found = [frame.values[0, 0, 0] for frame in frames(tmp_path / "a.h5", raw_dataset="*/v")]
    assert found == [0.25, 0.5]


def test_steps_that_sort_equal_are_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["t1"], file["t01"] = np.zeros((8, 9)), np.ones((8, 9))
    with pytest.raises(BadInput, match=r"a.h5: t0?1 sorts equal to t0?1; rename one of them"):
        frames(tmp_path / "a.h5", raw_dataset="t*")


def test_datasets_of_several_frames_follow_each_other(tmp_path: Path) -> None:
    """Parts of one film, of any length, in natural order; the reference is NumPy."""
    film = np.random.default_rng(0).random((9, 8, 9))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["part9"], file["part10"], file["part11"] = film[:2], film[2:3], film[3:]
    reading = reading_of(raw_dataset="part*")
    assert readers.extent(tmp_path / "a.h5", reading) == (1, 9)
    found = [frame.values[0] for frame in frames(tmp_path / "a.h5", raw_dataset="part*")]
    np.testing.assert_array_equal(found, film)


@pytest.mark.parametrize(("axes", "order"), [("HWT", (1, 2, 0)), ("HTW", (1, 0, 2))])
def test_time_may_be_any_axis_of_the_parts(
    tmp_path: Path, axes: str, order: tuple[int, ...]
) -> None:
    film = np.random.default_rng(0).random((7, 8, 9))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/v"], file["b/v"] = film[:3].transpose(order), film[3:].transpose(order)
    found = frames(tmp_path / "a.h5", raw_dataset="*/v", raw_axes=axes)
    np.testing.assert_array_equal([frame.values[0] for frame in found], film)


def test_steps_of_several_channels_have_one_letter_more(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for step in range(3):
            file[f"t{step}"] = np.full((2, 8, 9), step)
    assert len(frames(tmp_path / "a.h5", raw_dataset="t*", raw_axes="TCHW")) == 3


def test_steps_of_another_size_are_named(tmp_path: Path) -> None:
    path = steps_of(tmp_path / "a.h5", 2)
    with h5py.File(path, "a") as file:
        file["fields/t2"] = np.zeros((9, 9), np.uint8)
    with pytest.raises(BadInput, match=r"fields/t2 holds \(9, 9\) uint8, but fields/t0 \(9, 10\)"):
        frames(path, raw_dataset="fields/t*")


@pytest.mark.parametrize("raw_dataset", ["b/v,b/u", "b/v, /b/u", ["b/v", "b/u"]])
def test_several_datasets_are_channels_in_their_order(
    tmp_path: Path, raw_dataset: str | list[str]
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["b/u"], file["b/v"] = np.full((3, 8, 9), 1, "u1"), np.full((3, 8, 9), 2, "u1")
        file["b/u"].attrs["units"] = "m/s"
    found = frames(tmp_path / "a.h5", raw_dataset=raw_dataset)
    assert [frame.values[:, 0, 0].tolist() for frame in found] == [[2, 1]] * 3
    named = [(channel.name, channel.unit) for channel in found[0].meaning.channels]
    assert named == [("v", ""), ("u", "m/s")]


def test_patterns_are_channels_of_time_steps(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for step in range(3):
            file[f"{step}/u"], file[f"{step}/v"] = (np.full((8, 9), n + step) for n in (10, 20))
    found = frames(tmp_path / "a.h5", raw_dataset="*/u,*/v")
    assert [frame.values[:, 0, 0].tolist() for frame in found] == [[10, 20], [11, 21], [12, 22]]


@pytest.mark.parametrize(
    ("other", "raw_dataset", "words"),
    [
        ((2, 8, 9), "u,v", "v has the shape .2, 8, 9., but u .3, 8, 9."),
        ((3, 8, 9), "u,w", "names no array in it; there are .'u', 'v'."),
        ((3, 8, 9), "u,*", "names .1, 2. time steps; each channel needs as many"),
    ],
)
def test_channels_that_do_not_fit_are_named(
    tmp_path: Path, other: tuple[int, ...], raw_dataset: str, words: str
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["u"], file["v"] = np.zeros((3, 8, 9)), np.zeros(other)
    with pytest.raises(BadInput, match=words):
        frames(tmp_path / "a.h5", raw_dataset=raw_dataset)


def test_a_name_with_a_comma_is_one_dataset(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["u,v"] = np.zeros((8, 9))
        file["w"] = np.ones((8, 9))
    assert frames(tmp_path / "a.h5", raw_dataset="u,v")[0].values.sum() == 0


def test_attributes_of_a_dataset_and_of_its_group_scale_it(tmp_path: Path) -> None:
    """As in B1, without dimension scales: 280 K is 0 in this file."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/t"] = np.zeros((8, 9), np.int8)
        file["g"].attrs["scale_factor"] = 0.01
        file["g/t"].attrs.update({"add_offset": 280.0, "_FillValue": np.int8(-1), "units": "K"})
        file["g/t"].attrs["_Unsigned"] = "true"
    (frame,) = frames(tmp_path / "a.h5")
    (channel,) = frame.meaning.channels
    assert channel[:5] == ("t", "K", 0.01, 280.0, (255.0,))
    assert frame.values.dtype == np.uint8


def test_gain_and_offset_beside_the_numbers_count_as_well(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["dbz"] = np.zeros((8, 9), np.uint8)
        file["dbz"].attrs.update({"gain": 0.5, "offset": -32.0, "nodata": 255.0})
    (channel,) = frames(tmp_path / "a.h5")[0].meaning.channels
    assert channel[:5] == ("dbz", "", 0.5, -32.0, (255.0,))


def test_labels_of_axes_are_looked_at(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((8, 9, 3))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["v"] = values
        for number, label in enumerate(("lat", "lon", "time")):
            file["v"].dims[number].label = label
    found = [frame.values[0] for frame in frames(tmp_path / "a.h5")]
    np.testing.assert_array_equal(found, np.moveaxis(values, 2, 0))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["v"].dims[2].label = "level"
    with pytest.raises(BadInput, match=r"v has the dimensions lat 8, lon 9, level 3 .* raw_axes"):
        frames(tmp_path / "a.h5")


def test_a_file_that_says_nothing_has_no_channels(tmp_path: Path) -> None:
    (frame, *_) = frames(steps_of(tmp_path / "a.h5"), raw_dataset="fields/t3")
    assert frame.meaning.channels == ()
    assert frame.time is None


def linked(file: h5py.File) -> None:
    file["sound"] = np.zeros((8, 9))
    file["group/x"] = h5py.ExternalLink("other.h5", "/x")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((8, 9), "u1")
    layout[:] = h5py.VirtualSource("other.h5", "x", (8, 9))
    file.create_virtual_dataset("group/x", layout)


def outside(file: h5py.File) -> None:
    file.create_dataset("group/x", (8, 9), "u1", external=[("/etc/hostname", 0, 72)])


def of_scales(file: h5py.File) -> None:
    """Write a NetCDF 4 of which only the values of an axis lie elsewhere."""
    file["group/v"] = np.zeros((4, 8, 9))
    axis = file.create_dataset("group/x", (4,), "u1", external=[("/etc/hostname", 0, 4)])
    axis.make_scale("time")
    file["group/v"].dims[0].attach_scale(axis)


@pytest.mark.parametrize("raw_dataset", [None, "group/x"])
@pytest.mark.parametrize("write", [linked, virtual, outside, of_scales])
def test_what_leads_to_another_file_is_refused_by_name(
    tmp_path: Path, write: Any, raw_dataset: str | None
) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.ones((8, 9), np.uint8)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write(file)
    with pytest.raises(BadInput, match=r"a.h5: group/x leads to another file, .*; copy it with"):
        frames(tmp_path / "a.h5", raw_dataset=raw_dataset)


@pytest.mark.parametrize("dtype", ["u1", "f8"])
def test_a_dataset_that_was_mostly_never_written_does_not_fill_the_disk(
    tmp_path: Path, dtype: str
) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (10**11, 100, 100), dtype, chunks=(1, 100, 100))
    assert path.stat().st_size < 2000
    size = 10**15 * np.dtype(dtype).itemsize
    with pytest.raises(BadInput, match=rf"a\.h5: an array of {size:,} bytes, of which most were "):
        frames(path)


def test_a_dataset_that_was_written_may_be_larger_than_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packed as here it needs less, and if not the disk says so when it is full."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dry = np.zeros((4, 100, 1000), np.uint8)
        file.create_dataset("x", data=dry, chunks=(1, 100, 1000), compression="gzip")
    free = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    assert len(frames(tmp_path / "a.h5")) == 4


def test_scales_of_some_axes_only_need_raw_axes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["axes/t"], file["v"] = np.arange(3), np.zeros((3, 8, 9))
        file["axes/t"].make_scale("t")
        file["v"].dims[0].attach_scale(file["axes/t"])
    with pytest.raises(BadInput, match=r"its dimension scales cannot be understood .* raw_axes"):
        frames(tmp_path / "a.h5")
    assert len(frames(tmp_path / "a.h5", raw_axes="THW")) == 3
