"""The networks that are measured, and the convolutions that a step of each cannot do without."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.grad import conv2d_weight

from convlstm.model.network import Architecture, Network

FRAMES, CONTEXT = 20, 10
STEPS = FRAMES - 1


@dataclass(frozen=True)
class Size:
    """A network and a batch of windows of 20 square frames."""

    batch: int
    channels: int
    grid: int
    hidden: tuple[int, ...]
    kernel: int

    def network(self) -> Network:
        """Return our network, untrained."""
        return Network(
            Architecture(
                "convlstm",
                self.hidden,
                self.kernel,
                channels=self.channels,
                rows=self.grid,
                cols=self.grid,
            )
        )

    def layers(self) -> list[tuple[int, int]]:
        """Return the channels of X and of H in each layer."""
        return list(zip((self.channels, *self.hidden), self.hidden, strict=False))

    def floating_point_operations(self) -> float:
        """Return the count for the convolutions of `bare`; a multiply-add is two operations."""
        pixels = 2 * self.kernel**2 * self.grid**2 * self.batch
        total = 0
        for number, (x, h) in enumerate(self.layers()):
            both, alone = x + h, x if number else 0
            free = STEPS - CONTEXT if number == 0 else STEPS - 1
            forward = both * (STEPS - 1) + x
            inputs = both * free + h * (STEPS - 1 - free) + alone
            total += 4 * h * (2 * forward + inputs)
        return float(pixels * total)

    def bare(self, dtype: torch.dtype, device: torch.device) -> Callable[[], None]:
        """Return the convolutions of a training step in free operation, and nothing else.

        The forward pass and the gradient of the inputs are one call per step, because a step needs
        the one before it; the latter is a convolution with rotated kernels, which is the fastest
        way to it. The gradient of the weights is one call per layer. The frames need no gradient in
        the context, and H before the first step is zero.
        """
        calls = [
            self._layer(number, x, h, dtype, device) for number, (x, h) in enumerate(self.layers())
        ]

        def run() -> None:
            for call in calls:
                call()

        return run

    def _layer(
        self, number: int, x: int, h: int, dtype: torch.dtype, device: torch.device
    ) -> Callable[[], None]:
        def some(count: int, channels: int, side: int) -> torch.Tensor:
            values = torch.randn(count, channels, side, side, device=device, dtype=dtype)
            return values.contiguous(memory_format=torch.channels_last)

        weight, rotated = some(4 * h, x + h, self.kernel), some(x + h, 4 * h, self.kernel)
        inputs, grads = some(self.batch, x + h, self.grid), some(self.batch, 4 * h, self.grid)
        many = STEPS * self.batch
        all_inputs, all_grads = some(many, x + h, self.grid), some(many, 4 * h, self.grid)
        pad = self.kernel // 2

        def run() -> None:
            for step in range(STEPS):
                used = slice(0, x if step == 0 else x + h)
                torch.conv2d(inputs[:, used], weight[:, used], padding=pad)
            for step in range(STEPS):
                start = x if number == 0 and step < CONTEXT else 0
                used = slice(start, x if step == 0 else x + h)
                if used.start < used.stop:
                    torch.conv2d(grads, rotated[used], padding=pad)
            pairs = (all_inputs[self.batch :], all_grads[self.batch :]), (inputs[:, :x], grads)
            for values, of in pairs:
                shape = (4 * h, values.shape[1], self.kernel, self.kernel)
                conv2d_weight(values, shape, of, padding=pad)  # type: ignore[no-untyped-call] # torch ships no type for it

        return run


SIZES = {
    "default": Size(4, 16, 35, (16, 16), 3),
    "small": Size(4, 16, 35, (32, 32), 5),
    "report": Size(4, 16, 35, (64, 64, 64, 64), 5),
    "mnist": Size(16, 16, 16, (128, 128, 128, 128), 5),
    "report280": Size(4, 16, 70, (64, 64, 64, 64), 5),
    "report480": Size(4, 16, 120, (64, 64, 64, 64), 5),
}
USUAL = ("default", "small", "report", "mnist")
"""The others take minutes, and memory that a machine may not have."""
