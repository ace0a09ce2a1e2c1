"""data/metrics/*.csv, data/forecasts.h5 -> data/plots/: curves, pictures, strips and a film."""

from pathlib import Path

from convlstm import files, store
from convlstm.params import Plot
from stages import start

TRAINING, FORECASTS = Path("data/metrics/training.csv"), Path("data/forecasts.h5")
BY_LEAD, BASELINES = Path("data/metrics/by_lead.csv"), Path("data/metrics/baselines.csv")
PLOTS = Path("data/plots")


def main(params: Plot) -> None:
    """Draw everything."""
    # here and not above: they take a second to import, and a typo in params.yaml should not wait
    import pandas as pd

    from convlstm import figures, pictures

    charts = figures.training_curves(pd.read_csv(TRAINING))
    charts["lead_time"] = figures.lead_times(pd.read_csv(BY_LEAD), pd.read_csv(BASELINES))
    with store.reading(FORECASTS) as file:
        value_range = store.description(file)["value_range"]
        windows = [
            pictures.Window(value_range=value_range, **parts) for parts in store.forecasts(file)
        ]
    charts |= {
        f"strip{number}": pictures.strip(window) for number, window in enumerate(windows, start=1)
    }
    for name, figure in charts.items():
        with files.replacing(PLOTS / f"{name}.png") as path:
            figures.save(path, figure)
    for name, frame in windows[0].numbered().items():
        with files.replacing(PLOTS / f"{name}.png") as path:
            pictures.save_frame(path, frame, value_range=value_range)
    with files.replacing(PLOTS / "forecast.gif") as path:
        pictures.save_comparison(path, windows[0], frames_per_second=params.gif_frames_per_second)


if __name__ == "__main__":
    start(main, Plot)
