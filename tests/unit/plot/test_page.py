"""The page needs its folder alone, tells the tables' numbers, and opens without a request."""

import csv
import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from convlstm.plot import figures, page
from convlstm.plot.page import Scored
from convlstm.runtime.errors import BadInput
from convlstm.scores import families
from stages.check import Params
from tests.builders import SmallRun, params_of

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
KEYS = [score.key for score in families.BY_LEAD if score.better is not None]
DATASET: dict[str, Any] = {
    "sequences": 30,
    "channels": {
        "rain": {
            **{"unit": "mm/h", "minimum": 0.0, "maximum": 12.5, "missing_percent": 25.0},
            **{"range_low": 0.0, "range_high": 50.0, "range_from": "params"},
            **{"transform": "none", "filled_percent": 20.0, "clipped_percent": 0.0},
        }
    },
    "by_sequence": {
        "<em>may": {
            **{"frames": 9, "first": "2021-05-01 00:00:00", "last": "2021-05-01 00:40:00"},
            **{"step_seconds": 300.0, "gaps": 1, "size": "8 x 9"},
            "channels": {
                "rain": {"unit": "", "minimum": None, "maximum": 12.5, "missing_percent": 25.0}
            },
        }
    },
}
RUN: dict[str, Any] = {
    "params": params_of(
        Params,
        lr=0.01,
        hidden_channels=[16, 8],
        gradient_clip=None,
        raw_dataset="<b>rain</b>",
    ).model_dump(),
    "data": {"sequences": 3, "frame": (8, 9), "channels": 1, "train": 5, "valid": 2, "test": 1},
    "precision": "bfloat16",
    "device": "a CPU",
    "dataset": DATASET,
}
IN_DATA_UNITS = ("rmse", "bias", "crps", "variogram")
EVENT_KEYS = [score.key for score in families.BY_THRESHOLD]


def row(**changes: float) -> dict[str, float]:
    return {**dict.fromkeys(KEYS, 0.5), "truth_sharpness": 50.0, **changes}


EVENTS: dict[float, tuple[int, dict[str, dict[str, float]]]] = {
    5.0: (1234, {"model": dict.fromkeys(EVENT_KEYS, 0.25), "zeros": dict.fromkeys(EVENT_KEYS, 0.5)})
}


def scored(
    means: dict[str, dict[str, float]],
    events: dict[float, tuple[int, dict[str, dict[str, float]]]],
) -> list[Scored]:
    """Return the scores of the only channel."""
    return [Scored("", means, events)]


def winners(means: dict[str, dict[str, float]], column: str) -> set[str]:
    text = page.page(RUN, scored(means, EVENTS), [])
    rows = re.findall(r"<tr><td>(\w+)</td>(.*?)</tr>", text.split('id="scores"')[1])
    return {
        name for name, cells in rows if re.search(rf'data-column="{column}"[^>]*class=best', cells)
    }


@pytest.mark.parametrize(
    ("column", "values", "best"),
    [
        ("mse", (1.0, 2.0, 3.0), {"model"}),
        ("ssim", (0.1, 0.9, 0.3), {"zeros"}),
        ("bias", (-0.1, 0.2, -3.0), {"model"}),
        ("spectral_ratio_small", (0.2, 1.9, 1.2), {"persistence"}),
        ("sharpness", (10.0, 60.0, 250.0), {"zeros"}),  # the truth's is 50
        ("rmse", (2.0, 2.0, 3.0), {"model", "zeros"}),
        ("correlation", (float("nan"), 0.1, -0.5), {"zeros"}),
    ],
)
def test_the_best_of_a_column_is_marked(
    column: str, values: tuple[float, ...], best: set[str]
) -> None:
    names = ("model", "zeros", "persistence")
    means = {name: row(**{column: value}) for name, value in zip(names, values, strict=True)}
    assert winners(means, column) == best


def test_every_score_by_lead_time_is_a_column_with_what_is_better() -> None:
    table = (
        page.page(RUN, scored({"model": row()}, EVENTS), [])
        .split('id="scores"')[1]
        .split("</table>")[0]
    )
    assert re.findall(r'data-column="(\w+)"', table) == KEYS
    heads = re.findall(r'<th title="better: ([^"]+)">([^<]+)</th>', table)
    drawn = [score for score in families.BY_LEAD if score.better is not None]
    assert heads == [
        (score.better, f"{score.label}, dB" if score.key == "psnr" else score.label)
        for score in drawn
    ]


def test_every_score_that_can_be_better_or_worse_is_defined() -> None:
    text = page.page(RUN, scored({"model": row()}, EVENTS), []).split("<h2>The scores</h2>")[1]
    defined = re.findall(r"<dt>([^<]+) \(better: ([^<]+)\)</dt><dd>([^<]+)</dd>", text)
    scores = [score for score in families.ALL if score.better is not None]
    assert [(label, better) for label, better, _ in defined] == [
        (score.label, score.better) for score in scores
    ]
    for score, (_, _, meaning) in zip(scores, defined, strict=True):
        suffix = ", in data units" if score.key in IN_DATA_UNITS else ""
        assert unescape(meaning) == score.meaning + suffix


