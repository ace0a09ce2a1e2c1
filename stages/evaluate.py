"""data/model.safetensors, data/patches.h5 -> data/metrics/, data/forecasts.h5."""

from pathlib import Path

from tqdm import tqdm

from convlstm.params.groups import Evaluate
from convlstm.runtime import files
from convlstm.storage import hdf5, store
from stages import start

PATCHES, MODEL = Path("data/patches.h5"), Path("data/model.safetensors")
METRICS, FORECASTS = Path("data/metrics"), Path("data/forecasts.h5")


def main(params: Evaluate) -> None:
    """Score the model and the baselines on the test windows; keep the windows that are drawn."""
    with hdf5.reading(PATCHES) as file:
        # here and not above: torch takes seconds to import, and no mistake should wait for it
        from convlstm.evaluate import scoring, selection, tables
        from convlstm.model import model_file
        from convlstm.model.batches import Batches
        from convlstm.model.device import default_device

        batches, trained = Batches(file, repeated=False), model_file.load(MODEL, default_device())
        scoring.check_same_data(trained, batches, MODEL)
        asked = scoring.setting(batches, params)
        with tqdm(total=batches.count("test"), desc="evaluate", unit=" windows") as bar:
            for scores in scoring.score(trained, batches, asked):
                bar.update(len(scores["model"].window_mse) - bar.n)
        rows = {name: tables.by_lead(of, asked) for name, of in scores.items()}
        files.write_csv(METRICS / "by_lead.csv", rows.pop("model"))
        files.write_csv(
            METRICS / "baselines.csv",
            [{"forecaster": name, **row} for name, table in rows.items() for row in table],
        )
        files.write_csv(METRICS / "by_threshold.csv", list(tables.by_threshold(scores, asked)))
        files.write_csv(METRICS / "by_scale.csv", list(tables.by_scale(scores, asked)))
        files.write_csv(METRICS / "spectrum.csv", list(tables.spectrum(scores, asked)))
        files.write_json(METRICS / "summary.json", tables.summary(scores, asked))
        with hdf5.create(FORECASTS) as drawn:
            facts = scoring.facts(trained, batches, params)
            hdf5.describe(drawn, value_range=trained.scaling.value_range, **facts)
            for sample in selection.samples(trained, batches, scores, params.sample_windows):
                store.write_forecast(drawn, **vars(sample))


if __name__ == "__main__":
    start(main, Evaluate)
