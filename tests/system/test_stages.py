"""A stage as a user meets it: its files, its words, its exit status."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from convlstm.plot import curves
from convlstm.plot.page import FORECASTERS
from tests.builders import CHECKED, ROOT, SMALL, STAGES, SmallRun, run_stage, write_params

COLUMNS = ["mse", "fmae", "ssim", "psnr", "sharpness", "truth_sharpness", "rmse", "bias"]
COLUMNS += ["correlation", "crps", "spread_skill", "rank_deviation", "variogram"]
COLUMNS += ["temporal_change"]
COLUMNS += [f"spectral_ratio_{band}" for band in ("large", "medium", "small")]
COLUMNS += ["dot_grid"]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_demo_is_a_folder_per_sequence_and_a_png_per_frame(small_run: SmallRun) -> None:
    demo = small_run.folder / "data/demo"
    assert len(list(demo.iterdir())) == SMALL["demo_sequences"]
    frames = sorted((demo / "000").iterdir())
    assert [frame.name for frame in frames] == [f"{time:02d}.png" for time in range(8)]
    with Image.open(frames[0]) as image:
        assert (image.mode, image.size) == ("L", (22, 22))


def test_training_csv_has_a_row_per_epoch(small_run: SmallRun) -> None:
    rows = rows_of(small_run.folder / "data/metrics/training.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    expected = "epoch,lr,sampling_probability,train_loss,valid_mse,valid_crps,valid_ssim,"
    expected += "valid_psnr,valid_fmae,valid_sharpness"
    assert ",".join(rows[0]) == expected


def test_the_test_tables_have_a_row_per_lead_time(small_run: SmallRun) -> None:
    metrics = small_run.folder / "data/metrics"
    by_lead, baselines = rows_of(metrics / "by_lead.csv"), rows_of(metrics / "baselines.csv")
    assert list(by_lead[0]) == ["lead", *COLUMNS]
    assert [row["lead"] for row in by_lead] == ["1", "2"]
    assert list(baselines[0]) == ["forecaster", "lead", *COLUMNS]
    assert {(row["forecaster"], row["lead"]) for row in baselines} == {
        (name, lead) for name in FORECASTERS if name != "model" for lead in "12"
    }


def test_the_summary_is_the_mean_of_the_tables(small_run: SmallRun) -> None:
    metrics = small_run.folder / "data/metrics"
    summary = json.loads((metrics / "summary.json").read_text(encoding="utf-8"))
    mses = [float(row["mse"]) for row in rows_of(metrics / "by_lead.csv")]
    assert summary["model"]["mse"] == pytest.approx(sum(mses) / 2, rel=1e-6)
    skill = 1 - summary["model"]["mse"] / summary["persistence"]["mse"]
    assert summary["skill_against_persistence"]["mse"] == pytest.approx(skill, rel=1e-5)


def test_the_plots_are_the_reports_and_more(small_run: SmallRun) -> None:
    curves_of_training = ("loss", "valid_loss", "ssim", "psnr", "fmae", "sharpness")
    charts = ("performance", "rank_histogram", "reliability", "scale_skill", "spectra")
    frames = (*(f"gt{number:02d}" for number in range(1, 6)), "pd04", "pd05")  # 3 to 2
    details = (*curves_of_training, *charts, "sharpness_by_truth", *frames, "lead01", "lead02")
    plots = small_run.folder / "data/plots"
    assert {path.name for path in plots.iterdir()} == {"overview", "details", "report.html"}
    overview = {"forecast.gif", "lead_time.png", "strip1.png", "strip2.png"}
    assert {path.name for path in (plots / "overview").iterdir()} == overview
    assert {path.name for path in (plots / "details").iterdir()} == {f"{n}.png" for n in details}
    drawn = {path.stem for path in (small_run.folder / "data/curves").iterdir()}
    assert drawn == set(curves.NAMES)


def test_no_temporary_file_stays(small_run: SmallRun) -> None:
    assert [path for path in small_run.folder.rglob("*") if "partial" in path.name] == []


BAD: dict[str, object] = {
    "demo_size": 6,
    "max_pixels": 0,
    "raw_axes": "HH",
    "stride": 0,
    "split": [0.5, 0.5, 0.5],
    "lr": "abc",
    "kernel_size": 4,
    "thresholds": [],
    "gif_frames_per_second": 51,
    "lrr": 0.1,
}
"""A bad value of each stage, and a key of none."""
COMPLAINTS = {
    "demo": ["demo_size = 6: should be greater than or equal to 7"],
    "ingest": [
        "max_pixels = 0: should be greater than or equal to 1",
        "raw_axes = 'HH': must name each axis once, with H and W among N T C H W",
    ],
    "patch": [
        "split = [0.5, 0.5, 0.5]: the three shares must add up to 1",
        "stride = 0: should be greater than or equal to 1",
    ],
    "train": [
        "kernel_size = 4: must be odd, so that a frame keeps its size",
        "lr = 'abc': should be a valid number",
    ],
    "evaluate": ["thresholds = []: should hold at least 1 value(s)"],
    "plot": ["gif_frames_per_second = 51: should be less than or equal to 50"],
}
"""The lines of each stage on its own keys, sorted."""
MOST_SLOW = [
    stage if stage in ("check", "train") else pytest.param(stage, marks=pytest.mark.slow)
    for stage in STAGES
]
"""All stages but `check` start in one way (launch.start); one shows it in each run of the tests."""


@pytest.mark.parametrize("stage", MOST_SLOW)
def test_a_stage_refuses_its_own_bad_values_and_check_refuses_all_before_any_work(
    tmp_path: Path, stage: str
) -> None:
    write_params(tmp_path, **BAD)
    done = run_stage(tmp_path, "-m", f"stages.{stage}")
    assert done.returncode == 2
    expected = COMPLAINTS.get(stage, [])
    if stage == "check":
        unknown = "lrr = 0.1: unknown key; the nearest is lr"
        expected = sorted([unknown, *(line for lines in COMPLAINTS.values() for line in lines)])
    assert sorted(done.stderr.splitlines()) == [f"error: params.yaml: {line}" for line in expected]
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("stage", MOST_SLOW)
def test_bad_values_of_the_other_stages_do_not_stop_a_stage(tmp_path: Path, stage: str) -> None:
    own = {line.split(" = ")[0] for line in COMPLAINTS.get(stage, [])}
    write_params(tmp_path, **SMALL | {key: BAD[key] for key in BAD if key not in own})
    done = run_stage(tmp_path, "-m", f"stages.{stage}")
    assert ("params.yaml" in done.stderr) == (stage == "check")


def test_the_output_of_check_never_changes(tmp_path: Path) -> None:
    """On it the other stages depend, which must not run again for a key that is not theirs."""
    outputs = set()
    for lr in (0.1, 0.2):
        write_params(tmp_path, lr=lr)
        done = run_stage(tmp_path, "-m", "stages.check")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        outputs.add((tmp_path / CHECKED).read_bytes())
    assert len(outputs) == 1


def test_check_names_a_key_that_is_missing(tmp_path: Path) -> None:
    write_params(tmp_path)
    path = tmp_path / "params.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("\nstride: 10 ", "\n"), encoding="utf-8")
    done = run_stage(tmp_path, "-m", "stages.check")
    assert done.returncode == 2
    assert done.stderr == "error: params.yaml: stride: this key is missing; add it\n"


@pytest.mark.parametrize(
    "stage",
    [
        "train",
        *(pytest.param(stage, marks=pytest.mark.slow) for stage in ("ingest", "patch", "evaluate")),
    ],
)
def test_a_missing_input_is_named_in_one_line(tmp_path: Path, stage: str) -> None:
    write_params(tmp_path)
    done = run_stage(tmp_path, "-m", f"stages.{stage}")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_failed_ingest_leaves_the_old_frames_untouched(tmp_path: Path) -> None:
    write_params(tmp_path, raw="mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/1.png").write_bytes(b"no image")
    (tmp_path / "data/frames").mkdir(parents=True)
    (tmp_path / "data/frames/index.h5").write_bytes(b"old")
    done = run_stage(tmp_path, "-m", "stages.ingest")
    assert done.returncode == 2
    assert "1.png" in done.stderr
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["frames"]
    assert (tmp_path / "data/frames/index.h5").read_bytes() == b"old"


def test_outside_the_repository_a_stage_says_where_to_run_it(tmp_path: Path) -> None:
    done = run_stage(tmp_path, "-m", "stages.demo")
    assert done.returncode == 2
    assert "params.yaml: no such file here" in done.stderr


def test_a_stage_is_a_script_of_at_most_60_lines() -> None:
    for stage in STAGES:
        assert (ROOT / f"stages/{stage}.py").read_text(encoding="utf-8").count("\n") <= 60, stage
