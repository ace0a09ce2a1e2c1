"""Every knob as strict, frozen models: a group of keys for each stage, checked at birth."""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from convlstm.rules import broken


def _listed(value: object) -> object:
    """YAML knows lists only; frozen models hold tuples."""
    return tuple(value) if isinstance(value, list) else value


def _missing_values(value: object) -> object:
    """null, one number or several: always a tuple."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)


Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Group(BaseModel):
    """What all groups share: no unknown key, no conversion, no infinity, no change after birth."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _keys_agree(self) -> "Group":
        if lines := broken(dict(self)):
            raise ValueError("\n".join(lines))
        return self


class Demo(Group):
    """The synthetic sequences."""

    demo_kind: Literal["rain", "digits"]
    demo_digits: Annotated[str, Field(min_length=1)]
    demo_sequences: Count
    demo_frames: Count
    demo_size: Annotated[int, Field(ge=7)]
    demo_seed: Annotated[int, Field(ge=0)]


class Reading(Group):
    """What the names and the numbers of raw files mean."""

    pixel_values: Literal["gray", "luminance", "index", "rgb"]
    raw_axes: str | None
    raw_dataset: str | None
    time_format: str | None
    max_pixels: Count


class Ingest(Reading):
    """Where the raw frames lie, and how they are read."""

    raw: Annotated[str, Field(min_length=1)]


class Values(Group):
    """Which numbers become 0 and 1, and which mean that nothing was measured."""

    value_range: Annotated[tuple[float, float], BeforeValidator(_listed)]
    missing_value: Annotated[
        tuple[Annotated[float, Field(allow_inf_nan=True)], ...], BeforeValidator(_missing_values)
    ]
    out_of_range: Literal["error", "clip", "missing"]


class Forecast(Reading, Values):
    """What a forecast must know of the frames that it is given."""


class Patch(Values):
    """How frames become scaled, folded and split windows."""

    tile_size: Annotated[int, Field(ge=7)] | None
    patch_size: Count
    context_frames: Count
    forecast_frames: Count
    stride: Count
    split: Annotated[tuple[Fraction, Fraction, Fraction], BeforeValidator(_listed)]
    split_by: Literal["sequence", "time"]
    valid_sequences: Names
    test_sequences: Names
    min_wet_fraction: Annotated[float, Field(ge=0, le=1)]
    wet_threshold: float


class Train(Group):
    """The network and how it learns."""

    cell: Literal["convlstm", "peephole", "lstm"]
    hidden_channels: Annotated[tuple[Count, ...], BeforeValidator(_listed), Field(min_length=1)]
    kernel_size: Count
    lr: Positive
    lr_schedule: Literal["constant", "step", "exponential", "cosine", "onecycle"]
    lr_step_percent: Annotated[float, Field(gt=0, le=100)]
    lr_step_factor: Annotated[float, Field(gt=0, le=1)]
    lr_final_factor: Annotated[float, Field(gt=0, le=1)]
    gradient_clip: Positive | None
    batch_size: Count
    epochs: Count
    sampling: Literal["step", "linear", "exponential", "inverse_sigmoid", "reverse"]
    sampling_step_percent: Percent
    sampling_linear_percent: Annotated[float, Field(gt=0, le=100)]
    sampling_exponential_k: Fraction
    sampling_inverse_sigmoid_k: Annotated[float, Field(ge=1)]
    sampling_reverse_start_percent: Percent
    sampling_reverse_end_percent: Percent
    sampling_reverse_alpha_percent: Annotated[float, Field(gt=0, le=100)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]


class Evaluate(Group):
    """What is kept of the test windows to be looked at."""

    sample_windows: Count


class Plot(Group):
    """How the pictures look."""

    gif_frames_per_second: Annotated[int, Field(ge=1, le=50)]


class Params(Demo, Ingest, Patch, Train, Evaluate, Plot):
    """All of params.yaml, flat: its keys are those of the groups, and no others."""


GroupT = TypeVar("GroupT", bound=Group)
