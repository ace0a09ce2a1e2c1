"""The loss that a step of training minimises: that of a forecast of its windows."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from convlstm.model.batches import Batches
from convlstm.model.network import Network
from convlstm.patch.folding import unfold
from convlstm.train.losses import Total, masked_crps, masked_mae, masked_mse, masked_weighted
from convlstm.train.params import Train

Frames = Float[Tensor, "batch time channel row col"]
Mask = Bool[Tensor, "batch time channel row col"]


class Objective:
    """The loss that the params name, of folded windows on the device of the network.

    Args:
        network: whose forecasts are measured.
        batches: of which the windows are.
        params: the loss.
        total: over the ranks that share a batch.
    """

    def __init__(self, network: Network, batches: Batches, params: Train, total: Total) -> None:
        self.network, self.batches, self.params, self.total = network, batches, params, total
        device = next(network.parameters()).device
        # The thresholds of each channel as training sees its values.
        limits = np.array(params.loss_thresholds)
        own = np.stack([curve.to_thresholds(limits) for curve in batches.scaling.curves])
        self._thresholds = torch.from_numpy(own).to(device)
        self._weights = torch.tensor(params.loss_weights, device=device)

    def of_frames(
        self, frames: Frames, mask: Mask, fed: Bool[Tensor, "batch steps"], dtype: torch.dtype
    ) -> Float[Tensor, ""]:
        """Return the loss of all next frames, some of which follow the network's own.

        Args:
            frames: the windows.
            mask: of measured pixels.
            fed: from `draw_fed_steps`, on the CPU.
            dtype: the precision of the convolutions.
        """
        forecast = self.network(frames, fed, dtype)
        return self._of_pixels(forecast, frames[:, 1:], mask[:, 1:])

    def of_members(
        self,
        frames: Frames,
        mask: Mask,
        white: Float[Tensor, "member batch lead pixelrow pixelcol"],
        dtype: torch.dtype,
    ) -> Float[Tensor, ""]:
        """Return the loss of the members of a free forecast.

        Args:
            frames: the windows.
            mask: of measured pixels.
            white: the noise of the members, on the device.
            dtype: the precision of the convolutions.
        """
        known, p = self.batches.context_frames, self.batches.geometry.patch_size
        truth, measured = unfold(frames[:, known:], p), unfold(mask[:, known:], p)
        (members,) = self.network.ensemble(
            frames[:, :known], mask[:, :known], truth.shape[1], [white], dtype
        )
        if self.params.loss == "crps":
            return masked_crps(members, truth, measured, self.params.crps_alpha, self.total)
        return self._of_pixels(members[0], truth, measured)

    def _of_pixels(self, forecast: Frames, truth: Frames, mask: Mask) -> Float[Tensor, ""]:
        if self.params.loss == "weighted":
            limits, weights = self._thresholds, self._weights
            return masked_weighted(
                forecast, truth, mask, self.total, thresholds=limits, weights=weights
            )
        loss = masked_mse if self.params.loss == "mse" else masked_mae
        return loss(forecast, truth, mask, self.total)
