"""The bar of a training, and the rows of its table."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from convlstm.train.loop import Training
from stages.progress import bar


@contextmanager
def progress(training: Training) -> Iterator[Callable[[float], None]]:
    """Yield a function that is called with the loss of each step and moves a bar on."""
    name = f"train on {training.device} in {training.precision}"
    done, total = training.iteration, training.budget.steps
    with bar(name, total, "batches", initial=done) as own:

        def show(loss: float) -> None:
            own.set_postfix_str(f"{training.state_in_words}, loss {loss:.4g}", refresh=False)
            own.update()

        yield show


def table(training: Training) -> list[dict[str, int | float]]:
    """Return the rows of training.csv, one for each epoch that is done."""
    return [epoch.row() for epoch in training.finished]
