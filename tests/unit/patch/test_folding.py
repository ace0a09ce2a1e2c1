"""Folding loses nothing, and its channel order is that of TensorFlow, PredRNN and OpenSTL."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.patch.folding import Geometry, fold, tile_corners, unfold


def numbered(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.int64).reshape(shape)


@settings(max_examples=60, deadline=None)
@given(
    lead=st.lists(st.integers(1, 3), max_size=2),
    channels=st.integers(1, 3),
    rows=st.integers(1, 12),
    cols=st.integers(1, 12),
    patch=st.integers(1, 5),
)
def test_unfolding_a_folded_frame_returns_it(
    lead: list[int], channels: int, rows: int, cols: int, patch: int
) -> None:
    geometry = Geometry(channels, rows, cols, patch)
    frames = numbered(*lead, channels, rows, cols)
    folded = geometry.fold(frames)
    assert folded.shape == (*lead, *geometry.folded_shape)
    np.testing.assert_array_equal(geometry.unfold(folded), frames)


@settings(max_examples=50, deadline=None)
@given(
    lead=st.lists(st.integers(1, 3), max_size=3),
    channels=st.integers(1, 4),
    patch_rows=st.integers(1, 4),
    patch_cols=st.integers(1, 4),
    patch=st.integers(1, 5),
)
def test_folding_an_unfolded_frame_returns_it(
    lead: list[int], channels: int, patch_rows: int, patch_cols: int, patch: int
) -> None:
    patches = numbered(*lead, patch * patch * channels, patch_rows, patch_cols)
    frames = unfold(patches, patch)
    assert frames.shape == (*lead, channels, patch_rows * patch, patch_cols * patch)
    np.testing.assert_array_equal(fold(frames, patch), patches)


def test_the_reports_frame_becomes_the_reports_patches() -> None:
    assert fold(numbered(1, 140, 140), 4).shape == (16, 35, 35)


def test_the_channel_is_row_in_patch_times_p_plus_col_times_channels_plus_channel() -> None:
    # the order of TensorFlow's ConvLSTM, PredRNN and OpenSTL, written as a slow loop
    p, channels = 2, 3
    frames = numbered(channels, 6, 4)
    folded = fold(frames, p)
    for channel in range(channels):
        for row in range(6):
            for col in range(4):
                place = ((row % p) * p + col % p) * channels + channel
                assert folded[place, row // p, col // p] == frames[channel, row, col]


@pytest.mark.parametrize(("channels", "equal"), [(1, True), (3, False)])
def test_only_one_channel_folds_as_pixel_unshuffle(channels: int, equal: bool) -> None:
    frames = numbered(channels, 6, 4)
    shuffled = torch.pixel_unshuffle(torch.from_numpy(frames), 2).numpy()
    assert np.array_equal(fold(frames, 2), shuffled) is equal
    np.testing.assert_array_equal(unfold(fold(frames, 2), 2), frames)


def test_the_mask_is_true_at_each_pixel_of_the_frame_and_false_at_padding() -> None:
    geometry = Geometry(channels=2, rows=5, cols=7, patch_size=4)
    mask = geometry.padding_mask()
    assert mask.shape == (32, 2, 2)
    assert mask.sum() == geometry.pixels == 2 * 5 * 7
    folded = geometry.fold(np.ones((2, 5, 7)))
    assert folded[mask].all()
    assert not folded[~mask].any()


def test_padding_is_at_the_bottom_and_right() -> None:
    # 1 x 3 in patches of 2: channel = 2 * row + col; row 1 and col 3 are padding
    mask = Geometry(channels=1, rows=1, cols=3, patch_size=2).padding_mask()
    np.testing.assert_array_equal(mask[:, 0], [[1, 1], [1, 0], [0, 0], [0, 0]])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(0, 140), st.floats(0, 0.9))
def test_tiles_cover_every_pixel_and_overlap_as_asked(tile: int, more: int, part: float) -> None:
    size, overlap = tile + more, int(part * tile)
    corners = tile_corners(size, tile, overlap=overlap)
    covered = {pixel for corner in corners for pixel in range(corner, corner + tile)}
    assert covered == set(range(size))
    assert all(a + tile - b >= overlap for a, b in pairwise(corners))
    fewer = len(corners) - 1
    assert fewer * (tile - overlap) + overlap < size  # one tile less would not do


@pytest.mark.parametrize(
    ("size", "tile", "overlap", "corners"),
    [
        (8, 8, 0, [0]),
        (12, 4, 0, [0, 4, 8]),
        (10, 4, 0, [0, 3, 6]),  # two overlaps of one pixel, not one of two
        (10, 4, 2, [0, 2, 4, 6]),
        (9, 5, 1, [0, 4]),
        (11, 4, 0, [0, 4, 7]),  # 3.5 is rounded to 4
    ],
)
def test_tiles_are_spread_evenly(size: int, tile: int, overlap: int, corners: list[int]) -> None:
    assert tile_corners(size, tile, overlap=overlap) == corners


@pytest.mark.parametrize("sizes", [(0, 4, 4, 2), (1, 0, 4, 2), (1, 4, 4, 0)])
def test_a_geometry_of_nothing_is_refused(sizes: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="impossible geometry"):
        Geometry(*sizes)
