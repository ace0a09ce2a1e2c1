"""Experiments as DVC keeps them, read through its interface."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from dvc.api import DVCFileSystem, exp_show, metrics_show, params_show
from dvc.exceptions import DvcException
from jaxtyping import Float

import convlstm
from convlstm.plot.comparison import Experiment
from convlstm.plot.curves import NAMES
from convlstm.runtime.errors import BadInput
from convlstm.scores.families import flat

MODEL, CURVES = "data/model.safetensors", "data/curves"


def named(revisions: list[str]) -> dict[str, str]:
    """Return the revisions to compare by their names, or HEAD and all that began there.

    Raises:
        BadInput: there is no such revision, or no repository here.
    """
    try:
        if revisions:
            rows = [row for own in revisions for row in exp_show(revs=own)[1:2]]
        else:
            rows = exp_show()
    except DvcException as error:
        raise BadInput(f"{', '.join(revisions) or 'HEAD'}: {error}") from None
    found = {row["Experiment"] or row["rev"]: row["rev"] for row in rows}
    return {name: rev for name, rev in found.items() if rev != "workspace"}


def read(
    name: str, rev: str, context: Float[np.ndarray, "known channel row col"]
) -> tuple[Experiment, str]:
    """Return an experiment, and why its model cannot forecast, or an empty text.

    Args:
        name: of the experiment.
        rev: its revision.
        context: physical values, from which its model shall forecast.

    Raises:
        BadInput: its outputs are neither in git nor in the cache.
    """
    files = DVCFileSystem(rev=rev)
    try:
        scores, params = flat(metrics_show(rev=rev)), params_show(rev=rev)
        curves = {key: pd.read_csv(files.open(f"{CURVES}/{key}.csv")) for key in NAMES}
        with TemporaryDirectory() as folder:
            files.get_file(MODEL, str(Path(folder, "model.safetensors")))
            model = convlstm.load(Path(folder, "model.safetensors"))
    except (OSError, DvcException) as error:
        raise BadInput(
            f"{name}: its outputs are not here ({error}); run it, or `dvc exp pull` it"
        ) from None
    members = params["test_members"] if params["members"] > 1 else 1
    try:
        forecast = model.predict(context, members=members)
    except BadInput as error:
        return Experiment(name, scores, params, curves, None), str(error)
    mean = forecast.mean(axis=0) if members > 1 else forecast
    return Experiment(name, scores, params, curves, mean), ""
