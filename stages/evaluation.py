"""One process of an evaluation: alone, or one of the ranks, of which the first writes."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from convlstm.evaluate.params import Evaluate
from convlstm.runtime import console, files
from convlstm.storage import forecasts, hdf5
from convlstm.storage.patches import Patches
from stages.launch import alone
from stages.progress import bar
from stages.ranks import Place

if TYPE_CHECKING:
    from convlstm.evaluate.scoring import Evaluation
    from convlstm.model.batches import Batches
    from convlstm.model.model_file import Model

MODEL = Path("data/model.safetensors")
METRICS, FORECASTS = Path("data/metrics"), Path("data/forecasts.h5")
SUMMARY, SCORES, SUMS = (
    METRICS / name for name in ("summary.json", "scores.json", "evaluate.sha256")
)


def run(stored: Patches, params: Evaluate, place: Place) -> None:
    """Score our part of the test windows; the first rank writes the scores of all."""
    # Imported here, because torch takes seconds and no mistake should wait for it.
    from convlstm.evaluate import scoring, selection
    from convlstm.model import model_file
    from convlstm.model.batches import Batches
    from convlstm.model.device import default_device
    from convlstm.model.ranks import joined

    with (
        nullcontext() if place.number else alone(Evaluate),
        joined(place.number, place.count) as own,
    ):
        batches = Batches(stored, repeated=False)
        model = model_file.load(MODEL, default_device(place.local))
        scoring.check_same_data(model, batches, MODEL)
        configs = scoring.ScoreConfig.each_of(batches, params)
        members = scoring.members_of(model, configs[0])
        keep = selection.candidates(batches, params.sample_windows, members=members)
        parts = scoring.evaluate(model, batches, configs, keep, own)
        if not own.first:
            for _ in parts:  # which yields nothing, and sends our windows to the first rank
                pass
            return
        with bar("evaluate", batches.count("test"), "windows") as progress:
            for evaluation in parts:
                progress.update(evaluation.windows - progress.n)
        _write(evaluation, model, batches, params)


def _write(evaluation: "Evaluation", model: "Model", batches: "Batches", params: Evaluate) -> None:
    """Write the tables, the summary and the windows that are drawn, and say the scores."""
    from convlstm.evaluate import scoring, selection, tables

    rows = tables.of_quantities(evaluation.scores, evaluation.configs)
    for name, own in rows.items():
        files.write_csv(METRICS / f"{name}.csv", own)
    summary = tables.summaries(evaluation.scores, evaluation.configs)
    files.write_json(SUMMARY, summary)
    files.write_json(SCORES, tables.headline(summary))
    files.write_sums(SUMS, [*(METRICS / f"{name}.csv" for name in rows), SUMMARY, SCORES])
    with hdf5.create(FORECASTS) as drawn:
        about = scoring.about_run(model, batches, params)
        forecasts.describe(drawn, batches.quantities, about)
        for window in selection.drawn_windows(evaluation, batches, params.sample_windows):
            forecasts.append(drawn, window)
    for line in tables.in_words(summary):
        console.say(f"evaluate: {line}")
