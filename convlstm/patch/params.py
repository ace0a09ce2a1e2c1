"""The params of the patch stage."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from convlstm.params.group import Count, Fraction, Number, Rule, Texts, always_tuple, as_tuple
from convlstm.patch.scaling import Values


def shares_add_up(split: Sequence[Number]) -> str | None:
    """Ask for shares of which nothing is left over and nothing is given twice."""
    if abs(sum(split) - 1) <= 1e-6:
        return None
    return f"split = {list(split)}: the three shares must add up to 1"


def patch_fits_tile(patch_size: int, tile_size: int | None) -> str | None:
    """Refuse a patch larger than the tile, which would be mostly padding."""
    if tile_size is None or patch_size <= tile_size:
        return None
    return f"patch_size = {patch_size}: must be at most tile_size = {tile_size}"


def both_are_named(valid_sequences: Sequence[str], test_sequences: Sequence[str]) -> str | None:
    """Let either the shares choose, or the user."""
    if bool(valid_sequences) == bool(test_sequences):
        return None
    named, empty = ("valid_sequences", "test_sequences")[:: 1 if valid_sequences else -1]
    return f"{empty} = []: must be named like {named}, or leave both empty"


def names_are_whole_sequences(split_by: str, valid_sequences: Sequence[str]) -> str | None:
    """Refuse to cut named sequences in time."""
    if split_by != "time" or not valid_sequences:
        return None
    return "split_by = 'time': valid_sequences and test_sequences must be empty"


def none_is_named_twice(
    valid_sequences: Sequence[str], test_sequences: Sequence[str]
) -> str | None:
    """Keep the sequences that choose the model apart from those that test it."""
    twice = sorted(set(valid_sequences) & set(test_sequences))
    if not twice:
        return None
    return f"test_sequences: {twice} must not be in valid_sequences too"


class Patch(Values):
    """How frames become scaled, folded and split windows."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        shares_add_up,
        patch_fits_tile,
        both_are_named,
        names_are_whole_sequences,
        none_is_named_twice,
    )

    tile_size: Annotated[int, Field(ge=7)] | None
    patch_size: Count
    context_frames: Count
    forecast_frames: Count
    stride: Count
    short_sequences: Literal["error", "skip"]
    split: Annotated[tuple[Fraction, Fraction, Fraction], BeforeValidator(as_tuple)]
    split_by: Literal["sequence", "time"]
    valid_sequences: Texts
    test_sequences: Texts
    min_wet_fraction: Annotated[float, Field(ge=0, le=1)]
    wet_threshold: Annotated[tuple[float, ...], BeforeValidator(always_tuple), Field(min_length=1)]
