"""One page that shows a whole run, works offline, on a phone and in the dark."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from convlstm.params.groups import Params
from convlstm.scores.catalogue import COLUMNS, Row

STYLE = """
:root { color-scheme: light dark; --line: #8886; --mark: #0a7d4422; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
figure { margin: 1rem 0; } figcaption { font-size: .85rem; opacity: .8; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
td.best { background: var(--mark); font-weight: 600; }
dt { font-weight: 600; margin-top: .5rem; } dd { margin-left: 1rem; }
"""


def page(
    facts: Mapping[str, Any],
    means: Mapping[str, Row],
    pictures: Sequence[tuple[str, str, bytes]],
) -> str:
    """The HTML text.

    Args:
        facts: of the run: `params` that were used, `data` and `device`, as forecasts.h5 holds them.
        means: for each forecaster, the model first, the mean over leads of each column.
        pictures: file name, caption and content of each picture, in their order.
    """
    parts = [
        "<h1>Forecasts of a ConvLSTM, and what they must beat</h1>",
        f"<p>{escape(_data(facts))}</p>",
        "<h2>What was changed</h2>",
        _changes(facts["params"]),
        "<h2>Scores on the test windows, mean over lead times</h2>",
        _table(means),
        *(_figure(*picture) for picture in pictures),
        "<h2>What the numbers mean</h2>",
        _meanings(),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>Forecast report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _data(facts: Mapping[str, Any]) -> str:
    data = facts["data"]
    rows, cols = data["frame"]
    return (
        f"{data['sequences']} sequences, frames of {rows} x {cols} pixels, {data['channels']} "
        f"channel(s); {data['train']} windows train, {data['valid']} validate, {data['test']} "
        f"test. Evaluated on {facts['device']}."
    )


def _changes(used: Mapping[str, Any]) -> str:
    """The params, from the patches on, that are not those of the repository as it is shipped."""
    shipped = Params().model_dump()
    changed = {key: value for key, value in used.items() if repr(value) != repr(shipped[key])}
    if not changed:
        return "<p>Nothing: all params from the patches on are as shipped.</p>"
    rows = "".join(
        f"<tr><td>{escape(key)}</td><td>{escape(_shown(value))}</td>"
        f"<td>{escape(_shown(shipped[key]))}</td></tr>"
        for key, value in changed.items()
    )
    head = "<tr><th>param</th><th>here</th><th>as shipped</th></tr>"
    return f'<div class="scroll"><table id="changes">{head}{rows}</table></div>'


def _shown(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _table(means: Mapping[str, Row]) -> str:
    head = "".join(
        f'<th title="better: {column.better}">{column.name}</th>' for column in COLUMNS.values()
    )
    rows = ""
    best = {key: _best(key, means) for key in COLUMNS}
    for name, row in means.items():
        cells = "".join(
            f'<td data-column="{key}" data-value="{row[key]:.8g}"'
            f"{' class=best' if name in best[key] else ''}>{_number(row[key])}</td>"
            for key in COLUMNS
        )
        rows += f"<tr><td>{escape(name)}</td>{cells}</tr>"
    return (
        f'<div class="scroll"><table id="scores"><tr><th>forecaster</th>{head}</tr>{rows}</table>'
        "</div><p>The best of each column is marked.</p>"
    )


def _best(key: str, means: Mapping[str, Row]) -> set[str]:
    """The winners of a column; undefined scores cannot win."""
    badness = {
        name: COLUMNS[key].badness(row[key], row)
        for name, row in means.items()
        if row[key] == row[key]
    }
    return {name for name, value in badness.items() if value == min(badness.values())}


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.4g}"


def _figure(name: str, caption: str, content: bytes) -> str:
    kind = "gif" if name.endswith(".gif") else "png"
    data = base64.b64encode(content).decode("ascii")
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/{kind};base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _meanings() -> str:
    entries = "".join(
        f"<dt>{column.name} (better: {column.better})</dt><dd>{column.meaning}</dd>"
        for column in COLUMNS.values()
    )
    return (
        f"<dl>{entries}</dl><p>zeros: nothing everywhere. persistence: the last frame stays. "
        "advection: the last frame is carried on by the motion of the input. climatology: the mean "
        "frame of training.</p>"
    )
