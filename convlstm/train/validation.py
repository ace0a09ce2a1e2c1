"""Validation by free forecasts: none is fed a true frame after the context."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float

from convlstm.model.batches import Batches
from convlstm.model.model_file import Model
from convlstm.model.ranks import ALONE, Ranks
from convlstm.scores import ensemble
from convlstm.scores.frame import LeadMeans, Values
from convlstm.sums import frame
from convlstm.sums.ensemble import sums as ensemble_sums

VALIDATION_BATCH = 8
"""Windows at a time without gradients; a constant, so that it cannot change numbers."""

Window = Float[np.ndarray, "lead channel row col"]
OnWindow = Callable[[Window, Window], None]
"""Called with the truth and the forecast of a validation window, of an ensemble its mean."""


def validate(
    model: Model,
    batches: Batches,
    members: int,
    on_window: OnWindow | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, float]:
    """Return the scores of free forecasts of the validation windows, as means over lead times.

    The ranks take the batches in turn, so that each is the same however many share them, and sums
    and counts are added up before a mean is taken. `on_window` sees our windows only.
    """
    known, leads = batches.context_frames, batches.forecast_frames
    means = LeadMeans(*np.zeros((2, leads, len(Values._fields))))  # also of a rank without a window
    device = next(model.network.parameters()).device
    sums = np.zeros((leads, len(ensemble.Sums._fields)))
    for batch in batches.in_order("valid", VALIDATION_BATCH, every=ranks.count, first=ranks.number):
        seen, mask_seen = batch.frames[:, :known], batch.mask[:, :known]
        folded = model.rollout(seen, mask_seen, leads, members)
        pixels = batches.geometry.unfold(folded.numpy()), *batches.pixels(batch)
        forecasts, frames, mask = (torch.from_numpy(own).to(device) for own in pixels)
        mean, truth, measured = forecasts.mean(dim=0), frames[:, known:], mask[:, known:]
        means.add(frame.values(mean[None], truth, measured)[0].cpu().numpy())
        if on_window:
            for window in zip(truth.cpu().numpy(), mean.cpu().numpy(), strict=True):
                on_window(*window)
        parts = ensemble_sums(forecasts.clamp(0, 1)[:, None], truth, measured)
        sums += parts[0].sum(dim=0).cpu().numpy()
    means.sums, means.counts, sums = ranks.sums(means.sums, means.counts, sums)
    by_lead = ensemble.crps(ensemble.Sums(*sums.T), value_width=float(batches.geometry.pixels))
    return {**means.overall(), "crps": float(by_lead.mean())}
