"""A score as an entry of its family: its name, its definition, what is better, and its function.

Tables, charts, the page and docs/scores.md are made from these entries. To add a score, add one
entry, with its function, to the family that it belongs to, and a test beside it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

Better = Literal["low", "high", "near 0", "near 1", "near the truth's"]
Row = Mapping[str, Any]
"""The scores of one forecaster, by key."""


@dataclass(frozen=True)
class Score:
    """One score.

    `key` is its column in the tables, `label` its name on charts and on the page. `compute` takes
    what its family sums up, as the family's module says. `better` is None for a value that is no
    score of the forecast but stands beside one. A score with a `perfect` value also gets a skill
    against each baseline. `source` names where the definition comes from.
    """

    key: str
    label: str
    unit: str
    better: Better | None
    meaning: str
    source: str
    compute: Callable[..., Any]
    perfect: float | None = None

    def badness(self, value: float, row: Row) -> float:
        """Return how bad `value` is: the smaller, the better.

        Args:
            value: of this score.
            row: all scores of the same forecaster.
        """
        match self.better:
            case "low":
                return value
            case "high":
                return -value
            case "near 0":
                return abs(value)
            case "near 1":
                return abs(value - 1)
            case "near the truth's":
                return abs(value - float(row[f"truth_{self.key}"]))
            case None:
                return 0.0


def ratio(
    numerator: Float[np.ndarray, "*cell"], denominator: Float[np.ndarray, "*cell"]
) -> Float[np.ndarray, "*cell"]:
    """Divide, with NaN where the denominator is 0: an undefined score is not 0."""
    undefined = np.full(np.shape(numerator), np.nan)
    return np.asarray(np.divide(numerator, denominator, out=undefined, where=denominator != 0))
