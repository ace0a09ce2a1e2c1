"""The fast path: convolutional cells over a whole sequence as one function with its own gradient.

It computes what `cells` applied step by step computes (Network.plain), with less around the
convolutions. Forward, a step is one convolution of (X, H) a layer, and only I, F, O, G, C and H are
kept. Backward, the gradients of the pre-activations take the places of I, F, O and G, and each
layer's weights get theirs from one convolution over all steps. No work is done on the hidden state
before step 0, which is zero, nor on gradients of frames that need none.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from convlstm.model.bptt_layer import Layer, Memory


class Settings(NamedTuple):
    """What is no tensor of autograd's: see `unroll`; `keep` for a way back."""

    layers: int
    dtype: torch.dtype
    keep: bool
    spare: list[Tensor]


class Stack:
    """Layers and a readout over a sequence: forward step by step, and the way back."""

    def __init__(
        self, weights: Sequence[Tensor], frames: Tensor, fed: Tensor, settings: Settings
    ) -> None:
        *cells, readout, self.bias = weights
        each, dtype = len(cells) // settings.layers, settings.dtype
        self.layers = [
            Layer.of(cells[start : start + each], dtype) for start in range(0, len(cells), each)
        ]
        self.readout = readout.flatten(1)
        self.frames = frames.permute(1, 0, 3, 4, 2).to(dtype).contiguous()
        self.fed, self.spare = fed, settings.spare
        self.dtype, self.state_dtype = dtype, frames.dtype
        known, own = len(self.frames), fed.all(dim=0).tolist()
        self.wholly_fed = [step == 0 or (step < known and own[step]) for step in range(len(own))]

    def is_fed(self, step: int) -> Tensor:
        """For each window whether `step` takes the true frame, (batch, 1, 1, 1)."""
        fed = self.fed[:, step, None, None, None]
        return fed if step < len(self.frames) else torch.zeros_like(fed)

    def empty(self, steps: int, channels: int, dtype: torch.dtype) -> Tensor:
        """Room for what has so many channels at so many steps."""
        shape = (steps, *self.frames.shape[1:4], channels)
        for number, spare in enumerate(self.spare):
            if (spare.shape, spare.dtype, spare.device) == (shape, dtype, self.frames.device):
                return self.spare.pop(number)
        return self.frames.new_empty(shape, dtype=dtype)

    def forward(self, *, keep: bool) -> tuple[Tensor, list[Tensor]]:
        """Outputs of all steps, and what is kept: X of layer 0, then gates, C and H by layer."""
        steps = len(self.wholly_fed)
        count = steps if keep else 1
        entered = self.empty(count, self.frames.shape[-1], self.dtype)
        parts = [
            self.empty(count, channels, dtype)
            for layer in self.layers
            for channels, dtype in (
                (4 * layer.hidden, self.dtype),
                (layer.hidden, self.state_dtype),
                (layer.hidden, self.dtype),
            )
        ]
        memories = self._memories(parts)
        outputs = self.frames.new_empty((steps, *self.frames.shape[1:]), dtype=self.state_dtype)
        for step in range(steps):
            now = step if keep else 0
            x = entered[now].copy_(self._input(step, outputs))
            before = None if step == 0 else now - keep
            for layer, memory in zip(self.layers, memories, strict=True):
                x = memory.forward(layer, x, now, before)
            outputs[step] = torch.nn.functional.linear(
                x.to(self.state_dtype), self.readout, self.bias
            )
        return outputs, [entered, *parts]

    def _memories(self, parts: Sequence[Tensor]) -> list[Memory]:
        """Of each layer, its gates, C and H among `parts`; layers of one size share the scratch."""
        grid = self.frames.shape[1:4]
        scratch = {
            hidden: self.frames.new_empty((3, *grid, hidden), dtype=self.state_dtype)
            for hidden in {layer.hidden for layer in self.layers}
        }
        memories = []
        for number, layer in enumerate(self.layers):
            gates, cell, hidden = parts[3 * number : 3 * number + 3]
            memories.append(Memory(gates, cell, hidden, scratch[layer.hidden]))
        return memories

    def _input(self, step: int, outputs: Tensor) -> Tensor:
        if self.wholly_fed[step]:
            return self.frames[step]
        if step >= len(self.frames):
            return outputs[step - 1]
        return torch.where(self.is_fed(step), self.frames[step], outputs[step - 1])

    def backward(
        self, kept: Sequence[Tensor], grads: Tensor, *, of_frames: bool
    ) -> list[Tensor | None]:
        """Gradients of frames and weights; `kept` and `grads`, of the outputs, are used up."""
        entered, *parts = kept
        memories = self._memories(parts)
        frames = torch.zeros_like(self.frames) if of_frames else None
        dh = [torch.zeros_like(m.cell[0]) for m in memories]
        dc = [torch.zeros_like(m.cell[0]) for m in memories]
        for step in reversed(range(len(grads))):
            above = grads[step] @ self.readout
            for number in reversed(range(len(self.layers))):
                layer = self.layers[number]
                grad = memories[number].backward(layer, step, above + dh[number], dc[number])
                start = 0 if number or of_frames or not self.wholly_fed[step] else layer.inputs
                stop = layer.inputs + (layer.hidden if step else 0)
                if start == stop:
                    break
                both = layer.gradient_of_input(grad, start, stop).to(self.state_dtype)
                below = layer.inputs - start
                above, dh[number] = both[..., :below], both[..., below:]
            if frames is not None and step < len(frames):
                frames[step] = above if self.wholly_fed[step] else above * self.is_fed(step)
            if not self.wholly_fed[step]:
                grads[step - 1].addcmul_(above, ~self.is_fed(step))
        weights: list[Tensor | None] = [None if frames is None else frames.permute(1, 0, 4, 2, 3)]
        x = entered
        for layer, memory in zip(self.layers, memories, strict=True):
            weights += memory.gradient_of_peepholes(layer)
            weights += layer.gradient_of_weights(memory.gates, x, memory.hidden)
            x = memory.hidden
        self.spare[:] = kept
        flat = grads.flatten(0, -2)
        readout = flat.T @ x.flatten(0, -2).to(flat.dtype)
        return [*weights, readout[..., None, None], flat.sum(dim=0)]


