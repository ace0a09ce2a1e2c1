"""Probabilities and quantiles are those of the members, which are written one after the other."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray

from convlstm.forecast import members
from convlstm.forecast.known import Known
from convlstm.forecast.params import Ensemble, Forecast
from convlstm.ingest.sources import Source
from convlstm.runtime import system
from convlstm.runtime.errors import NoRoom
from tests.builders import MINUTE, params_of

MEMBERS = np.random.default_rng(0).uniform(0, 255, (5, 2, 1, 6, 7)).astype(np.float32)
WANTED = Ensemble(members=5, seed=0, thresholds=(25.0, 64.0), quantiles=(0.1, 0.5, 0.9))


def known(files: int = 3, times: tuple[int, ...] | None = None, missing: int = 255) -> Known:
    """Return three frames; one pixel is never measured, and one once."""
    context = np.full((3, 1, 6, 7), 7, np.uint8)
    context[:, 0, 1, 2] = context[:2, 0, 3, 4] = missing
    source = Source("s", (Path("raw.npy"),) * files, times=times)
    return Known(source, context, params_of(Forecast, missing_value=255.0))


def parts(size: int) -> Iterator[np.ndarray]:
    """Yield the members, some at a time."""
    for start in range(0, len(MEMBERS), size):
        yield MEMBERS[start : start + size]


def test_the_statistics_are_numpys_of_the_members(tmp_path: Path) -> None:
    mean = members.write(tmp_path / "a.nc", known(), parts(2), WANTED, {"seed": 0})
    np.testing.assert_allclose(mean, MEMBERS.mean(axis=0), rtol=1e-6)
    with xarray.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as file:
        found = {name: values.values for name, values in file.data_vars.items()}
    measured = np.ones((6, 7), bool)
    measured[1, 2] = False
    expected = {
        "members": MEMBERS,
        "mean": MEMBERS.mean(axis=0),
        "probability_of_exceedance": [
            np.mean(MEMBERS >= 25, axis=0),
            np.mean(MEMBERS >= 64, axis=0),
        ],
        "quantiles": np.quantile(MEMBERS, (0.1, 0.5, 0.9), axis=0),
    }
    assert set(found) == set(expected)
    for name, values in expected.items():
        flat = np.squeeze(np.asarray(values), axis=-3)
        np.testing.assert_allclose(found[name][..., measured], flat[..., measured], rtol=1e-6)
        assert np.isnan(found[name][..., 1, 2]).all()


def test_members_of_which_memory_cannot_hold_one_lead_time_are_refused_before_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "memory_bytes", lambda: 5 * 6 * 7 * 4 - 1)
    few = WANTED.model_copy(update={"thresholds": (), "quantiles": ()})
    members.write(tmp_path / "few.nc", known(), parts(2), few, {})
    with pytest.raises(NoRoom) as raised:
        members.write(tmp_path / "a.nc", known(), parts(2), WANTED, {})
    assert str(raised.value) == (
        "members = 5: probabilities and quantiles of 6 x 7 pixels take at least 840 bytes of "
        "memory, and there are 839; give fewer"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["few.nc"]


def test_a_value_at_the_threshold_counts_as_by_hand() -> None:
    four = np.array([24.9, 25, 25.1, 0], np.float32).reshape(4, 1, 1, 1)
    assert members.probabilities(four, (25.0, 30.0)).ravel().tolist() == [0.5, 0]


def test_quantiles_lie_between_members_as_by_hand() -> None:
    three = np.array([30, 10, 20], np.float32).reshape(3, 1, 1, 1)
    assert members.quantiles(three, (0.0, 0.25, 0.5, 1.0)).ravel().tolist() == [10, 15, 20, 30]


@pytest.mark.parametrize("size", [1, 3, 5])
def test_it_does_not_matter_how_many_members_come_at_a_time(tmp_path: Path, size: int) -> None:
    for name, together in (("a", size), ("b", 2)):
        members.write(tmp_path / f"{name}.nc", known(), parts(together), WANTED, {})
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()


def test_each_member_has_a_folder_in_the_kind_of_the_input(tmp_path: Path) -> None:
    members.write(tmp_path / "a.nc", known(), parts(2), WANTED, {}, folder=tmp_path / "all")
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == [
        f"0{number}" for number in range(1, 6)
    ]
    for number, member in enumerate(MEMBERS, start=1):
        written = np.load(tmp_path / f"all/0{number}/forecast.npy")
        np.testing.assert_array_equal(written, np.rint(member[:, 0]))


def test_times_go_on_from_the_last_frame(tmp_path: Path) -> None:
    times = (0, 5 * MINUTE, 10 * MINUTE)
    members.write(tmp_path / "a.nc", known(times=times), parts(2), WANTED, {})
    with xarray.open_dataset(tmp_path / "a.nc", engine="h5netcdf", decode_times=False) as file:
        assert file["time"].values.tolist() == [900, 1200]
        assert file["forecast_reference_time"].item() == 600
        assert file["lead"].values.tolist() == [300, 600]


def test_one_forecast_is_written_as_it_is(tmp_path: Path) -> None:
    one = Ensemble(members=1, seed=0, thresholds=(), quantiles=())
    members.write(tmp_path / "a.nc", known(), iter([MEMBERS[:1]]), one, {})
    with xarray.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as file:
        assert set(file.data_vars) == {"forecast"}
        np.testing.assert_array_equal(file["forecast"][:, 2:], MEMBERS[0, :, 0, 2:])
