"""The params of the train stage."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

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
    as_tuple,
)


class LearningRate(Group):
    """The learning rate of Adam over the run; `lr` is the name that the field uses."""

    lr: Annotated[float, Field(gt=0, le=1e6)]
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

    sampling: Literal["step", "linear", "exponential", "inverse_sigmoid", "reverse", "free"]
    sampling_step_percent: Percent
    sampling_linear_percent: PositivePercent
    sampling_exponential_k: Fraction
    sampling_inverse_sigmoid_k: Annotated[float, Field(ge=1)]
    sampling_reverse_start_percent: Percent
    sampling_reverse_end_percent: Percent
    sampling_reverse_alpha_percent: PositivePercent


def one_limit_is_set(epochs: int | None, steps: int | None, minutes: Number | None) -> str | None:
    """Ask for one length of the run, to which its schedules are scaled."""
    limits = {"epochs": epochs, "steps": steps, "minutes": minutes}
    if sum(limit is not None for limit in limits.values()) == 1:
        return None
    shown = ", ".join(
        f"{key} = {'null' if limit is None else limit}" for key, limit in limits.items()
    )
    return f"{shown}: exactly one must be set; set the others to null"


class Limits(Group):
    """When training ends."""

    RULES: ClassVar[tuple[Rule, ...]] = (one_limit_is_set,)

    epochs: Count | None
    steps: Count | None
    minutes: Positive | None
    patience: Count | None


def kernel_has_a_middle(kernel_size: int) -> str | None:
    """Refuse an even kernel, which would shift the frame by half a pixel at each step."""
    if kernel_size % 2 == 1:
        return None
    return f"kernel_size = {kernel_size}: must be odd, so that a frame keeps its size"


def cascade_has_noise(readout: str, members: int) -> str | None:
    """Ask for members only where noise makes them differ."""
    if members == 1 or readout == "cascade":
        return None
    return f"members = {members}: readout = {readout!r} has no noise; set members to 1"


def one_member_has_no_crps(loss: str, members: int) -> str | None:
    """Refuse an ensemble that is trained on errors, which would make all its members alike."""
    if (loss == "crps") == (members > 1):
        return None
    remedy = "set members to 2" if members == 1 else "set loss to crps, or members to 1"
    return f"loss = {loss!r}: with members = {members}; {remedy}"


def scales_ascend(cascade_scales: Sequence[Number]) -> str | None:
    """Ask for bands that are in order."""
    if list(cascade_scales) == sorted(set(cascade_scales)):
        return None
    return f"cascade_scales = {list(cascade_scales)}: must ascend"


def thresholds_ascend(loss_thresholds: Sequence[Number]) -> str | None:
    """Ask for classes of values that are in order."""
    if list(loss_thresholds) == sorted(set(loss_thresholds)):
        return None
    return f"loss_thresholds = {list(loss_thresholds)}: must ascend"


def each_class_has_a_weight(
    loss_thresholds: Sequence[Number], loss_weights: Sequence[Number]
) -> str | None:
    """Ask for a weight below the first threshold and one from each threshold on."""
    if len(loss_weights) == len(loss_thresholds) + 1:
        return None
    return (
        f"loss_weights = {list(loss_weights)}: must be {len(loss_thresholds) + 1} numbers, one "
        f"more than loss_thresholds"
    )


class Weighting(Group):
    """The weights of pixels in the loss `weighted`, by the true value."""

    RULES: ClassVar[tuple[Rule, ...]] = (thresholds_ascend, each_class_has_a_weight)

    loss_thresholds: Annotated[tuple[float, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    loss_weights: Annotated[tuple[Positive, ...], BeforeValidator(as_tuple)]


class Train(LearningRate, Sampling, Limits, Weighting):
    """The network and how it learns."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        kernel_has_a_middle,
        cascade_has_noise,
        one_member_has_no_crps,
        scales_ascend,
    )

    cell: Literal["convlstm", "peephole", "lstm"]
    readout: Literal["frame", "motion", "cascade"]
    cascade_scales: Annotated[
        tuple[Annotated[float, Field(gt=0, le=1e4)], ...],
        BeforeValidator(as_tuple),
        Field(min_length=1, max_length=8),
    ]
    members: Annotated[int, Field(ge=1, le=64)]
    loss: Literal["mse", "mae", "weighted", "crps"]
    crps_alpha: Fraction
    average_decay: Annotated[float, Field(ge=0, lt=1)]
    hidden_channels: Counts
    kernel_size: Count
    gradient_clip: Positive | None
    max_skipped_steps: Annotated[int, Field(ge=0)]
    batch_size: Count
    random_windows: bool
    wet_preference: Annotated[float, Field(ge=0)]
    augment: Literal["none", "flips", "turns"]
    precision: Literal["auto", "float32", "bfloat16"]
    recompute_gates: bool
    fused_gates: bool
    cuda_graph: bool
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    deterministic: bool
