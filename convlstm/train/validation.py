"""What one epoch of training came to: free forecasts of the validation windows."""

from dataclasses import dataclass

from convlstm.model.batches import Batches
from convlstm.model.model_file import Model
from convlstm.scores.frame import LeadMeans

VALIDATION_BATCH = 8
"""Windows at a time without gradients; a constant, so that it cannot change numbers."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to; MSEs are sums over the pixels of a frame.

    `train_mse` is over all next frames of a window, the context's too, as the loss is; `valid` over
    the forecast frames, one value for each of `metrics.COLUMNS`. `lr` and `sampling_probability`
    are those of the last iteration.
    """

    number: int
    lr: float
    sampling_probability: float
    train_mse: float
    valid: dict[str, float]

    def row(self) -> dict[str, int | float]:
        """The epoch as a row of training.csv."""
        facts = {
            "epoch": self.number,
            "lr": self.lr,
            "sampling_probability": self.sampling_probability,
        }
        scores = {
            f"valid_{name}": self.valid[name]
            for name in ("mse", "ssim", "psnr", "fmae", "sharpness")
        }
        return {**facts, "train_mse": self.train_mse, **scores}


def validate(model: Model, batches: Batches) -> dict[str, float]:
    """Scores of free forecasts over the validation windows, mean over leads."""
    means = LeadMeans()
    context = batches.context_frames
    for batch in batches.in_order("valid", VALIDATION_BATCH):
        frames, valid = batches.pixels(batch)
        forecast = model.rollout(frames[:, :context], batches.forecast_frames)
        for window in zip(forecast, frames[:, context:], valid[:, context:], strict=True):
            means.add(*window)
    return means.overall()
