"""Every knob as strict, frozen models: a group of keys for each stage, checked at birth.

The values here are those of the params.yaml as it is shipped: what a report names as changed is
changed against them. A params.yaml must give every key all the same.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from convlstm.params.rules import broken
from convlstm.runtime.errors import BadInput


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

    demo_kind: Literal["rain", "digits"] = "rain"
    demo_digits: Annotated[str, Field(min_length=1)] = "data/digits"
    demo_sequences: Count = 96
    demo_frames: Count = 20
    demo_size: Annotated[int, Field(ge=7)] = 140
    demo_seed: Annotated[int, Field(ge=0)] = 0


class Reading(Group):
    """What the names and the numbers of raw files mean."""

    pixel_values: Literal["gray", "luminance", "index", "rgb"] = "gray"
    raw_axes: str | None = None
    raw_dataset: str | None = None
    time_format: str | None = None
    max_pixels: Count = 100000000

    def check_pixels(self, path: Path, count: int) -> None:
        """A frame of the file has no more pixels than `max_pixels`.

        Raises:
            BadInput: it has.
        """
        if count > self.max_pixels:
            raise self.too_large(path)

    def too_large(self, path: Path) -> BadInput:
        """The same of a frame of which a decoder has told no more than that."""
        return BadInput(
            f"{path}: has more pixels than max_pixels = {self.max_pixels}; "
            f"raise it if the file is to be trusted"
        )


class Ingest(Reading):
    """Where the raw frames lie, and how they are read."""

    raw: Annotated[str, Field(min_length=1)] = "data/demo"


class Values(Group):
    """Which numbers become 0 and 1, and which mean that nothing was measured."""

    value_range: Annotated[tuple[float, float], BeforeValidator(_listed)] = (0.0, 255.0)
    missing_value: Annotated[
        tuple[Annotated[float, Field(allow_inf_nan=True)], ...], BeforeValidator(_missing_values)
    ] = ()
    out_of_range: Literal["error", "clip", "missing"] = "error"


class Forecast(Reading, Values):
    """What a forecast must know of the frames that it is given."""


class Patch(Values):
    """How frames become scaled, folded and split windows."""

    tile_size: Annotated[int, Field(ge=7)] | None = None
    patch_size: Count = 4
    context_frames: Count = 10
    forecast_frames: Count = 10
    stride: Count = 10
    split: Annotated[tuple[Fraction, Fraction, Fraction], BeforeValidator(_listed)] = (
        0.7,
        0.15,
        0.15,
    )
    split_by: Literal["sequence", "time"] = "sequence"
    valid_sequences: Names = ()
    test_sequences: Names = ()
    min_wet_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    wet_threshold: float = 0.0


class Train(Group):
    """The network and how it learns."""

    cell: Literal["convlstm", "peephole", "lstm"] = "convlstm"
    hidden_channels: Annotated[tuple[Count, ...], BeforeValidator(_listed), Field(min_length=1)] = (
        16,
        16,
    )
    kernel_size: Count = 3
    lr: Positive = 0.003
    lr_schedule: Literal["constant", "step", "exponential", "cosine", "onecycle"] = "onecycle"
    lr_step_percent: Annotated[float, Field(gt=0, le=100)] = 25.0
    lr_step_factor: Annotated[float, Field(gt=0, le=1)] = 0.5
    lr_final_factor: Annotated[float, Field(gt=0, le=1)] = 0.01
    gradient_clip: Positive | None = 1.0
    max_skipped_steps: Annotated[int, Field(ge=0)] = 0
    batch_size: Count = 4
    epochs: Count = 48
    sampling: Literal["step", "linear", "exponential", "inverse_sigmoid", "reverse"] = "step"
    sampling_step_percent: Percent = 37.5
    sampling_linear_percent: Annotated[float, Field(gt=0, le=100)] = 62.5
    sampling_exponential_k: Fraction = 0.95
    sampling_inverse_sigmoid_k: Annotated[float, Field(ge=1)] = 10.0
    sampling_reverse_start_percent: Percent = 31.25
    sampling_reverse_end_percent: Percent = 62.5
    sampling_reverse_alpha_percent: Annotated[float, Field(gt=0, le=100)] = 6.25
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    deterministic: bool = True


class Evaluate(Group):
    """What is asked of the test windows, and how many are kept to be looked at."""

    sample_windows: Count = 3
    thresholds: (
        Annotated[tuple[float, ...], BeforeValidator(_listed), Field(min_length=1)] | None
    ) = None
    fss_scales: Annotated[tuple[Count, ...], BeforeValidator(_listed), Field(min_length=1)] = (
        1,
        8,
        32,
    )


class Plot(Group):
    """How the pictures look."""

    gif_frames_per_second: Annotated[int, Field(ge=1, le=50)] = 4


class Params(Demo, Ingest, Patch, Train, Evaluate, Plot):
    """All of params.yaml, flat: its keys are those of the groups, and no others."""


GroupT = TypeVar("GroupT", bound=Group)
