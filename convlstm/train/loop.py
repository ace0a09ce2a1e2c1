"""The training loop: scheduled sampling, Adam, and validation by free forecasts each epoch.

A forecast is free if no true frame is fed after the context.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from convlstm.model.batches import Batch, Batches
from convlstm.model.device import (
    explain_out_of_memory,
    training_dtype,
    use_deterministic_algorithms,
)
from convlstm.model.model_file import Model
from convlstm.model.network import Architecture, Network
from convlstm.runtime.errors import NonFinite
from convlstm.scores.frame import LeadMeans
from convlstm.train.losses import masked_mse
from convlstm.train.params import Train
from convlstm.train.schedules import draw_fed_steps, learning_rate, sampling_probability

PARAMS_THAT_NEED_MEMORY = "batch_size, tile_size or hidden_channels"
PLAIN_STATE = ("iteration", "skipped", "_losses", "_last", "_best_mse")
"""The attributes of a `Training` that its state holds as plain values."""
VALIDATION_BATCH = 8
"""Windows at a time without gradients; a constant, so that it cannot change numbers."""


@dataclass(frozen=True)
class Epoch:
    """The result of one epoch.

    `train_mse` is the mean squared error over measured pixels times the pixels of a frame, of all
    next frames of a window, the context's too. `validation` holds the scores of `scores.frame` over
    the forecast frames. `lr` and `sampling_probability` are those of the last iteration.
    """

    number: int
    lr: float
    sampling_probability: float
    train_mse: float
    validation: dict[str, float]

    def row(self) -> dict[str, int | float]:
        """Return the epoch as a row of training.csv."""
        scores = {
            f"valid_{key}": self.validation[key]
            for key in ("mse", "ssim", "psnr", "fmae", "sharpness")
        }
        return {
            "epoch": self.number,
            "lr": self.lr,
            "sampling_probability": self.sampling_probability,
            "train_mse": self.train_mse,
            **scores,
        }


def validate(model: Model, batches: Batches) -> dict[str, float]:
    """Return the scores of free forecasts of the validation windows, as means over lead times."""
    means, known = LeadMeans(), batches.context_frames
    for batch in batches.in_order("valid", VALIDATION_BATCH):
        folded = model.rollout(batch.frames[:, :known], batches.forecast_frames)
        forecast = batches.geometry.unfold(folded.numpy())
        frames, mask = batches.pixels(batch)
        for window in zip(forecast, frames[:, known:], mask[:, known:], strict=True):
            means.add(*window)
    return means.overall()


class Training:
    """One run: a network, its optimizer and its schedules, scaled to the run's own length."""

    def __init__(self, batches: Batches, params: Train, device: torch.device) -> None:
        use_deterministic_algorithms(params.deterministic)
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
        self.dtype = training_dtype(params.precision, device)
        self.model = Model(
            Network(architecture).to(device),
            batches.geometry,
            batches.scaling,
            batches.reading,
            batches.context_frames,
            batches.forecast_frames,
            params=params.model_dump(),
        )
        self.steps_per_epoch = -(-batches.count("train") // params.batch_size)
        self.iterations = params.epochs * self.steps_per_epoch
        self.optimizer = torch.optim.Adam(self.model.network.parameters(), lr=params.lr)
        self.scheduler = learning_rate(self.optimizer, params, self.iterations)
        self.generator = torch.Generator().manual_seed(params.seed)
        self.iteration, self.skipped = 0, 0
        self._last = (params.lr, 1.0)  # learning rate and sampling probability of an iteration
        self.finished: list[Epoch] = []
        self._losses: list[float] = []  # of the epoch under way
        self._best_mse, self._best = float("inf"), self._weights()

    def epochs(self, on_step: Callable[[float], None]) -> Iterator[Epoch]:
        """Train, and yield each epoch when it is done.

        After the last epoch the model holds the weights of the best one, which has the lowest
        validation MSE.

        Args:
            on_step: called after each iteration with its training MSE. If it raises, `state`
                already includes this iteration.

        Raises:
            NonFinite: the loss or the gradient of more than max_skipped_steps steps, or a
                validation MSE, is infinite or not a number.
            NoRoom: the memory is too small.
        """
        while (number := len(self.finished) + 1) <= self.params.epochs:
            order = self.batches.shuffled(
                "train",
                self.params.batch_size,
                seed=self.params.seed,
                epoch=number,
                done=self.iteration - (number - 1) * self.steps_per_epoch,
            )
            for batch in order:
                with explain_out_of_memory(
                    self.device, self._size(), lower=PARAMS_THAT_NEED_MEMORY
                ):
                    mse = self._iterate(batch)
                if math.isfinite(mse):
                    self._losses.append(mse)
                on_step(mse)
            yield self._finish(number)
        self.model.network.load_state_dict(self._best)

    def identity(self) -> dict[str, Any]:
        """Return everything that decides the weights, except the code."""
        return {
            "params": self.params.model_dump(),
            "precision": self.precision,
            "data": self.batches.fingerprint,
        }

    @property
    def precision(self) -> str:
        """The dtype of the convolutions, as text."""
        return str(self.dtype).removeprefix("torch.")

    def state(self) -> dict[str, Any]:
        """Return all that the rest of the run depends on, as tensors and plain values."""
        return {
            "network": self.model.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "generator": self.generator.get_state(),
            "finished": [asdict(epoch) for epoch in self.finished],
            "best": self._best,
            **{name: getattr(self, name) for name in PLAIN_STATE},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state` of a run with the same params, data and code."""
        self.model.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.generator.set_state(state["generator"])
        self.finished = [Epoch(**epoch) for epoch in state["finished"]]
        self._best = state["best"]
        for name in PLAIN_STATE:
            setattr(self, name, state[name])

    def _iterate(self, batch: Batch) -> float:
        """Take one step of the optimizer; returns the MSE times the pixels of a frame.

        If the loss or the gradient is not finite, the weights stay as they are and it returns NaN.

        Raises:
            NonFinite: params allow no more such steps.
        """
        frames, mask = batch.frames.to(self.device), batch.mask[:, 1:].to(self.device)
        probability = sampling_probability(100 * self.iteration / self.iterations, self.params)
        fed = draw_fed_steps(
            probability,
            batch=len(frames),
            context=self.batches.context_frames,
            steps=frames.shape[1] - 1,
            generator=self.generator,
        )
        forecast = self.model.network(frames, fed.to(self.device), self.dtype)
        loss = masked_mse(forecast, frames[:, 1:], mask)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch ships no type for it
        limit = self.params.gradient_clip or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.model.network.parameters(), limit)
        self._last = (float(self.optimizer.param_groups[0]["lr"]), probability.forecast)
        finite = bool(torch.isfinite(loss) & torch.isfinite(norm))
        if not finite:
            self._skip(loss.item(), norm.item())
        self.optimizer.step()
        self.scheduler.step()
        self.iteration += 1
        return loss.item() * self.batches.geometry.pixels if finite else float("nan")

    def _skip(self, loss: float, norm: float) -> None:
        """Drop the gradient, if params allow it; one NaN would make all weights NaN."""
        if self.skipped >= self.params.max_skipped_steps:
            epoch, step = divmod(self.iteration, self.steps_per_epoch)
            raise NonFinite(
                f"epoch {epoch + 1}, batch {step + 1}: loss {loss}, norm of the gradient {norm}, "
                f"at a learning rate of {self._last[0]:.3g}; lower lr, set or lower gradient_clip, "
                f"or let max_skipped_steps = {self.params.max_skipped_steps} allow for it"
            )
        self.skipped += 1
        self.optimizer.zero_grad()  # without gradients Adam changes nothing

    def _finish(self, number: int) -> Epoch:
        """Validate, and keep the weights if they are the best so far."""
        mean = sum(self._losses) / len(self._losses) if self._losses else float("nan")
        epoch = Epoch(number, *self._last, mean, validate(self.model, self.batches))
        mse = epoch.validation["mse"]
        if not math.isfinite(mse):
            raise NonFinite(
                f"epoch {number}: the validation MSE is {mse}; lower lr, or set or lower "
                f"gradient_clip"
            )
        if mse < self._best_mse:
            self._best_mse, self._best = mse, self._weights()
        self.finished.append(epoch)
        self._losses = []
        return epoch

    def _size(self) -> str:
        length = self.batches.context_frames + self.batches.forecast_frames
        geometry = self.batches.geometry
        return (
            f"batch_size = {self.params.batch_size} windows of {length} frames of "
            f"{geometry.rows} x {geometry.cols} pixels"
        )

    def _weights(self) -> dict[str, Tensor]:
        return {name: weight.clone() for name, weight in self.model.network.state_dict().items()}
