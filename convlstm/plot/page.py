"""The page that shows a whole run; it works offline, on a phone and in the dark.

It lies in one folder with the folders of its pictures, and takes them from there.
"""

import json
from collections.abc import Collection, Container, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from convlstm.runtime.errors import BadInput
from convlstm.scores.families import ALL, BY_LEAD, BY_THRESHOLD
from convlstm.scores.score import Row, Score

STYLE = """
:root { color-scheme: light dark; --line: #8886; --mark: #0a7d4422; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
figure { margin: 1rem 0; } figcaption { font-size: .85rem; opacity: .8; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
#leads label { display: flex; gap: .6rem; flex-wrap: wrap; align-items: center;
  padding-bottom: .6rem; }
#leads input { flex: 1 1 12rem; } #leads output { min-width: 7rem; }
#leads [hidden] { display: none; }
td.best { background: var(--mark); font-weight: 600; }
dt { font-weight: 600; margin-top: .5rem; } dd { margin-left: 1rem; }
"""
SLIDER = """
<script>
const leads = document.getElementById("leads"), shown = leads.querySelectorAll("img");
const slider = leads.querySelector("input"), label = leads.querySelector("output");
slider.oninput = () => {
  shown.forEach((picture, number) => { picture.hidden = number != slider.value; });
  label.value = slider.value > 0 ? "+" + slider.value : "all, as a film";
};
slider.value = 0;
leads.querySelector("label").hidden = false;
</script>
"""
COLUMNS = tuple(score for score in BY_LEAD if score.better is not None)
OF_SEQUENCE = ("frames", "first", "last", "step_seconds", "gaps", "size")
HEADS_OF_SEQUENCES = (
    *("sequence", "frames", "first", "last", "step, s", "gaps", "size"),
    *("channel", "unit", "minimum", "maximum", "missing %"),
)
HEADS_OF_CHANNELS = (
    *("channel", "unit", "minimum", "maximum", "value range"),
    *("filled %", "clipped %", "missing %"),
)
FORECASTERS = {
    "model": "the network; of an ensemble its mean, and in CRPS, spread / skill, rank deviation, "
    "variogram score, Brier score and ROC area all its members",
    "pm_mean": "the probability-matched mean of the ensemble: the members' values, put where the "
    "mean ranks them (Ebert 2001)",
    "member": "one member of the ensemble",
    "zeros": "0 everywhere",
    "persistence": "the last frame stays",
    "advection": "the last frame is carried on by the motion of the input",
    "smoothed": "the same, blurred and shrunk with lead time by least squares on training windows",
    "climatology": "the mean frame of training",
}
"""The names of forecasters in the tables, and what each of them forecasts."""


class Scored(NamedTuple):
    """The scores of one channel, whose name is empty if there is no other, in its unit.

    `means` has for each forecaster, the model first, the mean over lead times of each score;
    `events` for each threshold the number of true events, and the means of its scores.
    """

    channel: str
    means: Mapping[str, Row]
    events: Mapping[float, tuple[int, Mapping[str, Row]]]
    unit: str = ""


def page(
    run: Mapping[str, Any],
    scores: Sequence[Scored],
    pictures: Sequence[tuple[str, str]],
    leads: Sequence[str] = (),
) -> str:
    """Return the HTML text.

    Args:
        run: the `params` that were used, `data` and `device`, as forecasts.h5 describes them, and
            the `dataset` of dataset.json.
        scores: of each channel.
        pictures: place, seen from the page, and caption of each picture, in their order.
        leads: the place of each lead time of the first picture, the film. If there are any, the
            page opens with them.
    """
    below = pictures[1:] if leads else pictures
    parts = [
        "<h1>Forecasts of a ConvLSTM beside the baselines</h1>",
        f"<p>{escape(_data(run))}</p>",
        _dataset(run["dataset"]),
        *([_leads(*pictures[0], leads)] if leads else []),
        _params(run["params"]),
        *(_scores(number, own) for number, own in enumerate(scores, start=1)),
        "<p>The best of each column is marked.</p>",
        *(_figure(*picture) for picture in below),
        "<h2>The scores</h2>",
        _definitions(scores[0].means, {own.unit for own in scores}),
    ]
    return document("Forecasts", parts)


