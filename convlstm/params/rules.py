"""What keys must be to each other: each rule is given the keys that its parameters name.

A rule returns what is wrong, in one line with key, value and what is allowed, or None.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Number = float | int
"""As YAML has it: a value may not have been made a float yet."""


def axes_are_letters(raw_axes: str | None) -> str | None:
    """N sequence, T time, C channel, H row, W col."""
    if raw_axes is None:
        return None
    if set("HW") <= set(raw_axes) <= set("NTCHW") and len(set(raw_axes)) == len(raw_axes):
        return None
    return f"raw_axes = {raw_axes!r}: must name each axis once, with H and W among N T C H W"


def range_has_two_ends(value_range: Sequence[Number]) -> str | None:
    """The low one first."""
    low, high = value_range
    if low < high:
        return None
    return f"value_range = [{low}, {high}]: the first number must be the smaller one"


def shares_add_up(split: Sequence[Number]) -> str | None:
    """Nothing is left over, nothing is given twice."""
    if abs(sum(split) - 1) <= 1e-6:
        return None
    return f"split = {list(split)}: the three shares must add up to 1"


def patch_fits_tile(patch_size: int, tile_size: int | None) -> str | None:
    """A patch larger than the tile would be mostly padding."""
    if tile_size is None or patch_size <= tile_size:
        return None
    return f"patch_size = {patch_size}: must be at most tile_size = {tile_size}"


def both_are_named(valid_sequences: Sequence[str], test_sequences: Sequence[str]) -> str | None:
    """Either the shares choose, or the user."""
    if bool(valid_sequences) == bool(test_sequences):
        return None
    named, empty = ("valid_sequences", "test_sequences")[:: 1 if valid_sequences else -1]
    return f"{empty} = []: must be named like {named}, or leave both empty"


def names_are_whole_sequences(split_by: str, valid_sequences: Sequence[str]) -> str | None:
    """Named sequences are not cut in time."""
    if split_by != "time" or not valid_sequences:
        return None
    return "split_by = 'time': valid_sequences and test_sequences must be empty"


def none_is_named_twice(
    valid_sequences: Sequence[str], test_sequences: Sequence[str]
) -> str | None:
    """What chooses the model must not test it."""
    twice = sorted(set(valid_sequences) & set(test_sequences))
    if not twice:
        return None
    return f"test_sequences: {twice} must not be in valid_sequences too"


def kernel_has_a_middle(kernel_size: int) -> str | None:
    """An even one would shift the frame by half a pixel a step."""
    if kernel_size % 2 == 1:
        return None
    return f"kernel_size = {kernel_size}: must be odd, so that a frame keeps its size"


def reverse_starts_before_it_ends(
    sampling_reverse_start_percent: Number, sampling_reverse_end_percent: Number
) -> str | None:
    """The schedule divides by the time between them."""
    start, end = sampling_reverse_start_percent, sampling_reverse_end_percent
    if start < end:
        return None
    return f"sampling_reverse_start_percent = {start}: must be below the end, {end}"


RULES: tuple[Callable[..., str | None], ...] = (
    axes_are_letters,
    range_has_two_ends,
    shares_add_up,
    patch_fits_tile,
    both_are_named,
    names_are_whole_sequences,
    none_is_named_twice,
    kernel_has_a_middle,
    reverse_starts_before_it_ends,
)


def broken(values: Mapping[str, Any]) -> list[str]:
    """What is wrong between those keys that are there; each alone must be right already."""
    found = []
    for rule in RULES:
        keys = list(inspect.signature(rule).parameters)
        if all(key in values for key in keys):
            found.append(rule(*(values[key] for key in keys)))
    return [line for line in found if line is not None]
