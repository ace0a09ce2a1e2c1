"""The training loop: forecasts of batches, Adam, and validation by free forecasts each epoch.

A forecast is free if no true frame is fed after the context.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import takewhile
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from convlstm.model.batches import Batches
from convlstm.model.device import (
    explain_out_of_memory,
    keep_freed_memory,
    training_dtype,
    use_deterministic_algorithms,
)
from convlstm.model.gates import kernels_of
from convlstm.model.model_file import Model
from convlstm.model.network import Architecture, Network
from convlstm.model.ranks import ALONE, Ranks
from convlstm.runtime.errors import NonFinite
from convlstm.train.budget import Budget, has_patience
from convlstm.train.drawing import Drawing, Step
from convlstm.train.objective import Objective
from convlstm.train.params import Train
from convlstm.train.replaying import CUDAGraphs, Passes, Replayed, on_device
from convlstm.train.schedules import draw_fed_steps, learning_rate, sampling_probability
from convlstm.train.validation import OnWindow, validate

PARAMS_THAT_NEED_MEMORY = "batch_size, tile_size or hidden_channels, or set recompute_gates"
PLAIN_STATE = ("iteration", "skipped", "others", "_losses", "_last", "_best_score")
"""The attributes of a `Training` that its state holds as plain values."""
Weights = tuple[Tensor, ...] | list[Tensor]
BETAS = (0.9, 0.99)
"""The memories of Adam. By its usual 0.999 the gradients of the first steps, a hundred times those
that follow, would keep its steps small for most of a short run."""
VALIDATION_MEMBERS = 4
"""Members of an ensemble then; the fair CRPS does not depend on their number, only its noise."""


@dataclass(frozen=True)
class Epoch:
    """The result of one epoch.

    `train_loss` is the loss, a mean over measured pixels, times the pixels of a frame: with the
    readout `frame` of all next frames of a window, the context's too, else of the forecast frames.
    `validation` holds the scores of `scores.frame` of the ensemble's mean over the forecast frames,
    and the fair CRPS of the ensemble. `lr` and `sampling_probability` are those of the last
    iteration.
    """

    number: int
    lr: float
    sampling_probability: float
    train_loss: float
    validation: dict[str, float]

    def row(self) -> dict[str, int | float]:
        """Return the epoch as a row of training.csv."""
        scores = {
            f"valid_{key}": self.validation[key]
            for key in ("mse", "crps", "ssim", "psnr", "fmae", "sharpness")
        }
        return {
            "epoch": self.number,
            "lr": self.lr,
            "sampling_probability": self.sampling_probability,
            "train_loss": self.train_loss,
            **scores,
        }


def _architecture(batches: Batches, params: Train) -> Architecture:
    """Return the architecture that the params name, for frames of these sizes."""
    channels, rows, cols = batches.geometry.folded_shape
    return Architecture(
        params.cell,
        params.hidden_channels,
        params.kernel_size,
        channels=channels,
        rows=rows,
        cols=cols,
        readout=params.readout,
        scales={"cascade": params.cascade_scales}.get(params.readout, ()),
        patch_size=batches.geometry.patch_size,
    )


class Training:
    """One run: a network, its optimizer and its schedules, scaled to the run's own length.

    Of several ranks each has a network of its own. They hold the same weights at all times, because
    they begin alike and take the same steps: what decides is summed over ranks, or comes of the
    first one.
    """

    def __init__(
        self, batches: Batches, params: Train, device: torch.device, ranks: Ranks = ALONE
    ) -> None:
        use_deterministic_algorithms(params.deterministic)
        keep_freed_memory()
        torch.manual_seed(params.seed)
        self.batches, self.params, self.device, self.ranks = batches, params, device, ranks
        with explain_out_of_memory(device, "the weights", lower="hidden_channels or kernel_size"):
            self.network = Network(_architecture(batches, params)).to(device)
            self.network.memory.recompute = params.recompute_gates
            self.averaged = AveragedModel(self.network, multi_avg_fn=self._average)
        own = training_dtype(params.precision, device, self._first_steps)
        slower = ranks.most(int(own == torch.float32))  # for one of the ranks, and so for all
        self.dtype = torch.float32 if slower else torch.bfloat16
        self.network.memory.fused = self._has_kernels(params.fused_gates)
        self.model = Model(
            cast(Network, self.averaged.module),
            batches.geometry,
            batches.scaling,
            batches.quantities,
            batches.reading,
            batches.context_frames,
            batches.forecast_frames,
            params=params.model_dump(),
            training_precision=self.precision,
        )
        self.drawing = Drawing(batches, params, ranks, pinned=device.type == "cuda")
        self.steps_per_epoch = self.drawing.steps
        self.budget = Budget(params, self.steps_per_epoch)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=params.lr, betas=BETAS)
        self.scheduler = learning_rate(self.optimizer, params, self.budget.total)
        self.iteration, self.skipped = 0, 0
        self.others = 0  # trainings among which the cores were shared when this one began
        self._last = (params.lr, 1.0)  # learning rate and sampling probability of an iteration
        self.finished: list[Epoch] = []
        self._losses: list[float] = []  # of the epoch under way
        self.objective = Objective(self.network, batches, params, ranks.total)
        self._best_score, self._best = float("inf"), self._weights()
        self.on_window: OnWindow | None = None  # for whoever shows the forecasts of a validation
        self.on_note: Callable[[str], None] = lambda _: None  # for whoever tells what was decided

    def epochs(self, on_step: Callable[[float], None]) -> Iterator[Epoch]:
        """Train, and yield each epoch when it is done; the last may be cut short by the budget.

        After the last epoch the model holds the weights of the best one, which has the lowest
        validation CRPS, or MSE if that is the loss.

        Args:
            on_step: called after each iteration with its loss. If it raises, `state`
                already includes this iteration.

        Raises:
            NonFinite: the loss or the gradient of more than max_skipped_steps steps, or a
                validation score, is infinite or not a number.
            NoRoom: the memory is too small.
        """
        self.budget.start()
        while not self._has_ended():
            number = len(self.finished) + 1
            steps = self._steps_left(number)
            for step in takewhile(lambda _: self.budget.is_left(self.iteration), steps):
                with self._full_memory_explained():
                    loss = self._iterate(step)
                if math.isfinite(loss):
                    self._losses.append(loss)
                on_step(loss)
            yield self._finish(number)
        self.model.network.load_state_dict(self._best)

    @property
    def state_in_words(self) -> str:
        """The epoch under way, and the last and the best validation score, for people."""
        number, total = len(self.finished) + 1, self.budget.steps
        of_all = f" of {-(-total // self.steps_per_epoch)}" if total else ""
        if not self.finished:
            return f"epoch {number}{of_all}"
        name, last = f"validation {self._score_key.upper()}", self._last_score
        return f"epoch {number}{of_all}, {name} {last:.4g}, best {self._best_score:.4g}"

    @property
    def is_best(self) -> bool:
        """Whether the last epoch has the best validation score so far."""
        return self._last_score == self._best_score

    def identity(self) -> dict[str, Any]:
        """Return everything that decides the weights, except the code.

        What auto has measured is left out, because a run that goes on must not decide anew; so is
        the number of ranks, which changes last digits only.
        """
        return {
            "params": self.params.model_dump(),
            "device": self.device.type,
            "data": self.batches.fingerprint,
        }

    @property
    def precision(self) -> str:
        """The dtype of the convolutions, as text."""
        return str(self.dtype).removeprefix("torch.")

    def state(self) -> dict[str, Any]:
        """Return all that the rest of the run depends on, as tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "finished": [asdict(epoch) for epoch in self.finished],
            "best": self._best,
            "seconds": self.budget.seconds,
            "precision": self.precision,
            "fused": self.network.memory.fused,
            **{name: getattr(self, name) for name in PLAIN_STATE},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state` of a run with the same params, data and code.

        If it is another one, the exception that shows it is raised, and nothing has changed.
        """
        before = deepcopy(self.state())
        try:
            for name in ("scheduler", "best"):  # which torch or we would take, whatever they hold
                if set(state[name]) != set(before[name]):
                    raise ValueError(f"{name} of another kind")
            self._take(state)
        except Exception:
            self._take(before)
            raise

    def follow_first(self) -> None:
        """Take the state of the first rank, which alone reads checkpoints."""
        state = self.ranks.state_of_first(self.state())
        if not self.ranks.first:
            self.restore(state)

    def _take(self, state: Mapping[str, Any]) -> None:
        self.dtype = training_dtype(state["precision"], self.device, self._first_steps)
        if self.precision != state["precision"]:
            raise ValueError(f"in {state['precision']}, which this machine has not")
        self.network.memory.fused = self._has_kernels(state["fused"])
        if self.network.memory.fused != state["fused"]:
            raise ValueError("with fused gates, which this machine cannot compile")
        self.model = replace(self.model, training_precision=self.precision)
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.finished = [Epoch(**epoch) for epoch in state["finished"]]
        self._best, self.budget.seconds = state["best"], state["seconds"]
        for name in PLAIN_STATE:
            setattr(self, name, state[name])

    def _has_kernels(self, wanted: bool) -> bool:
        """Whether gates shall be computed in one pass, and can be."""
        return wanted and kernels_of(self.dtype, self.device) is not None

    @torch.no_grad()
    def _first_steps(self, dtype: torch.dtype) -> None:
        """Run the network for two steps, by which auto may tell which precision is faster."""
        a, batch = self.network.architecture, -(-self.params.batch_size // self.ranks.count)
        frames = torch.zeros(batch, 2, self.network.entering, a.rows, a.cols, device=self.device)
        fed = torch.ones(batch, 2, dtype=torch.bool, device=self.device)
        with self._full_memory_explained():
            self.network(frames, fed, dtype)

    def _steps_left(self, epoch: int) -> Iterator[Step]:
        """Yield the steps of an epoch that have not been taken, on the device."""
        done = self.iteration - (epoch - 1) * self.steps_per_epoch
        with self._full_memory_explained():
            yield from on_device(self.drawing.epoch(epoch, done=done), self.device)

    def _iterate(self, step: Step) -> float:
        """Take one step of the optimizer; returns the loss times the pixels of a frame.

        If the loss or the gradient is not finite, the weights stay as they are and it returns NaN.

        Raises:
            NonFinite: params allow no more such steps.
        """
        percent = 100 * self.budget.spent(self.iteration) / self.budget.total
        probability = sampling_probability(percent, self.params)
        self._last = (float(self.optimizer.param_groups[0]["lr"]), probability.forecast)
        drawn = step.white
        if self.params.readout == "frame":
            known = self.batches.context_frames
            drawn = draw_fed_steps(probability, step.uniform, context=known)
        weights = [*self.network.parameters()]
        loss_there = self.ranks.gradient(weights, self._passes(step.frames, step.mask, drawn))
        limit = self.params.gradient_clip or float("inf")
        norm_there = torch.nn.utils.clip_grad_norm_(weights, limit)
        # here alone a step waits for a GPU
        loss, norm = torch.stack((loss_there, norm_there)).tolist()
        finite = math.isfinite(loss) and math.isfinite(norm)
        if not finite:
            self._skip(loss, norm)
        self.optimizer.step()
        self.averaged.update_parameters(self.network)
        self.iteration += 1
        self._go_on()
        return loss * self.batches.geometry.pixels if finite else float("nan")

    def _forward_and_backward(self, frames: Tensor, mask: Tensor, drawn: Tensor) -> Tensor:
        """Return the loss of a step, and leave its gradient in the weights."""
        self.network.zero_grad()
        own = self.objective
        of = own.of_frames if self.params.readout == "frame" else own.of_members
        loss = of(frames, mask, drawn, self.dtype)
        loss.backward()  # type: ignore[no-untyped-call] # torch ships no type for it
        return loss.detach()

    @cached_property  # of the first step, because a checkpoint may bring another precision
    def _passes(self) -> Passes:
        """Passes forward and backward: replayed by a GPU, where that can be had.

        With the readout `frame` a step does what chance decides; and ranks meet within it.
        """
        params = self.params
        fixed = params.readout != "frame" and params.cell != "lstm" and self.ranks.count == 1
        if not (params.cuda_graph and fixed and self.device.type == "cuda"):
            return self._forward_and_backward
        return Replayed(self._forward_and_backward, self.network, CUDAGraphs(), self.on_note)

    def _average(self, averages: Weights, weights: Weights, count: Tensor | int) -> None:
        """Move the running means towards the weights, in the first steps faster.

        `count` of steps is our own, to read which a GPU would be waited for.
        """
        decay = min(self.params.average_decay, (1 + self.iteration) / (10 + self.iteration))
        get_ema_multi_avg_fn(decay)(averages, weights, count)  # type: ignore[no-untyped-call] # torch ships no type for it

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
        epoch = Epoch(number, *self._last, mean, self._validation())
        score = epoch.validation[self._score_key]
        if not math.isfinite(score):
            raise NonFinite(
                f"epoch {number}: the validation {self._score_key.upper()} is {score}; lower lr, "
                f"or set or lower gradient_clip"
            )
        if score < self._best_score:
            self._best_score, self._best = score, self._weights()
        self.finished.append(epoch)
        self._losses = []
        self._go_on()
        return epoch

    def _go_on(self) -> None:
        """Let the learning rate follow the budget, after a step or a validation."""
        self.budget.count_time()
        if self.budget.steps is None:  # the clocks of the ranks differ
            self.budget.seconds = self.ranks.of_first(self.budget.seconds)
        while self.scheduler.last_epoch < self.budget.spent(self.iteration):
            self.scheduler.step()

    @property
    def _last_score(self) -> float:
        return self.finished[-1].validation[self._score_key]

    @property
    def _score_key(self) -> str:
        """The validation score that chooses the weights."""
        return "mse" if self.params.loss == "mse" else "crps"

    def _has_ended(self) -> bool:
        """Whether budget or patience are at their end, and all steps are in a finished epoch."""
        scores = [epoch.validation[self._score_key] for epoch in self.finished]
        goes_on = self.budget.is_left(self.iteration) and has_patience(scores, self.params.patience)
        return len(self.finished) * self.steps_per_epoch >= self.iteration and not goes_on

    def _validation(self) -> dict[str, float]:
        members = 1 if self.params.members == 1 else VALIDATION_MEMBERS
        return validate(self.model, self.batches, members, self.on_window, self.ranks)

    def _full_memory_explained(self) -> AbstractContextManager[None]:
        geometry = self.batches.geometry
        size = (
            f"batch_size = {self.params.batch_size} windows of {self.batches.window_frames} frames "
            f"of {geometry.rows} x {geometry.cols} pixels"
        )
        return explain_out_of_memory(self.device, size, lower=PARAMS_THAT_NEED_MEMORY)

    def _weights(self) -> dict[str, Tensor]:
        return {name: weight.clone() for name, weight in self.model.network.state_dict().items()}