class Unroll(torch.autograd.Function):
    """The stack as one node of autograd's graph."""

    @staticmethod
    def forward(
        ctx: Any, frames: Tensor, fed: Tensor, settings: Settings, *weights: Tensor
    ) -> Tensor:
        """Outputs, (time, batch, row, col, channel)."""
        ctx.stack = Stack(weights, frames, fed, settings)
        outputs: Tensor
        outputs, kept = ctx.stack.forward(keep=settings.keep)
        if settings.keep:
            ctx.save_for_backward(*kept)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grads: Tensor) -> tuple[Tensor | None, ...]:
        """Once only: it writes gradients over the activations."""
        frames, *weights = ctx.stack.backward(
            ctx.saved_tensors, grads.clone(), of_frames=ctx.needs_input_grad[0]
        )
        return frames, None, None, *weights


def unroll(
    frames: Float[Tensor, "batch known channel row col"],
    fed: Bool[Tensor, "batch steps"],
    cells: Sequence[Sequence[Tensor]],
    readout: Sequence[Tensor],
    dtype: torch.dtype,
    spare: list[Tensor],
) -> Float[Tensor, "batch steps channel row col"]:
    """As `Network.forward`, from the parameters of the cells and of the readout.

    Args:
        frames: as there.
        fed: as there.
        cells: for each layer its peepholes of I, F and O if any, then weight and bias of its
            gates: the order of its parameters.
        readout: weight and bias.
        dtype: precision of the convolutions; that of the weights, or bfloat16.
        spare: an empty list at first, the same one in each call: what one step of training kept
            is room for the next. Fresh memory from the system costs a tenth of a step on a CPU.
    """
    weights = [weight for cell in cells for weight in cell] + [*readout]
    keep = torch.is_grad_enabled() and any(x.requires_grad for x in (frames, *weights))
    outputs: Tensor = Unroll.apply(frames, fed, Settings(len(cells), dtype, keep, spare), *weights)  # type: ignore[no-untyped-call]
    return outputs.permute(1, 0, 4, 2, 3)
