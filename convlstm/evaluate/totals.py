"""Sums over pixels and windows of all pooled families: first pool, then score.

A mean of ratios is decided by the windows with hardly any rain; a ratio of sums is not. Totals add
up, so a test set of any size takes constant memory, and two halves give what one pass gives.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from jaxtyping import Bool, Float

from convlstm.scores import (
    categorical,
    continuous,
    ensemble,
    probability,
    ranks,
    spatial,
    spectral,
    temporal,
    variogram,
)

Frames = Float[np.ndarray, "lead channel row col"]
Mask = Bool[np.ndarray, "lead channel row col"]
Every = Float[np.ndarray, "which lead channel row col"]
Sums = dict[str, np.ndarray]
"""Fields of `Totals` by name."""


@dataclass(frozen=True)
class Totals:
    """Sums over any number of windows, of the families that the fields are named after."""

    moments: Float[np.ndarray, "lead moment"]
    ensemble: Float[np.ndarray, "lead which_sum"]
    ranks: Float[np.ndarray, "lead rank"]
    probability: Float[np.ndarray, "lead threshold which share"]
    variogram: Float[np.ndarray, "lead which_variogram"]
    temporal: Float[np.ndarray, "lead which_change"]
    events: Float[np.ndarray, "lead threshold count"]
    fractions: Float[np.ndarray, "lead threshold scale part"]
    power: Float[np.ndarray, "lead which wavenumber"]
    lattice: Float[np.ndarray, "lead which"]

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            *(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True))
        )


@dataclass(frozen=True)
class Pooling:
    """How windows are summed up.

    An event is a value of at least one of the `thresholds`, in [0, 1]. `scales` are the sides of
    squares in pixels.
    """

    thresholds: tuple[float, ...]
    scales: tuple[int, ...]
    patch_size: int

    def totals(
        self,
        forecasts: Sequence[Frames],
        truth: Frames,
        mask: Mask,
        members: ensemble.Members | None = None,
        last: Float[np.ndarray, "channel row col"] | None = None,
    ) -> list[Totals]:
        """Return the sums of one window for each of its forecasts, which are clipped to [0, 1].

        The forecasts come together because the truth's share of the work is then done once. Pixels
        outside the mask count nowhere.

        Args:
            forecasts: one by each forecaster.
            truth: the true frames.
            mask: of measured pixels.
            members: of the ensemble whose mean is the first forecast; all others are ensembles of
                one.
            last: the frame before the first true one, as `temporal.changes` takes it.
        """
        clipped = [np.clip(frames, 0, 1) for frames in forecasts]
        first = clipped[0][None] if members is None else np.clip(members, 0, 1)
        ensembles = [first, *(frames[None] for frames in clipped[1:])]
        every = np.where(mask, np.stack([*clipped, truth]), 0)
        families = (
            self._of_events(every, mask),
            self._of_waves(every),
            self._of_members(ensembles, every[-1], mask),
        )
        return [
            Totals(
                moments=continuous.moments(frames, every[-1], mask),
                temporal=temporal.changes(frames, every[-1], mask, last),
                **events,
                **waves,
                **own,
            )
            for frames, events, waves, own in zip(every[:-1], *families, strict=True)
        ]

    def _of_events(self, every: Every, mask: Mask) -> Iterator[Sums]:
        """Yield counts and fractions of each forecast; `every` ends with the truth."""
        # One lead time after the other, so that the work stays in the processor's cache.
        by_lead = [self._tables(every[:, lead], mask[lead]) for lead in range(len(mask))]
        for events, fractions in zip(
            *(np.stack(parts, axis=1) for parts in zip(*by_lead, strict=True)), strict=True
        ):
            yield {"events": events, "fractions": fractions}

    def _tables(
        self,
        every: Float[np.ndarray, "which channel row col"],
        mask: Bool[np.ndarray, "channel row col"],
    ) -> tuple[
        Float[np.ndarray, "forecast threshold count"],
        Float[np.ndarray, "forecast threshold scale part"],
    ]:
        """Return counts and fractions of one lead time; `every` ends with the truth."""
        squares = [spatial.squares(mask, side) for side in self.scales]
        counts, fractions = [], []
        for threshold in self.thresholds:
            events = (every >= np.float32(threshold)) & mask
            counts.append(categorical.counts(events, mask))
            fractions.append(spatial.fractions(events, squares))
        return np.stack(counts, axis=1), np.stack(fractions, axis=1)

    def _of_waves(self, every: Every) -> Iterator[Sums]:
        """Yield power by wavenumber, and at the period of the patches, beside the truth's."""
        *forecasts, its = (
            (spectral.radial(waves), spectral.lattice(waves, self.patch_size))
            for waves in map(spectral.power, every)
        )
        for own in forecasts:
            power, lattice = (np.stack(pair, axis=1) for pair in zip(own, its, strict=True))
            yield {"power": power, "lattice": lattice}

    def _of_members(
        self,
        ensembles: Sequence[Float[np.ndarray, "_ lead channel row col"]],
        truth: Frames,
        mask: Mask,
    ) -> Iterator[Sums]:
        """Yield what is summed over all members of each ensemble."""
        variograms = variogram.sums(ensembles, truth, mask)
        for members, differences in zip(ensembles, variograms, strict=True):
            yield {
                "ensemble": ensemble.sums(members, truth, mask),
                "ranks": ranks.counts(members, truth, mask),
                "probability": probability.frequencies(members, truth, mask, self.thresholds),
                "variogram": differences,
            }
