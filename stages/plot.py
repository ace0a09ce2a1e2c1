"""data/metrics/, data/forecasts.h5 -> data/plots/, data/curves/: all that is drawn, and the page.

It takes ten seconds and 4 MB for three windows; it runs as `python -m stages.plot`.
"""

from pathlib import Path

from convlstm.plot.params import Plot
from convlstm.runtime import console, files
from convlstm.storage import forecasts, hdf5
from stages.launch import start

METRICS, PLOTS, CURVES = Path("data/metrics"), Path("data/plots"), Path("data/curves")
DATASET, FORECASTS = METRICS / "dataset.json", Path("data/forecasts.h5")
SUMS = tuple(METRICS / f"{stage}.sha256" for stage in ("patch", "train", "evaluate"))


def main(params: Plot) -> None:
    """Draw everything, then put it on one page."""
    # Imported here, because they take a second and a typo in params.yaml should not wait for them.
    from convlstm.plot import curves, figures, pictures, tables
    from convlstm.plot.page import page, read_dataset

    found = tables.read(METRICS)
    files.check_sums([DATASET, *(METRICS / f"{name}.csv" for name in found)], SUMS)
    with hdf5.open_complete(FORECASTS) as file:
        windows, run = forecasts.read(file)
    run["dataset"] = read_dataset(DATASET)
    units = [own.unit for own in windows[0].quantities]
    strips = {
        f"strip{number}": (window.label, pictures.strip(window))
        for number, window in enumerate(windows, start=1)
    }
    charts = strips | figures.all_of(found, run["params"], units)
    leads = dict(pictures.lead_pictures(windows[0]))
    drawn = leads | {name: pictures.png(chart) for name, (_, chart) in charts.items()}
    for name, curve in curves.all_of(found).items():
        files.write_csv(CURVES / f"{name}.csv", curve.to_dict("records"))
    with files.replacing_folder(PLOTS) as plots:
        for name, content in drawn.items():
            (plots / f"{name}.png").write_bytes(content)
        for name, (frame, quantity) in pictures.numbered(windows[0]).items():
            pictures.save_frame(plots / f"{name}.png", frame, quantity)
        pictures.save_comparison(
            plots / "forecast.gif", windows[0], frames_per_second=params.gif_frames_per_second
        )
        shown = [("forecast.gif", f"Film of {windows[0].label}")]
        shown += [(f"{name}.png", caption) for name, (caption, _) in charts.items()]
        text = page(run, figures.scored(found, units), shown, [f"{name}.png" for name in leads])
        (plots / "report.html").write_text(text, encoding="utf-8")
    console.say(f"plot: the page is {PLOTS / 'report.html'}")


if __name__ == "__main__":
    start(main, Plot)
