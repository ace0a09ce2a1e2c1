"""The families holds every score once, and a new score takes one entry and no other change."""

import importlib
import json
import pkgutil
import shutil
from typing import Any

import pytest

from convlstm import scores
from convlstm.scores import families
from convlstm.scores.score import Score
from tests.builders import ROOT, run_stage

NEW_SCORES = {
    "frame": "lambda m: 7 + 0 * m.mse",
    "continuous": "lambda m, width: 7 + 0 * m.n",
    "ensemble": "lambda s, width: 7 + 0 * s.n",
    "ranks": "lambda counts: 7 + 0 * counts[:, 0]",
    "variogram": "lambda s, width: 7 + 0 * s.weights",
    "temporal": "lambda c: 7 + 0 * c.truth",
    "spectral": "lambda s: 7 + 0 * s.lattice[:, 0]",
    "categorical": "lambda c: 7 + 0 * c.hits",
    "probability": "lambda f: 7 + 0 * f.events.sum(axis=-1)",
    "spatial": "lambda f: 7 + 0 * f.truth_squared",
}
"""A function of a new score for each family."""

PROBE = """
import json, sys
import pandas as pd, torch
from convlstm.evaluate import tables
from convlstm.evaluate.scoring import ScoreConfig, Scores, measured
from convlstm.patch.folding import Geometry
from convlstm.storage.meaning import Quantity
from convlstm.plot import figures
from convlstm.plot.page import Scored, page

config = ScoreConfig(Geometry(1, 8, 8, 4), Quantity(), (0.5,), (1, 4), 2)
truth, results = torch.rand(1, 2, 1, 8, 8, generator=torch.Generator().manual_seed(0)), {}
for name in ("model", "zeros"):
    results[name] = Scores()
    results[name].add([0], *measured(config.pooling(), truth[None] / 2, truth, truth >= 0))
rows = tables.all_of(results, config)
by_lead, baselines = pd.DataFrame(rows["by_lead"]), pd.DataFrame(rows["baselines"])
means = figures.means(by_lead, baselines)
run = {"params": {}, "device": "", "precision": "", "data": {"sequences": 1, "channels": 1}}
run["data"] |= {"frame": (8, 8), "train": 1, "valid": 1, "test": 1}
run["dataset"] = {"sequences": 0, "channels": {}, "by_sequence": {}}
scored = Scored("", means, figures.means_of_events(pd.DataFrame(rows["by_threshold"])))
panels = figures.lead_times(by_lead, baselines).axes
json.dump({
    "rows": {name: table[0] for name, table in rows.items()},
    "summary": (summary := tables.summary(results, config))["model"],
    "skill": summary["skill_against_zeros"],
    "panels": {axes.get_ylabel(): list(axes.lines[0].get_ydata()) for axes in panels if axes.lines},
    "page": page(run, [scored], []),
}, sys.stdout)
"""


def test_every_score_of_every_family_is_in_the_catalogue() -> None:
    modules = [
        importlib.import_module(f"convlstm.scores.{module.name}")
        for module in pkgutil.iter_modules(scores.__path__)
    ]
    of_families = [score for module in modules for score in getattr(module, "SCORES", ())]
    assert len(of_families) > 10
    assert sorted(score.key for score in families.ALL) == sorted(score.key for score in of_families)


def test_no_two_scores_share_a_column_or_a_label() -> None:
    for names in ([score.key for score in families.ALL], [score.label for score in families.ALL]):
        assert len(set(names)) == len(names)


def test_a_score_beside_the_truths_has_the_truths_beside_it() -> None:
    keys = [score.key for score in families.BY_LEAD]
    beside = [score.key for score in families.ALL if score.better == "near the truth's"]
    assert beside == ["sharpness"]
    assert all(f"truth_{key}" in keys for key in beside)


@pytest.mark.parametrize(
    "score", [score for score in families.ALL if score.perfect is not None], ids=lambda s: s.key
)
def test_nothing_a_score_can_be_is_better_than_perfect(score: Score) -> None:
    assert score.perfect is not None
    perfect = score.badness(score.perfect, {})
    # MSE and FMAE are at least 0, SSIM and CSI at most 1
    possible = (0.0, 1e-6, 0.5, 1.0) if score.better == "high" else (0.0, 1e-6, 1.0, 1e6)
    assert all(score.badness(value, {}) >= perfect for value in possible)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Tables and page as a copy of the package makes them whose families have one entry more."""
    folder = tmp_path_factory.mktemp("one entry more")
    shutil.copytree(
        ROOT / "convlstm", folder / "convlstm", ignore=shutil.ignore_patterns("__pycache__")
    )
    for family, function in NEW_SCORES.items():
        path = folder / f"convlstm/scores/{family}.py"
        text, entries = path.read_text(encoding="utf-8"), "\nSCORES = (\n"
        assert text.count(entries) == 1
        entry = (
            f'Score("new_{family}", "a new {family}", "", "low", "it is <7>", "", {function}, 0.0)'
        )
        path.write_text(text.replace(entries, f"{entries}    {entry},\n"), encoding="utf-8")
    (folder / "probe.py").write_text(PROBE, encoding="utf-8")
    done = run_stage(folder, "probe.py")  # which puts its own folder before this repository
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content


@pytest.mark.xdist_group("one entry more")
@pytest.mark.parametrize(
    "family", ["frame", "continuous", "ensemble", "ranks", "variogram", "temporal", "spectral"]
)
def test_one_entry_by_lead_is_a_column_a_mean_a_panel_and_a_definition(
    shown: dict[str, Any], family: str
) -> None:
    key, label = f"new_{family}", f"a new {family}"
    assert shown["rows"]["by_lead"][key] == shown["rows"]["baselines"][key] == 7
    assert shown["summary"][key] == 7
    assert shown["panels"][label] == [7, 7]
    assert shown["page"].count(f'<td data-column="{key}" data-value="7"') == 2
    assert f"<dt>{label} (better: low)</dt><dd>it is &lt;7&gt;</dd>" in shown["page"]


@pytest.mark.xdist_group("one entry more")
@pytest.mark.parametrize(
    ("family", "table"),
    [("categorical", "by_threshold"), ("probability", "by_threshold"), ("spatial", "by_scale")],
)
def test_one_entry_for_events_is_a_column_and_a_definition(
    shown: dict[str, Any], family: str, table: str
) -> None:
    assert shown["rows"][table][f"new_{family}"] == 7
    definition = f"<dt>a new {family} (better: low)</dt><dd>it is &lt;7&gt;</dd>"
    assert definition in shown["page"]


@pytest.mark.xdist_group("one entry more")
@pytest.mark.parametrize("family", NEW_SCORES)
def test_one_entry_with_a_perfect_value_is_a_skill(shown: dict[str, Any], family: str) -> None:
    # both score 7 where 0 is perfect
    assert shown["skill"][f"new_{family}"] == 0


def test_the_headline_of_several_channels_has_a_key_for_each_score_of_each() -> None:
    nested = {"rain": {"mse": 2.0, "csi": 0.5}, "t": {"mse": 9.0}}
    assert families.flat(nested) == {"rain.mse": 2.0, "rain.csi": 0.5, "t.mse": 9.0}
    assert families.flat({"mse": 2.0, "crps": None}) == {"mse": 2.0, "crps": None}
