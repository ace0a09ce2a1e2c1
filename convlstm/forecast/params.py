"""The params of a forecast: how its input is read and scaled, and how many futures it has."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from convlstm.ingest.params import Reading
from convlstm.params.group import Count, Group, Number, Rule, as_tuple
from convlstm.patch.scaling import Values, check_thresholds


def range_is_known(value_range: object) -> str | None:
    """Refuse a range that is to be found: that of training is known."""
    return "value_range = None: must be given" if value_range is None else None


class Forecast(Reading, Values):
    """How the frames are read, and which of their values become 0 and 1 or mean missing."""

    RULES: ClassVar[tuple[Rule, ...]] = (range_is_known,)


def _needs_members(key: str, value: object, members: int) -> str | None:
    """Refuse what is said of an ensemble where there is none."""
    if not value or members > 1:
        return None
    return f"{key} = {value}: is of an ensemble; give members too, such as --members 24"


def seed_needs_members(seed: int, members: int) -> str | None:
    """Refuse a seed where there is no noise."""
    return _needs_members("seed", seed, members)


def thresholds_need_members(thresholds: Sequence[Number], members: int) -> str | None:
    """Refuse probabilities of one forecast."""
    return _needs_members("thresholds", list(thresholds), members)


def quantiles_need_members(quantiles: Sequence[Number], members: int) -> str | None:
    """Refuse quantiles of one forecast."""
    return _needs_members("quantiles", list(quantiles), members)


def thresholds_ascend(thresholds: Sequence[Number]) -> str | None:
    """Ask for an axis that other programs can read."""
    return _ascend("thresholds", thresholds)


def quantiles_ascend(quantiles: Sequence[Number]) -> str | None:
    """Ask for an axis that other programs can read."""
    return _ascend("quantiles", quantiles)


def _ascend(key: str, values: Sequence[Number]) -> str | None:
    if list(values) == sorted(set(values)):
        return None
    return f"{key} = {list(values)}: must ascend, each number once"


class Ensemble(Group):
    """How many futures are forecast, and what is told of them together.

    `thresholds` are data values that members reach with a probability; `quantiles` are shares of
    the members that lie below a value. The command line has these keys, and params.yaml does not.
    """

    RULES: ClassVar[tuple[Rule, ...]] = (
        seed_needs_members,
        thresholds_need_members,
        quantiles_need_members,
        thresholds_ascend,
        quantiles_ascend,
    )

    members: Count
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    thresholds: Annotated[tuple[float, ...], BeforeValidator(as_tuple)]
    quantiles: Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], BeforeValidator(as_tuple)]

    def check_range(self, value_range: Sequence[tuple[float, float]]) -> None:
        """Check that a forecast, which lies inside the ranges, can reach the thresholds.

        Args:
            value_range: of each channel.

        Raises:
            BadInput: one lies outside that of every channel.
        """
        check_thresholds(self.thresholds, value_range)
