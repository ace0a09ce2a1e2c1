"""Trains OpenSTL's ConvLSTM by the recipe that it publishes for Moving MNIST, in a given CPU time.

The numbers are those of configs/mmnist/ConvLSTM.py, of the defaults of utils/parser.py and of
methods/predrnn.py (https://github.com/chengtan9907/OpenSTL, c74deb5): 4 layers of 128, 5 x 5,
patches of 4, batches of 16, Adam, one cycle of the learning rate up to 0.0005, no clipping of the
gradient, and the mean squared error of all next frames. Its scheduled sampling ends at the
50,000th of the 125,000 steps that 200 epochs of 10,000 sequences are; its constants of the reverse
kind are not in use. Both schedules are scaled to the time of the run here, as ours are.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch

from convlstm.model.batches import Batches
from convlstm.train.drawing import Drawing, Step
from convlstm.train.params import Train
from convlstm.train.schedules import draw_fed_steps, learning_rate, sampling_probability

from .cpu_time import CPUTime
from .openstl import OpenSTL
from .sizes import SIZES

RECIPE: dict[str, Any] = {
    "readout": "frame",
    "batch_size": 16,
    "lr": 0.0005,
    "lr_schedule": "onecycle",
    "sampling": "linear",
    "sampling_linear_percent": 40.0,
    "random_windows": False,
    "augment": "none",
}
VALIDATIONS = 5  # of a run, at equal parts of its time, of which they take none
CPU = torch.device("cpu")


class Recipe:
    """One run; `validate` scores the network as it is, and low is good.

    Args:
        batches: the data.
        checkout: of OpenSTL.
        params: of which `minutes` and `seed` count.
        validate: is called with this.
    """

    def __init__(
        self,
        batches: Batches,
        checkout: Path,
        params: Train,
        validate: Callable[["Recipe"], float],
    ) -> None:
        self.batches, self.params = batches, params.model_copy(update=RECIPE)
        channels, grid, _ = batches.geometry.folded_shape
        torch.manual_seed(params.seed)
        self.openstl = OpenSTL(checkout, replace(SIZES["mnist"], channels=channels, grid=grid), CPU)
        self.budget, self.drawing = CPUTime(self.params, 1), Drawing(batches, self.params)
        self.optimizer = torch.optim.Adam(self.openstl.network.parameters())
        self.scheduler = learning_rate(self.optimizer, self.params, self.budget.total)
        self._validate, self._scores = validate, list[float]()
        self.steps = 0

    def choose_precision(self) -> dict[torch.dtype, float]:
        """Take the faster precision; returns the CPU seconds of a step in each.

        That is a step without the optimizer, after a smaller one that is not timed.
        """
        step, seconds = next(self.drawing.epoch(1)), {}
        for dtype in (torch.bfloat16, torch.float32):
            self.openstl.dtype = dtype
            self._loss(step._replace(frames=step.frames[:1], uniform=step.uniform[:1])).backward()  # type: ignore[no-untyped-call] # torch ships no type for it
            start = time.process_time()
            self._loss(step).backward()  # type: ignore[no-untyped-call] # torch ships no type for it
            seconds[dtype] = time.process_time() - start
        self.openstl.dtype = min(seconds, key=lambda dtype: seconds[dtype])
        return seconds

    def train(self) -> None:
        """Train for the minutes, and keep the weights of the best validation."""
        epoch, best = 0, self.openstl.network.state_dict()
        self.budget.start()
        while self.budget.is_left(self.steps):
            epoch += 1
            steps = self.drawing.epoch(epoch)
            for step in takewhile(lambda _: self.budget.is_left(self.steps), steps):
                self._step(step)
                if self._is_due():
                    self._scores.append(self._validate(self))
                    if min(self._scores) == self._scores[-1]:
                        now = self.openstl.network.state_dict()
                        best = {name: weight.clone() for name, weight in now.items()}
                    self.budget.start()
        self.openstl.network.load_state_dict(best)

    def _step(self, step: Step) -> None:
        self.optimizer.zero_grad()
        self._loss(step).backward()  # type: ignore[no-untyped-call] # torch ships no type for it
        self.optimizer.step()
        self.steps += 1
        self.budget.count_time()
        while self.scheduler.last_epoch < self.budget.spent(self.steps):
            self.scheduler.step()

    def _loss(self, step: Step) -> torch.Tensor:
        """Return the loss of a step, some of whose forecast frames are fed."""
        percent = 100 * self.budget.spent(self.steps) / self.budget.total
        known = self.batches.context_frames
        probability = sampling_probability(percent, self.params)
        fed = draw_fed_steps(probability, step.uniform, context=known)
        return self.openstl.loss(step.frames, fed[:, known:])

    def _is_due(self) -> bool:
        """Whether the time of another validation has come."""
        parts = VALIDATIONS * self.budget.spent(self.steps) // self.budget.total
        return parts > len(self._scores)
