"""data/model.safetensors, data/patches/, data/frames/ -> data/metrics/, data/forecasts.h5.

It takes a second of CPU time per test window of 140 x 140 pixels, in constant memory, or a GPU; it
runs as `python -m stages.evaluate`.
"""

from pathlib import Path

from convlstm.evaluate.params import Evaluate
from convlstm.runtime import console, files
from convlstm.storage import forecasts, hdf5, patches
from stages.launch import start
from stages.progress import bar

PATCHES, FRAMES = Path("data/patches"), Path("data/frames")
MODEL = Path("data/model.safetensors")
METRICS, FORECASTS = Path("data/metrics"), Path("data/forecasts.h5")
SUMMARY, SCORES, SUMS = (
    METRICS / name for name in ("summary.json", "scores.json", "evaluate.sha256")
)


def main(params: Evaluate) -> None:
    """Score the model and the baselines on the test windows; keep the windows that are drawn."""
    with patches.opened(PATCHES, FRAMES) as stored:
        # Imported here, because torch takes seconds and no mistake should wait for it.
        from convlstm.evaluate import scoring, selection, tables
        from convlstm.model import model_file
        from convlstm.model.batches import Batches
        from convlstm.model.device import default_device

        batches, model = Batches(stored, repeated=False), model_file.load(MODEL, default_device())
        scoring.check_same_data(model, batches, MODEL)
        configs = scoring.ScoreConfig.each_of(batches, params)
        members = scoring.members_of(model, configs[0])
        keep = selection.candidates(batches, params.sample_windows, members=members)
        with bar("evaluate", batches.count("test"), "windows") as progress:
            for evaluation in scoring.evaluate(model, batches, configs, keep):
                progress.update(evaluation.windows - progress.n)
        rows = tables.of_quantities(evaluation.scores, configs)
        for name, own in rows.items():
            files.write_csv(METRICS / f"{name}.csv", own)
        summary = tables.summaries(evaluation.scores, configs)
        files.write_json(SUMMARY, summary)
        files.write_json(SCORES, tables.headline(summary))
        files.write_sums(SUMS, [*(METRICS / f"{name}.csv" for name in rows), SUMMARY, SCORES])
        with hdf5.create(FORECASTS) as drawn:
            run = scoring.about_run(model, batches, params)
            forecasts.describe(drawn, batches.quantities, run)
            for window in selection.drawn_windows(evaluation, batches, params.sample_windows):
                forecasts.append(drawn, window)
    for line in tables.in_words(summary):
        console.say(f"evaluate: {line}")


if __name__ == "__main__":
    start(main, Evaluate)
