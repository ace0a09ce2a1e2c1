"""The loop: scheduled sampling, Adam, a learning rate schedule, free validation each epoch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler

from convlstm.batches import Batch, Batches
from convlstm.metrics import LeadMeans
from convlstm.model import Model
from convlstm.network import Architecture, Network, working_precision
from convlstm.params import Train
from convlstm.sampling import draw, probability

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


class Training:
    """One run: a network, its optimizer and its two schedules, scaled to the run's own length."""

    def __init__(self, batches: Batches, params: Train, device: torch.device) -> None:
        torch.manual_seed(params.seed)
        channels, rows, cols = batches.geometry.folded_shape
        architecture = Architecture(
            params.cell,
            params.hidden_channels,
            params.kernel_size,
            channels=channels,
            rows=rows,
            cols=cols,
        )
        self.batches, self.params, self.device = batches, params, device
        self.dtype = working_precision(params.precision, device)
        self.model = Model(
            Network(architecture).to(device),
            batches.geometry,
            batches.scaling,
            batches.reading,
            batches.context_frames,
            batches.forecast_frames,
            params=params.model_dump(),
        )
        self.iterations = params.epochs * -(-batches.count("train") // params.batch_size)
        self.iteration = 0
        self.optimizer = torch.optim.Adam(self.model.network.parameters(), lr=params.lr)
        self.scheduler = lr_schedule(self.optimizer, params, self.iterations)
        self.sampler = torch.Generator().manual_seed(params.seed)

    def epochs(self, on_batch: Callable[[float], None]) -> Iterator[Epoch]:
        """Train, yielding each epoch when done; then the model holds the best epoch's weights.

        The best is the one with the lowest validation MSE.

        Args:
            on_batch: called after each iteration with its training MSE.
        """
        best, best_weights = float("inf"), self._weights()
        for number in range(1, self.params.epochs + 1):
            losses = []
            order = self.batches.shuffled(
                "train", self.params.batch_size, seed=self.params.seed, epoch=number
            )
            for batch in order:
                losses.append(self._iterate(batch))
                on_batch(losses[-1])
            epoch = self._summary(number, sum(losses) / len(losses))
            if epoch.valid["mse"] < best:
                best, best_weights = epoch.valid["mse"], self._weights()
            yield epoch
        self.model.network.load_state_dict(best_weights)

    def _iterate(self, batch: Batch) -> float:
        """One step of the optimizer; returns the batch's MSE, a sum over the pixels of a frame."""
        frames, valid = batch.frames.to(self.device), batch.valid[:, 1:].to(self.device)
        chance = probability(100 * self.iteration / self.iterations, self.params)
        fed = draw(
            chance,
            batch=len(frames),
            context=self.batches.context_frames,
            steps=frames.shape[1] - 1,
            generator=self.sampler,
        )
        forecast = self.model.network(frames, fed.to(self.device), self.dtype)
        loss = masked_mse(forecast, frames[:, 1:], valid)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch ships no type for it
        if self.params.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(
                self.model.network.parameters(), self.params.gradient_clip
            )
        self._last = (float(self.optimizer.param_groups[0]["lr"]), chance.forecast)
        self.optimizer.step()
        self.scheduler.step()
        self.iteration += 1
        geometry = self.batches.geometry
        return loss.item() * geometry.channels * geometry.rows * geometry.cols

    def _summary(self, number: int, train_mse: float) -> Epoch:
        lr, sampling_probability = self._last
        return Epoch(
            number, lr, sampling_probability, train_mse, validate(self.model, self.batches)
        )

    def _weights(self) -> dict[str, Tensor]:
        return {name: weight.clone() for name, weight in self.model.network.state_dict().items()}


def masked_mse(forecast: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Mean squared error over the valid pixels; 0 if there are none."""
    return ((forecast - truth) ** 2 * valid).sum() / valid.sum().clamp(min=1)


def lr_schedule(optimizer: Optimizer, params: Train, iterations: int) -> lr_scheduler.LRScheduler:
    """The learning rate over `iterations` steps, from torch.optim.lr_scheduler.

    step falls by lr_step_factor every lr_step_percent of the run; exponential and cosine end at
    lr_final_factor times lr; onecycle (Smith 2017, arXiv:1708.07120) peaks at lr after 30 % of the
    run.
    """
    final = params.lr_final_factor
    match params.lr_schedule:
        case "constant":
            return lr_scheduler.ConstantLR(optimizer, factor=1.0)
        case "step":
            every = max(1, round(iterations * params.lr_step_percent / 100))
            return lr_scheduler.StepLR(optimizer, every, gamma=params.lr_step_factor)
        case "exponential":
            return lr_scheduler.ExponentialLR(optimizer, gamma=final ** (1 / iterations))
        case "cosine":
            return lr_scheduler.CosineAnnealingLR(optimizer, iterations, eta_min=params.lr * final)
        case "onecycle":
            return lr_scheduler.OneCycleLR(optimizer, params.lr, total_steps=iterations)


def validate(model: Model, batches: Batches) -> dict[str, float]:
    """Scores of free forecasts over the validation windows, mean over leads."""
    means = LeadMeans()
    context = batches.context_frames
    for batch in batches.in_order("valid", VALIDATION_BATCH):
        frames = batches.geometry.unfold(batch.frames.numpy())
        valid = batches.geometry.unfold(batch.valid.numpy())
        forecast = model.rollout(frames[:, :context], batches.forecast_frames)
        for window in zip(forecast, frames[:, context:], valid[:, context:], strict=True):
            means.add(*window)
    return means.overall()
