"""data/metrics/, data/forecasts.h5 -> data/plots/, data/curves/: all that is drawn, and the page.

It takes ten seconds and 3 MB for three windows; it runs as `python -m stages.plot`. `dvc plots`
shows data/plots/overview/ and the curves; who takes the page elsewhere takes all of data/plots/.
"""

from pathlib import Path

from convlstm.plot.params import Plot
from convlstm.runtime import console, files
from convlstm.storage import forecasts, hdf5
from stages.launch import start

METRICS, PLOTS, CURVES = Path("data/metrics"), Path("data/plots"), Path("data/curves")
DATASET, FORECASTS = METRICS / "dataset.json", Path("data/forecasts.h5")
SUMS = tuple(METRICS / f"{stage}.sha256" for stage in ("patch", "train", "evaluate"))
OVERVIEW, DETAILS, PAGE = (PLOTS / name for name in ("overview", "details", "report.html"))
FILM = "forecast.gif"


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
    for name, curve in curves.all_of(found).items():
        files.write_csv(CURVES / f"{name}.csv", curve.to_dict("records"))
    charts = {
        f"overview/strip{number}.png": (window.label, pictures.strip(window))
        for number, window in enumerate(windows, start=1)
    }
    for name, chart in figures.all_of(found, run["params"], units).items():
        charts[f"{'overview' if name == 'lead_time' else 'details'}/{name}.png"] = chart
    leads = {f"details/{name}.png": own for name, own in pictures.lead_pictures(windows[0])}
    drawn = leads | {name: pictures.png(chart) for name, (_, chart) in charts.items()}
    for name, frame in pictures.numbered(windows[0]).items():
        drawn[f"details/{name}.png"] = pictures.png_of_frame(*frame)
    with files.replacing_folder(OVERVIEW) as overview, files.replacing_folder(DETAILS) as details:
        for name, content in drawn.items():
            folder = overview if name.startswith("overview") else details
            (folder / Path(name).name).write_bytes(content)
        speed = params.gif_frames_per_second
        pictures.save_comparison(overview / FILM, windows[0], frames_per_second=speed)
    shown = [(f"overview/{FILM}", f"Film of {windows[0].label}")]
    shown += [(name, caption) for name, (caption, _) in charts.items()]
    with files.replacing(PAGE) as temporary:
        text = page(run, figures.scored(found, units), shown, list(leads))
        temporary.write_text(text, encoding="utf-8")
    console.say(f"plot: the page is {PAGE}")


if __name__ == "__main__":
    start(main, Plot)
