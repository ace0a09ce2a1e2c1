"""data/model.safetensors, data/patches.h5 -> data/metrics/ (CSVs, summary), data/forecasts.h5."""

from pathlib import Path

from tqdm import tqdm

from convlstm import files, store
from convlstm.params import Evaluate
from stages import start

PATCHES, MODEL = Path("data/patches.h5"), Path("data/model.safetensors")
BY_LEAD, BASELINES = Path("data/metrics/by_lead.csv"), Path("data/metrics/baselines.csv")
SUMMARY, FORECASTS = Path("data/metrics/summary.json"), Path("data/forecasts.h5")


def main(params: Evaluate) -> None:
    """Score the model and the baselines on the test windows; keep the windows that are drawn."""
    # here and not above: torch takes seconds to import, and a typo in params.yaml should not wait
    from convlstm import evaluation, model
    from convlstm.batches import Batches
    from convlstm.network import default_device

    with store.reading(PATCHES) as file:
        batches, trained = Batches(file), model.load(MODEL, default_device())
        result = evaluation.Result()
        with tqdm(total=batches.count("test"), desc="evaluate", unit=" windows") as bar:
            for windows in evaluation.score(trained, batches, result):
                bar.update(windows)
        tables = evaluation.tables(result)
        files.write_csv(BY_LEAD, tables.pop("model"))
        files.write_csv(
            BASELINES,
            [{"forecaster": name, **row} for name, rows in tables.items() for row in rows],
        )
        files.write_json(SUMMARY, evaluation.summary(result))
        with store.create(FORECASTS) as drawn:
            store.describe(drawn, value_range=trained.scaling.value_range)
            for sample in evaluation.samples(trained, batches, result, params.sample_windows):
                store.write_forecast(drawn, **vars(sample))


if __name__ == "__main__":
    start(main, Evaluate)
