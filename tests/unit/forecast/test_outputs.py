"""A forecast is made again only where it must be, and no other file is in danger."""

import os
from pathlib import Path

import pytest

from convlstm.forecast import outputs
from convlstm.forecast.outputs import Job, Origin
from convlstm.forecast.params import Ensemble, Forecast
from convlstm.ingest.sources import Source
from convlstm.runtime.errors import BadInput
from tests.builders import params_of

ONE = Ensemble(members=1, seed=0, thresholds=(), quantiles=())
ORIGIN = Origin("a hash", None, ONE, params_of(Forecast))


def job(folder: Path, *, overwrite: bool = False, origin: Origin = ORIGIN) -> Job:
    """Return a job whose input is one file."""
    path = folder / "in.npy"
    if not path.exists():
        path.write_text("frames")
    return Job(Source("in", (path,), 0), folder / "out", origin, overwrite)


def make(own: Job, *names: str) -> None:
    with own.writing() as folder:
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("forecast")


def test_what_was_made_is_done(tmp_path: Path) -> None:
    assert not job(tmp_path).is_done()
    make(job(tmp_path), "1.png", "members/1.png")
    assert job(tmp_path).is_done()
    assert not job(tmp_path, overwrite=True).is_done()


@pytest.mark.parametrize(
    "other",
    [
        ORIGIN._replace(model="another"),
        ORIGIN._replace(steps=3),
        ORIGIN._replace(params=params_of(Forecast, value_range=(0.0, 9.0))),
        ORIGIN._replace(version="0.0.1"),
    ],
)
def test_another_origin_is_refused(tmp_path: Path, other: Origin) -> None:
    make(job(tmp_path), "1.png")
    with pytest.raises(BadInput, match="holds a forecast of other frames, options or model"):
        job(tmp_path, origin=other).is_done()
    assert not job(tmp_path, origin=other, overwrite=True).is_done()


def test_other_frames_are_refused(tmp_path: Path) -> None:
    make(job(tmp_path), "1.png")
    os.utime(tmp_path / "in.npy", (5, 5))
    with pytest.raises(BadInput, match="holds a forecast of other frames"):
        job(tmp_path).is_done()


@pytest.mark.parametrize("text", ["{", '{"files": 5}', '{"files": [{}]}'])
def test_a_broken_mark_is_that_of_another_forecast(tmp_path: Path, text: str) -> None:
    make(job(tmp_path), "1.png")
    (tmp_path / "out" / outputs.MARK).write_text(text)
    with pytest.raises(BadInput, match="holds a forecast of other frames"):
        job(tmp_path).is_done()


def test_a_forecast_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with job(tmp_path).writing() as folder:
            (folder / "1.png").write_text("half of it")
            raise BadInput("the rest fails")

    with pytest.raises(BadInput):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["in.npy"]


def test_a_folder_of_forecasts_can_be_gone_on_with(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("may", "june/early"):
        make(Job(Source("in", ()), out / name, ORIGIN, overwrite=False), "1.png")
    (out / ".late.partial").mkdir()  # left by a kill
    outputs.check(out, beside=tmp_path / "raw", overwrite=False)
    (out / "june/notes.txt").write_text("mine")
    with pytest.raises(BadInput, match="is there already"):
        outputs.check(out, beside=tmp_path / "raw", overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_forecast_never_lies_in_its_input(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "out.nc").write_text("frames")
    for out in (tmp_path / "out", tmp_path / "out.nc"):
        with pytest.raises(BadInput, match="would be read as part of it"):
            outputs.check(out, beside=tmp_path, overwrite=overwrite)


def test_a_folder_of_one_sequence_may_not_lie_in_that_of_another(tmp_path: Path) -> None:
    found = [Source("rain", ()), Source("rain/late", ())]
    with pytest.raises(BadInput, match="rain/late: its folder would lie in that of rain"):
        outputs.jobs(tmp_path, found, ORIGIN, overwrite=False, alone=False)
