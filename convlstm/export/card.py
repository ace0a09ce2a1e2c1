"""A model card: what a model file is, what it was trained on, how it scored and where it ends."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

from convlstm.export.onnx_file import Shape
from convlstm.model.model_file import Model
from convlstm.runtime.console import visible
from convlstm.scores import families
from convlstm.version import VERSION

SCORES = {
    "mse": "squared error of the forecast or the mean of the members, in [0, 1], sum over pixels",
    "crps": "continuous ranked probability score, in data units",
    "csi": "critical success index, mean over thresholds",
    "spread": "spread of the members over the error of their mean; 1 is best",
    "vs_adv": "skill of the MSE against the last frame, carried on by its motion",
    "vs_pers": "skill of the MSE against the last frame, as it is",
}
TITLE = "Model card of"
NO_LICENCE = (
    "None was given for these weights. They come from the frames above, whose licence may bind "
    "them; the code that made and reads them is under Apache-2.0."
)


@dataclass(frozen=True)
class Facts:
    """The facts on a model that stand outside of its file.

    `scores` and `dataset` are the tables of the run whose data the model lies beside, empty where
    there are none. `onnx` are name and shape of the export, if there is one.
    """

    name: str
    digest: str
    scores: Mapping[str, Any]
    dataset: Mapping[str, Any]
    licence: str | None = None
    onnx: tuple[str, Shape] | None = None


def facts_of(
    path: Path, licence: str | None = None, onnx: tuple[str, Shape] | None = None
) -> Facts:
    """Return what lies beside a model file, and the SHA-256 of the file."""
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    metrics = path.parent / "metrics"
    scores, dataset = (_table(metrics / f"{name}.json") for name in ("scores", "dataset"))
    if type(dataset.get("frames")) is not int or not isinstance(dataset.get("windows"), dict):
        dataset = {}  # of another program
    return Facts(path.name, digest, scores, dataset, licence, onnx)


def is_free(path: Path) -> bool:
    """Return whether a card may be written to a path: nothing is there, or another card is."""
    if not path.is_file():
        return True
    with path.open("rb") as file:
        return file.readline().startswith(f"# {TITLE} ".encode())


def text(model: Model, facts: Facts) -> str:
    """Return the card as Markdown, without a date: equal models, equal cards."""
    parts = {
        f"{TITLE} {facts.name}": _summary(model, facts),
        "Trained on": _data(model, facts.dataset),
        "Scores": _scores(facts.scores),
        "How to load it": _loading(model, facts),
        "Limits": _limits(model),
        "Licence": [facts.licence or NO_LICENCE],
        "Params": _params(model),
    }
    pieces = [
        "\n".join([f"{'#' if number == 0 else '##'} {head}", "", *lines])
        for number, (head, lines) in enumerate(parts.items())
    ]
    return "\n\n".join(pieces) + "\n"


def _summary(model: Model, facts: Facts) -> Iterator[str]:
    a, g = model.network.architecture, model.geometry
    layers = ", ".join(map(str, a.hidden_channels))
    weights = sum(weight.numel() for weight in model.network.parameters())
    size = "any size" if a.takes_any_size else "that size and, in tiles, larger ones"
    yield (
        f"It forecasts {model.forecast_frames} frames from the last {model.context_frames}: "
        f"{a.cell} of {layers} hidden channels, readout {a.readout}, {weights:,} weights."
    )
    yield f"Trained on frames of {g.rows} x {g.cols} pixels, it takes frames of {size}."
    yield f"Written by convlstm {VERSION}; SHA-256 of the file: `{facts.digest}`."


def _data(model: Model, dataset: Mapping[str, Any]) -> Iterator[str]:
    if dataset:
        windows = dataset["windows"]
        yield (
            f"{dataset['frames']:,} frames of {dataset.get('sequences')} sequences, "
            f"{dataset.get('size')} pixels"
            + (f", {dataset['first']} to {dataset['last']} (UTC)" if dataset.get("first") else "")
            + f"; windows: {', '.join(f'{count} {split}' for split, count in windows.items())}."
        )
    else:
        yield "No description of the frames lies beside the model."
    yield ""
    yield "| channel | unit | range of values | transform |"
    yield "|---|---|---|---|"
    channels = [
        (own.name, own.unit) for own in model.quantities for _ in range(own.first, own.stop)
    ]
    curves = zip(channels, model.scaling.curves, strict=True)
    for number, ((name, unit), curve) in enumerate(curves, start=1):
        low, high = curve.pair
        cells = (name or number, unit or "not told", f"{low:g} to {high:g}", curve.transform)
        yield _row(*cells)


def _scores(scores: Mapping[str, Any]) -> Iterator[str]:
    if not scores:
        yield "No scores lie beside the model."
        return
    yield "On the test windows of its run, means over lead times:"
    yield ""
    yield "| score | value | meaning |"
    yield "|---|---|---|"
    for key, value in families.flat(scores).items():
        shown = "none" if value is None else value
        yield _row(key, shown, SCORES.get(key.rpartition(".")[2], ""))


def _row(*cells: object) -> str:
    """Return a row of a table, of which no name can make a cell or a line of its own."""
    shown = (visible(str(cell)).replace("|", r"\|") for cell in cells)
    return f"| {' | '.join(shown)} |"


def _loading(model: Model, facts: Facts) -> Iterator[str]:
    few = ", members=24, seed=0" if model.network.architecture.scales else ""
    yield "```python"
    yield "import convlstm  # pip install . in its repository"
    yield ""
    yield f'forecaster = convlstm.load("{facts.name}")'
    yield f"forecast = forecaster.predict(frames, steps={model.forecast_frames}{few})"
    yield "```"
    yield ""
    yield (
        "`frames` is an array (time, channel, row, col) of physical values, NaN where nothing was "
        "measured. Nothing in the file is executed."
    )
    if facts.onnx is not None:
        name, (steps, size) = facts.onnx
        yield ""
        yield (
            f"`{name}` does the same in any ONNX runtime, without members: `frames` (batch, time, "
            "channel, row, col) in float32 become `forecast`."
        )
        yield (
            "`steps` is an input, too."
            if steps is None
            else f"It makes {steps} steps of a batch of 1."
        )
        if size is not None:
            yield f"It takes frames of {size[0]} x {size[1]} pixels."


def _limits(model: Model) -> Iterator[str]:
    a, trained = model.network.architecture, model.forecast_frames
    yield f"- Beyond {trained} steps nothing was trained; forecasts go on and get worse."
    yield "- No forecast leaves the range of values above, whatever happens in the world."
    yield "- The frames must be as far apart in time and space as those of training."
    if a.scales:
        yield "- One forecast without members is smooth; members are equally likely futures."
    else:
        yield "- It is one forecast without an ensemble: where it is unsure, it blurs."
    yield "- It was scored on frames like those of its training alone: test it on yours."


def _params(model: Model) -> Iterator[str]:
    yield "```yaml"
    scaling = {
        "out_of_range": model.scaling.out_of_range,
        "missing_value": model.scaling.missing_value,
    }
    for key, value in sorted({**model.params, **model.reading, **scaling}.items()):
        yield f"{key}: {json.dumps(value)}"
    yield "```"


def _table(path: Path) -> Mapping[str, Any]:
    """Return a table that a stage has written; nothing if there is none to be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def about(model: Model, facts: Facts) -> dict[str, Any]:
    """Return what an ONNX file tells of itself."""
    return {
        "model": facts.name,
        "model_sha256": facts.digest,
        "version": VERSION,
        "context_frames": model.context_frames,
        "forecast_frames": model.forecast_frames,
        "value_range": model.scaling.value_range,
        "units": _units(model.quantities),
    }


def _units(quantities: Iterable[Any]) -> list[str]:
    return [own.unit for own in quantities for _ in range(own.first, own.stop)]
