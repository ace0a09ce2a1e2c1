"""Sums over pixels and windows of all pooled families: first pool, then score.

A mean of ratios is decided by the windows with hardly any rain; a ratio of sums is not. Totals add
up, so a test set of any size takes constant memory, and two halves give what one pass gives.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from convlstm.sums import (
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

Forecasts = Float[Tensor, "forecast batch lead channel row col"]
Members = Float[Tensor, "member batch lead channel row col"]
Frames = Float[Tensor, "batch lead channel row col"]
Mask = Bool[Tensor, "batch lead channel row col"]
Every = Float[Tensor, "which batch channel row col"]
"""Frames of one lead time, by each forecaster and, last, the true ones; 0 where missing."""
Measured = Bool[Tensor, "batch channel row col"]
Sums = Mapping[str, Tensor]
"""Fields of `Totals` by name, of which each has an axis of forecasters and one of windows."""
ByForecast = dict[str, list[Tensor]]
"""Fields of `Totals` by name, for each forecaster with an axis of windows."""


@dataclass(frozen=True)
class Totals:
    """Sums over any number of windows, of the families that the fields are named after."""

    moments: Float[np.ndarray, "*window lead moment"]
    ensemble: Float[np.ndarray, "*window lead which_sum"]
    ranks: Float[np.ndarray, "*window lead rank"]
    probability: Float[np.ndarray, "*window lead threshold which share"]
    variogram: Float[np.ndarray, "*window lead which_variogram"]
    temporal: Float[np.ndarray, "*window lead which_change"]
    events: Float[np.ndarray, "*window lead threshold count"]
    fractions: Float[np.ndarray, "*window lead threshold scale part"]
    power: Float[np.ndarray, "*window lead which wavenumber"]
    lattice: Float[np.ndarray, "*window lead which"]

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            *(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True))
        )

    def sum(self) -> "Totals":
        """Return the sums over the windows of a batch, the first axis."""
        return Totals(*(field.sum(axis=0) for field in astuple(self)))


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
        forecasts: Forecasts,
        truth: Frames,
        mask: Mask,
        members: Members | None = None,
        last: Float[Tensor, "batch channel row col"] | None = None,
    ) -> list[Totals]:
        """Return the sums of each window of a batch by each forecaster, clipped to [0, 1].

        The forecasts come together because the truth's share of the work is then done once. Pixels
        outside the mask count nowhere.

        Args:
            forecasts: one by each forecaster.
            truth: the true frames.
            mask: of measured pixels.
            members: of the ensemble whose mean is the first forecast; all others are ensembles of
                one.
            last: the frame before the first true one, NaN where nothing was measured; without it
                the first lead time has no change.
        """
        before = torch.full_like(truth[:, 0], torch.nan) if last is None else last
        found = list(self._by_lead(forecasts, truth, mask, members, before))

        def of_forecast(number: int) -> Totals:
            sums = {
                name: torch.stack([own[name][number] for own in found], dim=1) for name in found[0]
            }
            return Totals(**{name: own.cpu().numpy() for name, own in sums.items()})

        return [of_forecast(number) for number in range(len(forecasts))]

    def _by_lead(
        self,
        forecasts: Forecasts,
        truth: Frames,
        mask: Mask,
        members: Members | None,
        last: Float[Tensor, "batch channel row col"],
    ) -> Iterator[ByForecast]:
        """Yield the sums of one lead time after the other, so that none needs much memory."""
        every, measured = last.nan_to_num()[None], ~last.isnan()
        for lead in range(truth.shape[1]):
            previous, known, measured = every, measured, mask[:, lead]
            clipped = torch.cat((forecasts[:, :, lead].clamp(0, 1), truth[None, :, lead]))
            every = torch.where(measured, clipped, 0)
            ensembles = [clipped[None, : len(forecasts)]]
            if members is not None:
                ensembles = [members[:, None, :, lead].clamp(0, 1), clipped[None, 1:-1]]
            changes = temporal.changes(every, previous.expand_as(every), measured & known)
            parts: list[Mapping[str, Iterable[Tensor]]] = [
                {"temporal": _beside(changes)},
                self._of_frames(every, measured),
                self._of_ensembles(ensembles, every[-1], measured),
            ]
            yield {name: [*own] for part in parts for name, own in part.items()}

    def _of_frames(self, every: Every, mask: Measured) -> Sums:
        """Return the sums of single forecasts; `every` ends with the truth."""
        waves, cols = spectral.power(every), every.shape[-1]
        squares = [spatial.squares(mask, side) for side in self.scales]
        events, fractions = [], []
        for threshold in self.thresholds:
            chosen = (every >= threshold) & mask
            events.append(categorical.counts(chosen, mask))
            fractions.append(spatial.fractions(chosen, squares))
        return {
            "moments": continuous.moments(every[:-1], every[-1], mask),
            "events": torch.stack(events, dim=2),
            "fractions": torch.stack(fractions, dim=2),
            "power": _beside(spectral.radial(waves, cols)),
            "lattice": _beside(spectral.lattice(waves, cols, self.patch_size)),
        }

    def _of_ensembles(
        self,
        ensembles: Iterable[Float[Tensor, "_ _ batch channel row col"]],
        truth: Float[Tensor, "batch channel row col"],
        mask: Measured,
    ) -> ByForecast:
        """Return what is summed over all members, of each forecast by ensembles of some size."""
        found: ByForecast = {}
        for members in ensembles:
            given = members, truth, mask
            sums = {
                "ensemble": ensemble.sums(*given),
                "ranks": ranks.counts(*given),
                "probability": probability.frequencies(*given, self.thresholds),
                "variogram": variogram.sums(*given),
            }
            for name, own in sums.items():
                found.setdefault(name, []).extend(own)
        return found


def _beside(
    sums: Float[Tensor, "which batch *part"],
) -> Float[Tensor, "forecast batch 2 *part"]:
    """Return the sums of each forecast with those of the truth, the last ones, beside them."""
    return torch.stack((sums[:-1], sums[-1:].expand_as(sums[:-1])), dim=2)
