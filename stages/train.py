"""data/patches.h5 -> data/model.safetensors, data/metrics/training.csv."""

from pathlib import Path

from tqdm import tqdm

from convlstm import files, store
from convlstm.params import Train
from stages import start

PATCHES = Path("data/patches.h5")
MODEL, TRAINING = Path("data/model.safetensors"), Path("data/metrics/training.csv")


def main(params: Train) -> None:
    """Train, and write a row of training.csv after each epoch."""
    with store.reading(PATCHES) as file:
        # here and not above: torch takes seconds to import, and no mistake should wait for it
        from convlstm import model, training
        from convlstm.batches import Batches
        from convlstm.network import default_device

        learner = training.Training(Batches(file, repeated=True), params, default_device())
        rows: list[dict[str, int | float]] = []
        with tqdm(
            total=learner.iterations, desc=f"train on {learner.device}", unit=" batches"
        ) as bar:

            def show(mse: float) -> None:
                bar.set_postfix(epoch=len(rows) + 1, mse=f"{mse:.4g}", refresh=False)
                bar.update()

            for epoch in learner.epochs(show):
                rows.append(epoch.row())
                files.write_csv(TRAINING, rows)
    model.save(MODEL, learner.model)


if __name__ == "__main__":
    start(main, Train)
