"""The windows of each step of an epoch, turned somehow, and the random numbers of the step.

Everything is drawn from (seed, epoch, step) alone, so that a resumed run goes on as if it had not
been stopped, and the same windows make a step whatever the number of ranks that share it.
"""

from bisect import bisect_right
from collections.abc import Iterator
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from convlstm.model.batches import TURNS, Batches
from convlstm.model.noise import draw_noise
from convlstm.model.ranks import ALONE, Ranks
from convlstm.runtime.errors import BadInput
from convlstm.storage.patches import MEASURED, WET, Span, Window
from convlstm.storage.prefetch import prefetch
from convlstm.train.params import Train

LEAST_KEPT = 0.05  # of the driest windows, so that the network learns when no rain comes, too
MOST_TRIES = 100
"""Places that are tried for one window: with `LEAST_KEPT`, 99.4 % of them end with one that is kept
where all is dry."""
PLACES, WAYS, NUMBERS = 1, 2, 3  # what is drawn; not 0, which NumPy does not tell from nothing


class Step(NamedTuple):
    """Our windows of a step, and the numbers that were drawn for them.

    `white` is the noise of the members. The readout `frame` has no members, and `uniform` in its
    place, by which `draw_fed_steps` decides.
    """

    frames: Float[Tensor, "batch time channel row col"]
    mask: Bool[Tensor, "batch time channel row col"]
    white: Float[Tensor, "member batch lead pixelrow pixelcol"]
    uniform: Float[Tensor, "batch step"]


class Places(NamedTuple):
    """The windows of one span: their starts, a frame apart, and corners, a patch apart."""

    span: Span
    starts: int
    rows: int
    cols: int

    @property
    def size(self) -> int:
        """The number of windows."""
        return self.starts * self.rows * self.cols

    def window(self, number: int, patch_size: int) -> Window:
        """Return the window of this number."""
        rest, col = divmod(number, self.cols)
        start, row = divmod(rest, self.rows)
        return Window(
            self.span.start + start, self.span.sequence, row * patch_size, col * patch_size
        )


def kept_probability(share: float, preference: float) -> float:
    """Return the probability by which a random window is kept.

    Drier windows are drawn again more often, as in Ravuri et al. 2021 (arXiv:2104.00954), whose
    law of the rain is another one.

    Args:
        share: of its measured pixels that are wet.
        preference: 0 keeps all; 1 keeps them by their share.
    """
    return LEAST_KEPT + (1 - LEAST_KEPT) * float(share**preference)


class Drawing:
    """Draws the steps of each epoch.

    Args:
        batches: the data.
        params: how many windows make a step, which are preferred, how they are turned, the seed,
            and how many members there are.
        ranks: which share the windows of a step.
        pinned: whether a step is put where a GPU copies it from while the CPU goes on.

    Raises:
        BadInput: windows that are not square cannot be turned.
    """

    def __init__(
        self, batches: Batches, params: Train, ranks: Ranks = ALONE, *, pinned: bool = False
    ) -> None:
        self.batches, self.params, self.ranks, self.pinned = batches, params, ranks, pinned
        self.steps = -(-batches.count("train") // params.batch_size)
        self._ways = {"none": 1, "flips": TURNS // 2, "turns": TURNS}[params.augment]
        rows, cols = batches.geometry.rows, batches.geometry.cols
        if params.augment == "turns" and rows != cols:
            raise BadInput(
                f"augment = 'turns': needs square windows, but these have {rows} x {cols} pixels; "
                f"set augment to flips, or tile_size to the side of a square"
            )
        self._places = [self._places_of(span) for span in batches.spans]
        self._ends = list(accumulate(places.size for places in self._places))
        self._preference = params.wet_preference
        self._least_wet: float = batches.params["min_wet_fraction"]

    def epoch(self, number: int, *, done: int = 0) -> Iterator[Step]:
        """Yield our part of the steps of an epoch, which shows as many windows as the grid has.

        Those of the grid come in a random order, or as many random ones in their place. The first
        `done` steps are left out, because a resumed run has taken them. The next one is drawn while
        the last one is taken.
        """
        count = self.batches.count("train")
        order = np.random.default_rng([self.params.seed, number]).permutation(count)
        size = self.params.batch_size
        calls = (
            partial(self._step, order[step * size : (step + 1) * size], number, step)
            for step in range(done, self.steps)
        )
        yield from prefetch(calls, threads=1, depth=1)

    def _step(self, numbers: Int[np.ndarray, " batch"], epoch: int, step: int) -> Step:
        """Return our part of a step, whose windows of the grid have these numbers.

        A rank that would have none shows one of which no pixel counts, so that all do the same.
        """
        grid = [Window(*row) for row in self.batches.index["train"][numbers].tolist()]
        windows = grid
        if self.params.random_windows:
            places = self._generator(epoch, step, PLACES)
            windows = [self._random(window, places) for window in grid]
        ways = self._generator(epoch, step, WAYS).integers(self._ways, size=len(windows))
        own = self.ranks.places(len(windows))
        frames, mask = self.batches.cut(windows[own], ways[own].tolist())
        if self.ranks.is_spare(len(windows)):
            mask = torch.zeros_like(mask)
        # Each rank draws the numbers of all windows, so that a window has the same on any of them.
        white, uniform = self._numbers(len(windows), self._generator(epoch, step, NUMBERS))
        drawn = Step(frames, mask, white[:, own], uniform[own])
        return Step(*(part.pin_memory() for part in drawn)) if self.pinned else drawn

    def _numbers(self, windows: int, chance: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw `white` and `uniform`, of which one is empty."""
        generator = torch.Generator().manual_seed(int(chance.integers(2**63)))
        batches, members = self.batches, self.params.members
        if self.params.readout == "frame":
            steps = batches.window_frames - 1
            return torch.empty(0, windows), torch.rand(windows, steps, generator=generator)
        p, (_, rows, cols) = batches.geometry.patch_size, batches.geometry.folded_shape
        shape = (windows, batches.forecast_frames, rows * p, cols * p)
        (white,) = draw_noise(members, shape, generator, together=members)
        return white, torch.empty(windows, 0)

    def _random(self, instead: Window, generator: np.random.Generator) -> Window:
        """Draw windows until one is kept; after `MOST_TRIES` return the last that could train.

        Args:
            instead: is returned where none could.
            generator: of the step.
        """
        for _ in range(MOST_TRIES):
            number = int(generator.integers(self._ends[-1]))
            span = bisect_right(self._ends, number)
            places = self._places[span]
            first = self._ends[span] - places.size
            window = places.window(number - first, self.batches.geometry.patch_size)
            share = self._wet_share(window)
            if share is not None and share >= self._least_wet:
                instead = window
                if generator.random() < kept_probability(share, self._preference):
                    break
        return instead

    def _wet_share(self, window: Window) -> float | None:
        """Return the wet share of the measured pixels, or None if a frame has none."""
        counts = self.batches.counts(window)
        if not counts[:, MEASURED].all():
            return None
        return float(counts[:, WET].sum() / counts[:, MEASURED].sum())

    def _places_of(self, span: Span) -> Places:
        """Return the places of a span; none, if it is shorter than a window."""
        geometry = self.batches.geometry
        starts = max(0, span.stop - span.start - self.batches.window_frames + 1)
        sides = zip(self.batches.sizes[span.sequence], (geometry.rows, geometry.cols), strict=True)
        rows, cols = ((whole - own) // geometry.patch_size + 1 for whole, own in sides)
        return Places(span, starts, rows, cols)

    def _generator(self, epoch: int, step: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.params.seed, epoch, 1 + step, purpose])
