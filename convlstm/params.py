"""Every knob as strict, frozen models: a group of keys for each stage, checked at birth."""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


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

    @model_validator(mode="after")
    def _axes_are_letters(self) -> "Reading":
        axes = self.raw_axes
        if axes is not None and not (
            set("HW") <= set(axes) <= set("NTCHW") and len(set(axes)) == len(axes)
        ):
            raise ValueError(
                f"raw_axes = {axes!r}: must name each axis once, with H and W among N T C H W"
            )
        return self


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

    @model_validator(mode="after")
    def _range_has_two_ends(self) -> "Values":
        low, high = self.value_range
        if low >= high:
            raise ValueError(
                f"value_range = [{low}, {high}]: the first number must be the smaller one"
            )
        return self


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

    @model_validator(mode="after")
    def _patch_keys_agree(self) -> "Patch":
        if abs(sum(self.split) - 1) > 1e-6:
            raise ValueError(f"split = {list(self.split)}: the three shares must add up to 1")
        if self.tile_size is not None and self.patch_size > self.tile_size:
            raise ValueError(
                f"patch_size = {self.patch_size}: must be at most tile_size = {self.tile_size}"
            )
        if bool(self.valid_sequences) != bool(self.test_sequences):
            raise ValueError("valid_sequences and test_sequences: name both or leave both empty")
        if self.valid_sequences and self.split_by == "time":
            raise ValueError("split_by = 'time': valid_sequences and test_sequences must be empty")
        twice = set(self.valid_sequences) & set(self.test_sequences)
        if twice:
            raise ValueError(f"test_sequences: {sorted(twice)} must not be in valid_sequences too")
        return self


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

    @model_validator(mode="after")
    def _train_keys_agree(self) -> "Train":
        if self.kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size = {self.kernel_size}: must be odd, so that a frame keeps its size"
            )
        start, end = self.sampling_reverse_start_percent, self.sampling_reverse_end_percent
        if start >= end:
            raise ValueError(
                f"sampling_reverse_start_percent = {start}: must be below the end, {end}"
            )
        return self


class Evaluate(Group):
    """What is kept of the test windows to be looked at."""

    sample_windows: Count


class Plot(Group):
    """How the pictures look."""

    gif_frames_per_second: Annotated[int, Field(ge=1, le=50)]


class Params(Demo, Ingest, Patch, Train, Evaluate, Plot):
    """All of params.yaml, flat: its keys are those of the groups, and no others."""


GroupT = TypeVar("GroupT", bound=Group)
