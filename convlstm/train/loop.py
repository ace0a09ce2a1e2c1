"""The loop: scheduled sampling, Adam, a learning rate schedule, free validation each epoch."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from convlstm.model import memory
from convlstm.model.batches import Batch, Batches
from convlstm.model.device import use_deterministic_algorithms, working_precision
from convlstm.model.model_file import Model
from convlstm.model.network import Architecture, Network
from convlstm.params.groups import Train
from convlstm.runtime.errors import NonFinite
from convlstm.train.learning_rate import lr_schedule
from convlstm.train.sampling import draw, probability
from convlstm.train.validation import Epoch, validate

MEMORY_PARAMS = "batch_size, tile_size or hidden_channels"
COUNTERS = ("iteration", "skipped", "_losses", "_last", "_best_mse")
"""Of `Training`: what of its state is plain numbers."""


class Training:
    """One run: a network, its optimizer and its two schedules, scaled to the run's own length."""

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
        self.steps_an_epoch = -(-batches.count("train") // params.batch_size)
        self.iterations = params.epochs * self.steps_an_epoch
        self.optimizer = torch.optim.Adam(self.model.network.parameters(), lr=params.lr)
        self.scheduler = lr_schedule(self.optimizer, params, self.iterations)
        self.sampler = torch.Generator().manual_seed(params.seed)
        self.iteration, self.skipped = 0, 0
        self._last = (params.lr, 1.0)  # learning rate and sampling probability of an iteration
        self.finished: list[Epoch] = []
        self._losses: list[float] = []  # of the epoch at work
        self._best_mse, self._best = float("inf"), self._weights()

    def epochs(self, on_step: Callable[[float], None]) -> Iterator[Epoch]:
        """Train, yielding each epoch when done; then the model holds the best epoch's weights.

        The best is the one with the lowest validation MSE.

        Args:
            on_step: called after each iteration with its training MSE. Whatever it raises, `state`
                is that after the iteration.

        Raises:
            NonFinite: a loss, a gradient or a validation MSE is no finite number.
            NoRoom: the memory is too small.
        """
        while (number := len(self.finished) + 1) <= self.params.epochs:
            order = self.batches.shuffled(
                "train",
                self.params.batch_size,
                seed=self.params.seed,
                epoch=number,
                done=self.iteration - (number - 1) * self.steps_an_epoch,
            )
            for batch in order:
                with memory.told(self.device, self._size(), lower=MEMORY_PARAMS):
                    mse = self._iterate(batch)
                if math.isfinite(mse):
                    self._losses.append(mse)
                on_step(mse)
            yield self._finish(number)
        self.model.network.load_state_dict(self._best)

    def facts(self) -> dict[str, Any]:
        """All that decides the weights, but for the code."""
        return {
            "params": self.params.model_dump(),
            "precision": self.precision,
            "data": self.batches.fingerprint,
        }

    @property
    def precision(self) -> str:
        """Of the convolutions: what `precision` in params has come to on this device."""
        return str(self.dtype).removeprefix("torch.")

    def state(self) -> dict[str, Any]:
        """All that the rest of the run depends on, in tensors and plain values."""
        return {
            "network": self.model.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "sampler": self.sampler.get_state(),
            "finished": [asdict(epoch) for epoch in self.finished],
            "best": self._best,
            **{name: getattr(self, name) for name in COUNTERS},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`, of a run with the same params, data and code."""
        self.model.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.sampler.set_state(state["sampler"])
        self.finished = [Epoch(**epoch) for epoch in state["finished"]]
        self._best = state["best"]
        for name in COUNTERS:
            setattr(self, name, state[name])

    def _iterate(self, batch: Batch) -> float:
        """One step of the optimizer; returns the batch's MSE, a sum over the pixels of a frame.

        If it is not finite, or the gradient is not, the weights stay as they are.
        """
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
        limit = self.params.gradient_clip or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.model.network.parameters(), limit)
        self._last = (float(self.optimizer.param_groups[0]["lr"]), chance.forecast)
        finite = bool(torch.isfinite(loss) & torch.isfinite(norm))
        if not finite:
            self._skip(loss.item(), norm.item())
        self.optimizer.step()
        self.scheduler.step()
        self.iteration += 1
        return loss.item() * self.batches.geometry.pixels if finite else float("nan")

    def _skip(self, loss: float, norm: float) -> None:
        """Leave the gradient out, if params allow it; one NaN would make all weights NaN."""
        if self.skipped >= self.params.max_skipped_steps:
            epoch, step = divmod(self.iteration, self.steps_an_epoch)
            raise NonFinite(
                f"epoch {epoch + 1}, batch {step + 1}: loss {loss}, norm of the gradient {norm}, "
                f"at a learning rate of {self._last[0]:.3g}; lower lr, set or lower gradient_clip, "
                f"or let max_skipped_steps = {self.params.max_skipped_steps} allow for it"
            )
        self.skipped += 1
        self.optimizer.zero_grad()  # without gradients Adam changes nothing

    def _finish(self, number: int) -> Epoch:
        """Validate; keep the weights if they are the best."""
        mean = sum(self._losses) / len(self._losses) if self._losses else float("nan")
        epoch = Epoch(number, *self._last, mean, validate(self.model, self.batches))
        if not math.isfinite(epoch.valid["mse"]):
            raise NonFinite(
                f"epoch {number}: the validation MSE is {epoch.valid['mse']}; lower lr, or set or "
                f"lower gradient_clip"
            )
        if epoch.valid["mse"] < self._best_mse:
            self._best_mse, self._best = epoch.valid["mse"], self._weights()
        self.finished.append(epoch)
        self._losses = []
        return epoch

    def _size(self) -> str:
        of, frames = self.batches, self.batches.context_frames + self.batches.forecast_frames
        return (
            f"batch_size = {self.params.batch_size} windows of {frames} frames of "
            f"{of.geometry.rows} x {of.geometry.cols} pixels"
        )

    def _weights(self) -> dict[str, Tensor]:
        return {name: weight.clone() for name, weight in self.model.network.state_dict().items()}


def masked_mse(forecast: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Mean squared error over the valid pixels; 0 if there are none."""
    weights = valid.to(forecast.dtype)  # once, for the way back multiplies by it too
    return ((forecast - truth) ** 2 * weights).sum() / valid.sum().clamp(min=1)