def test_the_forecasters_of_the_tables_are_defined_and_no_others() -> None:
    text = page.page(RUN, scored({"model": row(), "zeros": row()}, {}), [])
    defined = re.findall(r"<dt>(\w+)</dt><dd>", text.split("<h2>The forecasters</h2>")[1])
    assert defined == ["model", "zeros"]
    assert set(page.FORECASTERS) == set(figures.MARKERS)


def test_the_scores_of_events_have_a_table_per_threshold_that_counts_the_events() -> None:
    text = page.page(RUN, scored({"model": row()}, EVENTS), [])
    assert "<h3>Events of at least 5: 1,234 pixels of all lead times</h3>" in text
    table = text.split('id="events-5"')[1].split("</table>")[0]
    assert re.findall(r'data-column="(\w+)"', table) == 2 * EVENT_KEYS
    best = re.findall(r'data-column="(\w+)" data-value="([^"]+)" class=best', table)
    low = ("far", "brier")
    assert best == sorted(
        ((key, "0.25" if key in low else "0.5") for key in EVENT_KEYS),
        key=lambda found: found[1],
    )


def test_the_params_of_the_run_are_listed_each_with_its_value() -> None:
    text = (
        page.page(RUN, scored({"model": row()}, EVENTS), [])
        .split("<details>")[2]
        .split("</details>")[0]
    )
    assert f"<summary>The {len(RUN['params'])} params of this run</summary>" in text
    listed = dict(re.findall(r"<tr><td>(\w+)</td><td>([^<]*)</td></tr>", text))
    assert list(listed) == list(RUN["params"])
    shown = {key: listed[key] for key in ("lr", "hidden_channels", "gradient_clip")}
    assert shown == {"lr": "0.01", "hidden_channels": "[16, 8]", "gradient_clip": "None"}


def test_names_of_users_are_no_markup() -> None:
    run = {**RUN, "params": {**RUN["params"], "<i>key": "a & b"}, "device": "<u>a device"}
    text = page.page(run, scored({"<em>model": row()}, {}), [("a.png", "<script>x</script>")])
    for markup in ("<b>rain", "<script", "<i>key", "a & b", "<u>a device", "<em>model"):
        assert markup not in text
    for escaped in ("&lt;b&gt;rain", "&lt;i&gt;key", "a &amp; b", "&lt;u&gt;a device"):
        assert escaped in text


def test_the_data_of_the_run_is_told_in_a_sentence() -> None:
    text = page.page(RUN, scored({"model": row()}, EVENTS), [])
    assert (
        "3 sequences, frames of 8 x 9 pixels, 1 channel(s); 5 windows train, 2 validate, 1 test. "
        "Trained in bfloat16, evaluated on a CPU." in text
    )


def test_the_page_tells_what_was_read_before_all_else() -> None:
    text = page.page(RUN, scored({"model": row()}, EVENTS), [])
    channels, sequences = (
        re.findall(r"<t[hd]>([^<]*)</t[hd]>", text.split(f'id="{name}"')[1].split("</table>")[0])
        for name in ("channels", "sequences")
    )
    assert channels[8:] == ["rain", "mm/h", "0", "12.5", "0 to 50, from params", "20", "0", "25"]
    assert sequences[12:] == [
        *("&lt;em&gt;may", "9", "2021-05-01 00:00:00", "2021-05-01 00:40:00", "300.0", "1"),
        *("8 x 9", "rain", "-", "-", "12.5", "25"),
    ]
    assert "The first 1 of 30 sequences" in text
    assert text.index('id="channels"') < text.index('id="params"')


def test_the_dataset_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(DATASET), encoding="utf-8")
    assert page.read_dataset(path) == json.loads(json.dumps(DATASET))


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "null", "[]", "{}", "3", '{"channels": {}}', "[" * 100_000),
        json.dumps(DATASET | {"channels": {"rain": {"unit": "mm"}}}),
        json.dumps(DATASET | {"by_sequence": [1]}),
        json.dumps(DATASET).replace("0.0", '"low"'),
        "\0\ud800",
    ],
)
def test_a_damaged_or_foreign_dataset_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "dataset.json"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(BadInput) as raised:
        page.read_dataset(path)
    (line,) = str(raised.value).splitlines()
    assert line.startswith(f"{path}: is damaged, or was written by another version; ")


def test_a_dataset_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"dataset\.json: no such file; run `dvc repro patch`"):
        page.read_dataset(tmp_path / "dataset.json")


def test_each_channel_has_its_tables() -> None:
    both = [Scored(name, {"model": row()}, EVENTS) for name in ("t", "q")]
    text = page.page(RUN, both, [])
    assert re.findall(r"<h2>Scores of (\w+) on", text) == ["t", "q"]
    assert re.findall(r'<table id="((?:scores|events)[^"]*)"', text) == [
        *("scores", "events-5", "scores-2", "events-5-2"),
    ]


