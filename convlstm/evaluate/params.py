"""The params of the evaluate stage."""

from typing import Annotated

from pydantic import BeforeValidator, Discriminator, Field, Tag

from convlstm.params.group import Counts, Group, nested_tuple, one_or_several

TEST_BATCH = 8  # windows at a time; a constant, so that it cannot change numbers
Thresholds = Annotated[tuple[float, ...], Field(min_length=1)]


class Evaluate(Group):
    """How the forecasts of the test windows are scored, and how many windows are drawn."""

    sample_windows: Annotated[int, Field(ge=1, le=100)]
    thresholds: (
        Annotated[
            Annotated[Thresholds, Tag("one")]
            | Annotated[Annotated[tuple[Thresholds, ...], Field(min_length=1)], Tag("several")],
            Discriminator(one_or_several),
            BeforeValidator(nested_tuple),
        ]
        | None
    )
    fss_scales: Counts
    test_members: Annotated[int, Field(ge=2, le=100)]
