"""The params of the train stage."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from convlstm.params.group import (
    Count,
    Counts,
    Factor,
    Fraction,
    Group,
    Number,
    Percent,
    Positive,
    PositivePercent,
    Rule,
)


class LearningRate(Group):
    """The learning rate of Adam over the run; `lr` is the name that the field uses."""

    lr: Positive
    lr_schedule: Literal["constant", "step", "exponential", "cosine", "onecycle"]
    lr_step_percent: PositivePercent
    lr_step_factor: Factor
    lr_final_factor: Factor


def reverse_starts_before_it_ends(
    sampling_reverse_start_percent: Number, sampling_reverse_end_percent: Number
) -> str | None:
    """Ask for time between start and end, by which the schedule divides."""
    start, end = sampling_reverse_start_percent, sampling_reverse_end_percent
    if start < end:
        return None
    return f"sampling_reverse_start_percent = {start}: must be below the end, {end}"


class Sampling(Group):
    """The schedule of scheduled sampling, with the constants of each kind."""

    RULES: ClassVar[tuple[Rule, ...]] = (reverse_starts_before_it_ends,)

    sampling: Literal["step", "linear", "exponential", "inverse_sigmoid", "reverse"]
    sampling_step_percent: Percent
    sampling_linear_percent: PositivePercent
    sampling_exponential_k: Fraction
    sampling_inverse_sigmoid_k: Annotated[float, Field(ge=1)]
    sampling_reverse_start_percent: Percent
    sampling_reverse_end_percent: Percent
    sampling_reverse_alpha_percent: PositivePercent


def kernel_has_a_middle(kernel_size: int) -> str | None:
    """Refuse an even kernel, which would shift the frame by half a pixel at each step."""
    if kernel_size % 2 == 1:
        return None
    return f"kernel_size = {kernel_size}: must be odd, so that a frame keeps its size"


class Train(LearningRate, Sampling):
    """The network and how it learns."""

    RULES: ClassVar[tuple[Rule, ...]] = (kernel_has_a_middle,)

    cell: Literal["convlstm", "peephole", "lstm"]
    hidden_channels: Counts
    kernel_size: Count
    gradient_clip: Positive | None
    max_skipped_steps: Annotated[int, Field(ge=0)]
    batch_size: Count
    epochs: Count
    precision: Literal["auto", "float32", "bfloat16"]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    deterministic: bool
