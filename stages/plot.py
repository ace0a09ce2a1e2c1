"""data/metrics/*.csv, data/forecasts.h5 -> data/plots/: charts, pictures, a film and the report."""

from pathlib import Path

from convlstm import files, store
from convlstm.params import Plot
from stages import start

METRICS, FORECASTS = Path("data/metrics"), Path("data/forecasts.h5")
PLOTS = Path("data/plots")
TABLES = ("training", "by_lead", "baselines", "by_threshold", "by_scale", "spectrum")


def main(params: Plot) -> None:
    """Draw everything, then put it on one page."""
    # here and not above: they take a second to import, and a typo in params.yaml should not wait
    import pandas as pd

    from convlstm import figures, pictures, report

    tables = {name: pd.read_csv(METRICS / f"{name}.csv") for name in TABLES}
    with store.reading(FORECASTS) as file:
        facts, value_range = store.description(file), store.description(file)["value_range"]
        windows = [
            pictures.Window(value_range=value_range, **parts) for parts in store.forecasts(file)
        ]
    strips = {
        f"strip{number}": (window.label, pictures.strip(window))
        for number, window in enumerate(windows, start=1)
    }
    shown = [("forecast.gif", f"Film of {windows[0].label}")]
    for name, (caption, chart) in (strips | figures.all_of(tables)).items():
        with files.replacing(PLOTS / f"{name}.png") as path:
            figures.save(path, chart)
        shown.append((f"{name}.png", caption))
    for name, frame in windows[0].numbered().items():
        with files.replacing(PLOTS / f"{name}.png") as path:
            pictures.save_frame(path, frame, value_range=value_range)
    with files.replacing(PLOTS / "forecast.gif") as path:
        pictures.save_comparison(path, windows[0], frames_per_second=params.gif_frames_per_second)
    contents = [(name, caption, (PLOTS / name).read_bytes()) for name, caption in shown]
    means = figures.means(tables["by_lead"], tables["baselines"])
    with files.replacing(PLOTS / "report.html") as path:
        path.write_text(report.page(facts, means, contents), encoding="utf-8")


if __name__ == "__main__":
    start(main, Plot)
