"""Sums over pixels and windows of all pooled families: first pool, then score.

A mean of ratios is decided by the windows with hardly any rain; a ratio of sums is not. Totals add
up, so a test set of any size takes constant memory, and two halves give what one pass gives.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from jaxtyping import Bool, Float

from convlstm.scores import categorical, continuous, ensemble, spatial, spectral

Frames = Float[np.ndarray, "lead channel row col"]
Mask = Bool[np.ndarray, "lead channel row col"]


@dataclass(frozen=True)
class Totals:
    """Sums over any number of windows, of the families that the fields are named after."""

    moments: Float[np.ndarray, "lead moment"]
    ensemble: Float[np.ndarray, "lead which_sum"]
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
        """
        clipped = [np.clip(frames, 0, 1) for frames in forecasts]
        every = np.where(mask, np.stack([*clipped, truth]), 0)
        # One lead time after the other, so that the work stays in the processor's cache.
        by_lead = [self._tables(every[:, lead], mask[lead]) for lead in range(len(truth))]
        events, fractions = (np.stack(parts, axis=1) for parts in zip(*by_lead, strict=True))
        *spectra, its_spectra = (self._spectra(frames) for frames in every)
        ensembles = [frames[None] for frames in clipped]
        if members is not None:
            ensembles[0] = np.clip(members, 0, 1)
        return [
            Totals(
                continuous.moments(every[number], every[-1], mask),
                ensemble.sums(own, every[-1], mask),
                events[number],
                fractions[number],
                *(np.stack(pair, axis=1) for pair in zip(spectrum, its_spectra, strict=True)),
            )
            for number, (own, spectrum) in enumerate(zip(ensembles, spectra, strict=True))
        ]

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

    def _spectra(self, frames: Frames) -> tuple[spectral.Power, Float[np.ndarray, " lead"]]:
        """Return power by wavenumber, and the power at the period of the patches."""
        waves = spectral.power(frames)
        return spectral.radial(waves), spectral.lattice(waves, self.patch_size)