def document(title: str, parts: Sequence[str]) -> str:
    """Return an HTML text of these parts in the style of all pages."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def read_dataset(path: Path) -> dict[str, Any]:
    """Return dataset.json, which the patch stage writes.

    Raises:
        BadInput: it is not there, is damaged, or holds something else.
    """
    try:
        dataset: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _dataset(dataset)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; run `dvc repro patch`, which writes it") from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise BadInput(
            f"{path}: is damaged, or was written by another version; remove it and run "
            f"`dvc repro patch`"
        ) from None
    return dataset


def _data(run: Mapping[str, Any]) -> str:
    data = run["data"]
    rows, cols = data["frame"]
    return (
        f"{data['sequences']} sequences, frames of {rows} x {cols} pixels, {data['channels']} "
        f"channel(s); {data['train']} windows train, {data['valid']} validate, {data['test']} "
        f"test. Trained in {run['precision']}, evaluated on {run['device']}."
    )


def _scores(number: int, own: Scored) -> str:
    """Return the tables of one channel; their ids end in the number of a second one."""
    end = f"-{number}" if number > 1 else ""
    of_what = f" of {escape(own.channel)}" if own.channel else ""
    return (
        f"<h2>Scores{of_what} on the test windows, mean over lead times</h2>"
        + _table(f"scores{end}", own.means, COLUMNS)
        + "".join(
            f"<h3>Events of at least {threshold:g}{' ' if own.unit else ''}{escape(own.unit)}: "
            f"{count:,} pixels of all lead times</h3>"
            + _table(f"events-{threshold:g}{end}", means, BY_THRESHOLD)
            for threshold, (count, means) in own.events.items()
        )
    )


def _dataset(dataset: Mapping[str, Any]) -> str:
    """Return a table of the channels that were read, and a folded one of the sequences."""
    channels = [
        [
            *(name, own["unit"] or "-", _number(own["minimum"]), _number(own["maximum"])),
            f"{own['range_low']:g} to {own['range_high']:g}, from {own['range_from']}",
            *(_number(own[key]) for key in ("filled_percent", "clipped_percent")),
            _number(own["missing_percent"]),
        ]
        for name, own in dataset["channels"].items()
    ]
    sequences = [
        [
            *(name, *(_cell(own[key]) for key in OF_SEQUENCE), channel, values["unit"] or "-"),
            *(_number(values[key]) for key in ("minimum", "maximum", "missing_percent")),
        ]
        for name, own in dataset["by_sequence"].items()
        for channel, values in own["channels"].items()
    ]
    count, listed = dataset["sequences"], len(dataset["by_sequence"])
    which = f"The {count} sequences" if listed == count else f"The first {listed} of {count}"
    return (
        plain_table("channels", HEADS_OF_CHANNELS, channels)
        + f"<details><summary>{which}{'' if listed == count else ' sequences'}</summary>"
        + plain_table("sequences", HEADS_OF_SEQUENCES, sequences)
        + "</details>"
    )


def plain_table(name: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of texts."""
    lines = [
        "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row)
        for tag, row in (("th", heads), *(("td", row) for row in rows))
    ]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table id="{name}">{body}</table></div>'


def _cell(value: object) -> str:
    return "-" if value is None else str(value)


def _params(used: Mapping[str, Any]) -> str:
    """Return a folded table of the params of this run; `dvc params diff` compares two runs."""
    rows = "".join(
        f"<tr><td>{escape(key)}</td><td>{escape(_shown(value))}</td></tr>"
        for key, value in used.items()
    )
    return (
        f"<details><summary>The {len(used)} params of this run</summary>"
        f'<div class="scroll"><table id="params">{rows}</table></div></details>'
    )


def _shown(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _table(name: str, means: Mapping[str, Row], columns: Sequence[Score]) -> str:
    head = "".join(
        f'<th title="better: {score.better}">{_heading(score)}</th>' for score in columns
    )
    rows = ""
    best = {score.key: _best(score, means) for score in columns}
    for forecaster, row in means.items():
        cells = "".join(
            f'<td data-column="{score.key}" data-value="{row[score.key]:.8g}"'
            f"{' class=best' if forecaster in best[score.key] else ''}>{_number(row[score.key])}"
            "</td>"
            for score in columns
        )
        rows += f"<tr><td>{escape(forecaster)}</td>{cells}</tr>"
    return (
        f'<div class="scroll"><table id="{name}"><tr><th>forecaster</th>{head}</tr>{rows}</table>'
        "</div>"
    )


def _heading(score: Score) -> str:
    return f"{score.label}, dB" if score.unit == "dB" else score.label


def _best(score: Score, means: Mapping[str, Row]) -> set[str]:
    """Return the best forecasters of a column; one whose score is undefined cannot be best."""
    badness = {
        name: score.badness(row[score.key], row)
        for name, row in means.items()
        if row[score.key] == row[score.key]
    }
    return {name for name, value in badness.items() if value == min(badness.values())}


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.4g}"


def _figure(name: str, caption: str) -> str:
    return f"<figure>{_image(name, caption)}<figcaption>{escape(caption)}</figcaption></figure>"


def _leads(name: str, caption: str, leads: Sequence[str]) -> str:
    """Return the film, and a slider that puts one of `leads` in its place.

    Without JavaScript there is no slider, and the film alone is seen.
    """
    pictures = "".join(
        _image(picture, f"Lead time +{lead} of {len(leads)}", hidden=True)
        for lead, picture in enumerate(leads, start=1)
    )
    return (
        '<figure id="leads"><label hidden>Lead time <output>all, as a film</output>'
        f'<input type="range" min="0" max="{len(leads)}" value="0"></label>'
        f"{_image(name, caption)}{pictures}"
        f"<figcaption>{escape(caption)}</figcaption></figure>{SLIDER}"
    )


def _image(name: str, alt: str, *, hidden: bool = False) -> str:
    mark = " hidden" if hidden else ""
    return f'<img{mark} alt="{escape(alt)}" src="{escape(name)}">'


def _definitions(forecasters: Container[str], units: Collection[str]) -> str:
    """Return the definitions of scores, in the unit of the data if it is one, and forecasters."""
    unit = next(iter(units)) if len(units) == 1 else ""
    entries = "".join(
        f"<dt>{score.label} (better: {score.better})</dt><dd>{escape(score.meaning)}"
        f"{f', in {escape(unit or score.unit)}' if score.unit == 'data units' else ''}</dd>"
        for score in ALL
        if score.better is not None
    )
    names = "".join(
        f"<dt>{name}</dt><dd>{escape(meaning)}</dd>"
        for name, meaning in FORECASTERS.items()
        if name in forecasters
    )
    return f"<dl>{entries}</dl><h2>The forecasters</h2><dl>{names}</dl>"
