"""Writes the tables of docs/ that are made from the code: `python -m tests.house.pages`."""

import re
import tempfile
from pathlib import Path

from convlstm.scores import families
from tests.builders import ROOT
from tests.house import walk

TABLES = {"by_lead.csv": families.BY_LEAD, "by_threshold.csv": families.BY_THRESHOLD}
TABLES |= {"by_scale.csv": families.BY_SCALE}


def scores() -> str:
    """The table of all scores."""
    lines = ["| column | in | definition | unit | better | source |", "|---|---|---|---|---|---|"]
    for table, entries in TABLES.items():
        for score in entries:
            cells = (
                f"`{score.key}`",
                table,
                score.meaning,
                score.unit,
                score.better or "",
                score.source,
            )
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def way() -> str:
    """The table of the way of a frame; takes as long as a small run of the pipeline."""
    with tempfile.TemporaryDirectory() as folder:
        return walk.table(walk.walk(Path(folder)))


def put(page: str, mark: str, table: str) -> str:
    """Return the text of a page with a table between `mark` and its end."""
    return re.sub(
        rf"(<!-- {mark} -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}{table}\n{found[2]}",
        page,
        flags=re.DOTALL,
    )


PAGES = {
    ROOT / "docs/scores.md": ("the scores", scores),
    ROOT / "docs/architecture.md": ("the way", way),
}

if __name__ == "__main__":
    for path, (mark, table) in PAGES.items():
        text = path.read_text(encoding="utf-8")
        path.write_text(put(text, mark, table()), encoding="utf-8")
