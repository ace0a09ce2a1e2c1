"""The params of the demo stage."""

from typing import Annotated, Literal

from pydantic import Field

from convlstm.params.group import Group, Text


class Demo(Group):
    """Which synthetic sequences are made."""

    demo_kind: Literal["rain", "digits"]
    demo_digits: Text
    demo_sequences: Annotated[int, Field(ge=1, le=10**6)]
    demo_frames: Annotated[int, Field(ge=1, le=10**6)]
    demo_size: Annotated[int, Field(ge=7, le=10_000)]
    demo_seed: Annotated[int, Field(ge=0, lt=2**63)]
