"""data/metrics/, data/forecasts.h5 -> data/plots/: charts, pictures, a film and the page.

It takes ten seconds and 10 MB for three windows; it runs as `python -m stages.plot`.
"""

from pathlib import Path

from convlstm.plot.params import Plot
from convlstm.runtime import files
from convlstm.storage import forecasts, hdf5
from stages.launch import start

DATASET = Path("data/metrics/dataset.json")
METRICS, FORECASTS = Path("data/metrics"), Path("data/forecasts.h5")
PLOTS = Path("data/plots")
TABLES = (
    *("training", "by_lead", "baselines", "by_threshold", "by_scale"),
    *("spectrum", "reliability", "ranks"),
)


def main(params: Plot) -> None:
    """Draw everything, then put it on one page."""
    # Imported here, because they take a second and a typo in params.yaml should not wait for them.
    import pandas as pd

    from convlstm.plot import figures, pictures
    from convlstm.plot.page import page, read_dataset

    tables = {name: pd.read_csv(METRICS / f"{name}.csv") for name in TABLES}
    dataset = read_dataset(DATASET)
    with hdf5.open_complete(FORECASTS) as file:
        windows, run = forecasts.read(file)
    units = [own.unit for own in windows[0].quantities]
    strips = {
        f"strip{number}": (window.label, pictures.strip(window))
        for number, window in enumerate(windows, start=1)
    }
    shown = [("forecast.gif", f"Film of {windows[0].label}")]
    with files.replacing_folder(PLOTS) as plots:
        charts = strips | figures.all_of(tables, run["params"], units)
        for name, (caption, chart) in charts.items():
            figures.save(plots / f"{name}.png", chart)
            shown.append((f"{name}.png", caption))
        for name, (frame, quantity) in pictures.numbered(windows[0]).items():
            pictures.save_frame(plots / f"{name}.png", frame, quantity)
        pictures.save_comparison(
            plots / "forecast.gif", windows[0], frames_per_second=params.gif_frames_per_second
        )
        contents = [(name, caption, (plots / name).read_bytes()) for name, caption in shown]
        about, leads = run | {"dataset": dataset}, list(pictures.lead_pictures(windows[0]))
        text = page(about, figures.scored(tables, units), contents, leads)
        (plots / "report.html").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    start(main, Plot)
