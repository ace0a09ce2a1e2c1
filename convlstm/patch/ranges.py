"""The value range that the data have, where params name none.

It is the one that all files call valid, from black to white in pictures of 8 bits, else from the
0.1 to the 99.9 percentile of the training frames, rounded outwards. Of many frames an even choice
of pixels is looked at, so memory is constant and the same data give the same range.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import ceil, floor, log10

import numpy as np
from jaxtyping import Float, Int, Num

from convlstm.patch.conversion import Conversion
from convlstm.patch.curves import Pair
from convlstm.patch.scaling import Scaling
from convlstm.patch.windows import Span
from convlstm.runtime.errors import BadInput
from convlstm.storage.frames import Sequence
from convlstm.storage.meaning import WHITE_OF_BYTES, Channel, white_of

PERCENTILES = (0.1, 99.9)
MOST_FRAMES, PIXELS_OF_A_FRAME = 2**11, 2**11  # that are looked at, of each channel
STEPS = 20  # of the grid to which a range is rounded: 0.3 to 14.7 becomes 0 to 15


def of_files(sequences: Iterable[Sequence]) -> tuple[Pair, ...] | None:
    """Return the range of each channel that all files call valid; None if one says nothing."""
    said = {
        tuple(
            _valid_range(channel, str(sequence.frames.dtype))
            for channel in sequence.meaning.of_each(sequence.frames.shape[1])
        )
        for sequence in sequences
    }
    ranges = said.pop()
    whole = all(len(ends) == 2 and np.isfinite(ends).all() for ends in ranges)
    if said or not ranges or not whole:
        return None
    return tuple((float(min(ends)), float(max(ends))) for ends in ranges)


def of_frames(
    sequences: Mapping[str, Sequence], spans: Iterable[Span], missing_value: tuple[float, ...]
) -> tuple[Pair, ...]:
    """Return the range of the measured values of each channel in the frames that train.

    Args:
        sequences: by name.
        spans: of all splits.
        missing_value: physical values that mean missing, beside the numbers that files name.

    Raises:
        BadInput: nothing is measured in them.
    """
    trained = [span for span in spans if span.split == "train"]
    ends = np.cumsum([span.stop - span.start for span in trained])
    chosen = np.linspace(0, ends[-1] - 1, min(ends[-1], MOST_FRAMES)).astype(int)
    places: dict[tuple[str, int], list[int]] = {}  # by sequence and chunk, which is unpacked once
    for number in chosen.tolist():
        at = int(np.searchsorted(ends, number, side="right"))
        frame = trained[at].stop - int(ends[at] - number)
        name = trained[at].sequence
        chunk = frame // sequences[name].frames.chunks[0]
        places.setdefault((name, chunk), []).append(frame)
    kept = [_values(sequences[name], own, missing_value) for (name, _), own in places.items()]
    return tuple(map(_range_of, map(np.concatenate, zip(*kept, strict=True))))


def some_pixels(
    frames: Num[np.ndarray, "time channel row col"], count: int
) -> Num[np.ndarray, "time channel 1 pixel"]:
    """Return `count` pixels of each frame, always those at the same places, or all."""
    *lead, rows, cols = frames.shape
    pixels = frames.reshape(*lead, 1, rows * cols)
    return pixels if rows * cols <= count else pixels[..., _places(rows * cols, count)]


@lru_cache(maxsize=8)
def _places(pixels: int, count: int) -> Int[np.ndarray, " pixel"]:
    """Draw places, for steps of one length might meet the same columns again and again."""
    return np.sort(np.random.default_rng(0).integers(pixels, size=count))


def rounded(low: float, high: float) -> Pair:
    """Return a range with round ends that holds this one; that of one value is 1 wide."""
    high = high if high > low else low + 1
    size = (high - low) / STEPS
    digits = -floor(log10(size))
    step = max(part for part in (1, 2, 5) if part <= size * 10.0**digits * (1 + 1e-9))
    ends = (floor(low / step * 10.0**digits + 1e-9), ceil(high / step * 10.0**digits - 1e-9))
    first, last = (round(end * step * 10.0**-digits, max(0, digits)) for end in ends)
    return first, last


def _valid_range(channel: Channel, dtype: str) -> tuple[float, ...]:
    """Return the range of a channel, if its file says one, or is a picture of 8 bits."""
    is_of_bytes = white_of(channel, dtype) == WHITE_OF_BYTES
    return channel.valid_range or ((0.0, float(WHITE_OF_BYTES)) if is_of_bytes else ())


def _values(
    sequence: Sequence, numbers: list[int], missing_value: tuple[float, ...]
) -> list[Float[np.ndarray, " value"]]:
    """Return physical values of each channel of some frames near each other that were measured."""
    first, last = numbers[0], numbers[-1]
    frames = sequence.frames[first : last + 1][np.subtract(numbers, first)]
    channels = frames.shape[1]
    anything = Scaling(((0.0, 1.0),) * channels, ("none",) * channels, missing_value)
    conversion = Conversion(anything, sequence.meaning.channels, frames.dtype)
    pixels = some_pixels(frames, PIXELS_OF_A_FRAME)
    physical = conversion.physical(pixels).astype(np.float64)
    hidden = (
        conversion.is_missing(pixels) | conversion.is_undetected(pixels) | ~np.isfinite(physical)
    )
    return [physical[:, channel][~hidden[:, channel]] for channel in range(channels)]


def _range_of(values: Float[np.ndarray, " value"]) -> Pair:
    if not values.size:
        raise BadInput(
            "value_range = null: no measured value is in the training frames; give a range, or "
            "check missing_value"
        )
    low, high = np.percentile(values, PERCENTILES).tolist()
    return rounded(low, high)
