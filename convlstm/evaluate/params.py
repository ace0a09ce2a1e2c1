"""The params of the evaluate stage."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from convlstm.params.group import Count, Counts, Group, as_tuple


class Evaluate(Group):
    """How the forecasts of the test windows are scored, and how many windows are drawn."""

    sample_windows: Count
    thresholds: Annotated[tuple[float, ...], BeforeValidator(as_tuple), Field(min_length=1)] | None
    fss_scales: Counts
    test_members: Annotated[int, Field(ge=2, le=100)]
