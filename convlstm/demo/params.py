"""The params of the demo stage."""

from typing import Annotated, Literal

from pydantic import Field

from convlstm.params.group import Count, Group, Text


class Demo(Group):
    """Which synthetic sequences are made."""

    demo_kind: Literal["rain", "digits"]
    demo_digits: Text
    demo_sequences: Count
    demo_frames: Count
    demo_size: Annotated[int, Field(ge=7)]
    demo_seed: Annotated[int, Field(ge=0)]