def test_an_undefined_score_is_a_dash() -> None:
    text = page.page(RUN, scored({"model": row(correlation=float("nan"))}, EVENTS), [])
    assert re.search(r'data-column="correlation"[^>]*>-</td>', text)


def test_with_lead_pictures_the_page_opens_with_the_film_and_a_slider_over_them() -> None:
    film, chart = ("film.gif", "a <film>"), ("a.png", "a chart")
    leads = ["one.png", "two.png", "three.png"]
    text = page.page(RUN, scored({"model": row()}, EVENTS), [film, chart], leads)
    opening = text.split("<details>")[1]
    assert opening.count("<img") == 4
    assert re.findall(r'<input type="range" min="0" max="(\d+)" value="0">', opening) == ["3"]
    images = re.findall(r'<img( hidden)? alt="([^"]*)" src="([^"]+)"', text)
    assert [(hidden != "", alt, name) for hidden, alt, name in images] == [
        (False, "a &lt;film&gt;", "film.gif"),  # all that is seen without JavaScript
        *((True, f"Lead time +{lead} of 3", leads[lead - 1]) for lead in (1, 2, 3)),
        (False, "a chart", "a.png"),
    ]


def test_without_lead_pictures_there_is_no_slider_and_the_film_comes_first_below() -> None:
    film, chart = ("film.gif", "a film"), ("a.png", "a chart")
    text = page.page(RUN, scored({"model": row()}, EVENTS), [film, chart])
    assert "<script" not in text
    assert "<input" not in text
    assert "<img" not in text.split('id="scores"')[0]
    assert re.findall(r'<img alt="([^"]*)"', text) == ["a film", "a chart"]


def test_all_that_the_page_shows_lies_beside_it_once(small_run: SmallRun) -> None:
    page = (small_run.folder / "data/plots/report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|url\(|@import|<script.*src|<link rel=\"stylesheet", page)
    assert page.count("<script>") == 1  # of the slider
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) >= 10
    plots = small_run.folder / "data/plots"
    assert len(set(sources)) == len(sources)
    assert {source for source in sources if not (plots / source).is_file()} == set()
    assert len(page) < 200_000


def test_the_pages_numbers_are_those_of_the_csvs(small_run: SmallRun) -> None:
    page = (small_run.folder / "data/plots/report.html").read_text(encoding="utf-8")
    metrics = small_run.folder / "data/metrics"
    rows: list[dict[str, str]] = []
    for name in ("by_lead", "baselines"):
        with (metrics / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows += [{"forecaster": "model", **line} for line in csv.DictReader(file)]
    table = page.split('id="scores"')[1].split("</table>")[0]
    found = re.findall(r"<tr><td>(\w+)</td>(<td data-column.*?)</tr>", table)
    assert [name for name, _ in found] == list(dict.fromkeys(line["forecaster"] for line in rows))
    for name, cells in found:
        shown = dict(re.findall(r'data-column="(\w+)" data-value="([^"]*)"', cells))
        assert list(shown) == KEYS
        for column, value in shown.items():
            lines = [line[column] for line in rows if line["forecaster"] == name]
            if "" in lines:
                assert value == "nan"
            else:
                mean = sum(map(float, lines)) / len(lines)
                assert float(value) == pytest.approx(mean, rel=1e-6, abs=1e-9), (name, column)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_a_browser_shows_every_picture_and_asks_for_nothing_elsewhere(
    small_run: SmallRun, tmp_path: Path
) -> None:
    plots = shutil.copytree(small_run.folder / "data/plots", tmp_path / "plots")
    page = (plots / "report.html").read_text(encoding="utf-8")
    asked = """<script>onload = () => { document.title = JSON.stringify([
        [...document.images].filter(image => image.complete && image.naturalWidth > 1).length,
        document.images.length, performance.getEntriesByType("resource").filter(
            resource => !resource.name.startsWith(new URL(".", location).href)).length,
        document.documentElement.scrollWidth <= innerWidth, ...[0, 2, 1].flatMap(lead => {
            const own = document.getElementById("leads"), slider = own.querySelector("input");
            slider.value = lead;
            slider.dispatchEvent(new Event("input"));
            return [...own.querySelectorAll("img")].flatMap(
                (image, number) => image.checkVisibility() ? [number] : []); })
        ]); };</script>"""
    (plots / "report.html").write_text(page.replace("</body>", asked + "</body>"), "utf-8")
    done = subprocess.run(
        [
            str(BROWSER),
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--dump-dom"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--enable-logging=stderr", "--window-size=390,844"),
            f"--user-data-dir={tmp_path / 'profile'}",
            (plots / "report.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    number = r"(\d+),(\d+),(\d+)"
    found = re.search(rf"<title>\[{number},(true|false),([\d,]+)\]</title>", done.stdout)
    assert found, done.stderr[-2000:]
    loaded, images, requests, fits, seen = found.groups()
    assert seen == "0,2,1"  # one picture at a time: the film, then a lead time
    assert int(loaded) == int(images) == page.count("<img")
    assert requests == "0"
    assert fits == "true"  # nothing but the table's own box scrolls sideways on a phone
    assert "CONSOLE" not in done.stderr
