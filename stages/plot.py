"""data/metrics/*.csv, data/forecasts.h5 -> data/plots/: charts, pictures, a film and the report."""

from pathlib import Path

from convlstm.params.groups import Plot
from convlstm.runtime import files
from convlstm.storage import hdf5, store
from stages import start

METRICS, FORECASTS = Path("data/metrics"), Path("data/forecasts.h5")
PLOTS = Path("data/plots")
TABLES = ("training", "by_lead", "baselines", "by_threshold", "by_scale", "spectrum")


def main(params: Plot) -> None:
    """Draw everything, then put it on one page."""
    # here and not above: they take a second to import, and a typo in params.yaml should not wait
    import pandas as pd

    from convlstm.plot import figures, page, pictures

    tables = {name: pd.read_csv(METRICS / f"{name}.csv") for name in TABLES}
    with hdf5.reading(FORECASTS) as file:
        facts, value_range = hdf5.description(file), hdf5.description(file)["value_range"]
        windows = [
            pictures.Window(value_range=value_range, **parts) for parts in store.forecasts(file)
        ]
    strips = {
        f"strip{number}": (window.label, pictures.strip(window))
        for number, window in enumerate(windows, start=1)
    }
    shown = [("forecast.gif", f"Film of {windows[0].label}")]
    with files.replacing_folder(PLOTS) as plots:
        for name, (caption, chart) in (strips | figures.all_of(tables)).items():
            figures.save(plots / f"{name}.png", chart)
            shown.append((f"{name}.png", caption))
        for name, frame in windows[0].numbered().items():
            pictures.save_frame(plots / f"{name}.png", frame, value_range=value_range)
        pictures.save_comparison(
            plots / "forecast.gif", windows[0], frames_per_second=params.gif_frames_per_second
        )
        contents = [(name, caption, (plots / name).read_bytes()) for name, caption in shown]
        means = figures.means(tables["by_lead"], tables["baselines"])
        text = page.page(facts, means, contents)
        (plots / "report.html").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    start(main, Plot)
