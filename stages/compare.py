"""Experiments side by side: `python -m stages.compare [REVISION...]` writes compare.html.

It is no stage of the pipeline. Without a revision it takes HEAD and the experiments that began
there, as `dvc exp show` does. Scores, params, curves and models come from git and DVC's cache; each
model forecasts the test window that data/forecasts.h5 in the workspace has first.
"""

import argparse
from functools import partial
from pathlib import Path

from convlstm.runtime import console, exits, files
from convlstm.scores.families import HEADLINE
from convlstm.storage import forecasts, hdf5

FORECASTS, PAGE = Path("data/forecasts.h5"), Path("compare.html")


def main(asked: argparse.Namespace) -> None:
    """Read the experiments, and write the page."""
    with hdf5.open_complete(FORECASTS) as file:
        (window, *_), _ = forecasts.read(file)
    # Imported here, because they take seconds and no mistake should wait for them.
    from convlstm.plot import comparison
    from stages import experiments

    found = []
    for name, revision in experiments.named(asked.revisions).items():
        own, reason = experiments.read(name, revision, window.context)
        found.append(own)
        if reason:
            console.say(f"compare: {name} cannot forecast the window: {reason}")
    ordered = comparison.by_score(found, asked.sort)
    text = comparison.text(ordered, window.truth, window.quantities[0], window.label)
    with files.replacing(PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    console.say(f"compare: the page of {len(found)} experiments is {PAGE}")


if __name__ == "__main__":
    about, *more = (__doc__ or "").split("\n\n")
    parser = argparse.ArgumentParser("python -m stages.compare", description=about)
    parser.add_argument("revisions", nargs="*", metavar="REVISION")
    parser.add_argument("--sort", default="crps", choices=tuple(HEADLINE))
    exits.run(partial(main, parser.parse_args()))
