"""The params of the plot stage."""

from typing import Annotated

from pydantic import Field

from convlstm.params.group import Group


class Plot(Group):
    """How the pictures look."""

    gif_frames_per_second: Annotated[int, Field(ge=1, le=50)]
