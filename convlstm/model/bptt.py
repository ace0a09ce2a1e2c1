"""The fast path: backpropagation through time of convolutional cells, written by hand.

`unroll` computes what the cells of `cells` compute step by step (`Network.plain`), as one function
with its own gradient, and with less work around the convolutions, whose layers are those of
`gates`:

- Forward, a step is one convolution of (X, H) in each layer. (X, H), I, F, O, G and C are kept, no
  more; to save memory, the gates I, F, O and G are not.
- Backward, the gradients of the pre-activations overwrite I, F, O and G, and the weights of a layer
  get their gradient from one convolution over all steps; if gates are computed again, from one for
  each step.
- The hidden state before step 0 is zero, and no work is done on it; neither on gradients of frames
  that need none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from convlstm.model.gates import Activations, Layer, Maps, kernels_of


@dataclass
class Memory:
    """How a network spends memory in training.

    `recompute`: compute the gates again in the backward pass instead of keeping them; they are two
    thirds of what is kept. `fused`: compute them in one pass over memory, where there are kernels
    for it. `buffers` of one step of training are used again by the next, because fresh memory costs
    a tenth of a step on a CPU.
    """

    recompute: bool = False
    fused: bool = False
    buffers: list[Tensor] = field(default_factory=list)


class Options(NamedTuple):
    """The settings of a call of `Unroll` that are no tensors to differentiate.

    `keep`: store the activations that the backward pass needs.
    """

    layers: int
    dtype: torch.dtype
    keep: bool
    memory: Memory


class Stack:
    """Layers and a readout over a sequence: the forward and the backward pass."""

    def __init__(
        self,
        weights: Sequence[Tensor],
        frames: Float[Tensor, "batch known channel row col"],
        fed: Bool[Tensor, "batch steps"],
        options: Options,
    ) -> None:
        *cells, readout, self.bias = weights
        per_layer, dtype = len(cells) // options.layers, options.dtype
        self.layers = [
            Layer.of(cells[start : start + per_layer], dtype)
            for start in range(0, len(cells), per_layer)
        ]
        self.readout = readout.flatten(1)
        self.frames = frames.permute(1, 0, 3, 4, 2)
        self.memory, self.dtype, self.state_dtype = options.memory, dtype, frames.dtype
        known, all_fed, any_fed = len(self.frames), fed.all(dim=0).tolist(), fed.any(dim=0).tolist()
        self.wholly_fed = [
            step == 0 or (step < known and all_fed[step]) for step in range(len(all_fed))
        ]
        self.free = [step > 0 and (step >= known or not some) for step, some in enumerate(any_fed)]
        mixed = not all(map(any, zip(self.wholly_fed, self.free, strict=True)))
        self.fed = fed.to(frames.device, non_blocking=True) if mixed else fed  # else it is not read

    def is_fed(self, step: int) -> Bool[Tensor, "batch 1 1 1"]:
        """Return for each window whether `step` takes the true frame."""
        return self.fed[:, step, None, None, None]

    def empty(
        self, steps: int, channels: int, dtype: torch.dtype
    ) -> Float[Tensor, "steps batch row col channels"]:
        """Return uninitialised memory, from the buffers of the last call if one fits."""
        shape = (steps, *self.frames.shape[1:4], channels)
        for number, buffer in enumerate(self.memory.buffers):
            if (buffer.shape, buffer.dtype, buffer.device) == (shape, dtype, self.frames.device):
                return self.memory.buffers.pop(number)
        return self.frames.new_empty(shape, dtype=dtype)

    def forward(
        self, *, keep: bool
    ) -> tuple[Float[Tensor, "time batch row col output"], list[Tensor]]:
        """Return the outputs of all steps, and what is kept.

        Kept are what enters each layer, its gates and C (`Activations`), and H of the uppermost;
        without `keep`, of one step only, and the gates also if they are computed again.
        """
        steps = len(self.wholly_fed)
        count = steps if keep else 1
        top = self.empty(count, self.layers[-1].hidden, self.dtype)
        parts = [
            self.empty(number, channels, dtype)
            for layer in self.layers
            for number, channels, dtype in (
                (count + 1, layer.inputs + layer.hidden, self.dtype),
                (1 if self.memory.recompute else count, 4 * layer.hidden, self.dtype),
                (count, layer.hidden, self.dtype),
            )
        ]
        kept = [*parts, top]
        activations = self._activations(kept)
        entering = activations[0].x
        shape = (steps, *self.frames.shape[1:4], len(self.bias))
        outputs = self.frames.new_empty(shape, dtype=self.state_dtype)
        at_once = keep and all(self.wholly_fed)  # no step waits for an output
        for step in range(steps):
            entering[step % len(entering)] = self._input(step, outputs)
            for own in activations:
                own.forward(step)
            if not at_once:
                outputs[step] = self._read(top[step % count])
        return self._read(top) if at_once else outputs, kept

    def _read(self, hidden: Float[Tensor, "*some hidden"]) -> Float[Tensor, "*some output"]:
        return torch.nn.functional.linear(hidden.to(self.state_dtype), self.readout, self.bias)

    def _activations(self, kept: Sequence[Tensor]) -> list[Activations]:
        """Group what is kept by layer; layers of one size share their scratch."""
        grid = self.frames.shape[1:4]
        scratch = {
            hidden: self.frames.new_empty((3, *grid, hidden), dtype=self.state_dtype)
            for hidden in {layer.hidden for layer in self.layers}
        }
        fused = self.memory.fused and self.state_dtype == torch.float32  # as the kernels have C
        kernels = kernels_of(self.dtype, self.frames.device) if fused else None
        activations: list[Activations] = []
        above, threads = kept[-1], torch.get_num_threads()
        for number, layer in reversed([*enumerate(self.layers)]):
            entered, gates, cell = kept[3 * number : 3 * number + 3]
            own = scratch[layer.hidden]
            state, bias = torch.empty_like(own[0]), own.new_zeros(threads, 4 * layer.hidden)
            activations.append(
                Activations(layer, entered, gates, cell, state, above, own, kernels, bias)
            )
            above = activations[-1].x
        return activations[::-1]

    def _input(self, step: int, outputs: Tensor) -> Maps:
        """Return the frame that enters at `step`: the true one, or the last output."""
        if self.wholly_fed[step]:
            return self.frames[step]
        if self.free[step]:
            return outputs[step - 1]
        return torch.where(self.is_fed(step), self.frames[step], outputs[step - 1])

    def backward(
        self,
        kept: Sequence[Tensor],
        grads: Float[Tensor, "time batch row col output"],
        *,
        of_frames: bool,
    ) -> list[Tensor | None]:
        """Return the gradients of `frames` (None without `of_frames`) and of the weights.

        Args:
            kept: from `forward`; the gates are overwritten.
            grads: of the outputs, modified in place: where step t took output t - 1 as its input,
                the gradient of that input is added to grads[t - 1].
            of_frames: whether the frames need a gradient.
        """
        activations = self._activations(kept)
        frames = torch.zeros_like(self.frames) if of_frames else None
        later: list[Maps | None] = [None] * len(activations)
        dc = [torch.zeros_like(own.state) for own in activations]
        for step in reversed(range(len(grads))):
            above: Maps = (grads[step] @ self.readout).to(self.dtype)
            for number in reversed(range(len(self.layers))):
                layer = self.layers[number]
                grad = activations[number].backward(step, above, later[number], dc[number])
                # X of layer 0 is a true frame where the step is wholly fed, and needs no gradient.
                start = 0 if number or of_frames or not self.wholly_fed[step] else layer.inputs
                stop = layer.inputs + (layer.hidden if step else 0)  # H before step 0 is zero
                if start == stop:
                    break
                both = layer.input_gradient(grad, start, stop)
                below = layer.inputs - start
                above, later[number] = both[..., :below], both[..., below:]
            self._divide(step, above, grads, frames)
        self.memory.buffers[:] = kept
        cells = [weight for own in activations for weight in own.weight_gradients()]
        flat, hidden = grads.flatten(0, -2), kept[-1].flatten(0, -2)
        weight = flat.T @ hidden.to(flat.dtype)
        return [frames, *cells, weight[..., None, None], flat.sum(dim=0)]

    def _divide(self, step: int, grad: Maps, grads: Tensor, frames: Tensor | None) -> None:
        """Add the gradient of what entered at `step` to that of the output or frame it was."""
        if self.free[step]:
            grads[step - 1] += grad
        elif not self.wholly_fed[step]:
            grads[step - 1].addcmul_(grad.to(grads.dtype), ~self.is_fed(step))
        if frames is not None and not self.free[step]:
            frames[step] = grad if self.wholly_fed[step] else grad * self.is_fed(step)


class Unroll(torch.autograd.Function):
    """The stack as one node of autograd's graph."""

    @staticmethod
    def forward(
        ctx: Any,
        frames: Float[Tensor, "batch known channel row col"],
        fed: Bool[Tensor, "batch steps"],
        options: Options,
        *weights: Tensor,
    ) -> Float[Tensor, "steps batch row col output"]:
        """Return the outputs of all steps."""
        ctx.stack = Stack(weights, frames, fed, options)
        outputs: Tensor
        outputs, kept = ctx.stack.forward(keep=options.keep)
        if options.keep:
            ctx.save_for_backward(*kept)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grads: Float[Tensor, "steps batch row col output"]
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients; works once only, because they overwrite the activations."""
        frames, *weights = ctx.stack.backward(
            ctx.saved_tensors, grads.clone(), of_frames=ctx.needs_input_grad[0]
        )
        return None if frames is None else frames.permute(1, 0, 4, 2, 3), None, None, *weights


def unroll(
    frames: Float[Tensor, "batch known channel row col"],
    fed: Bool[Tensor, "batch steps"],
    cells: Sequence[Sequence[Tensor]],
    readout: Sequence[Tensor],
    dtype: torch.dtype,
    memory: Memory,
) -> Float[Tensor, "batch steps output row col"]:
    """Compute `Network.plain` from the parameters of the cells and of the readout.

    Args:
        frames: true frames, as in `Network.plain`.
        fed: where they are fed, as in `Network.plain`.
        cells: for each layer its parameters in their order: the peepholes of I, F and O if any,
            then weight and bias of its gates.
        readout: weight and bias.
        dtype: precision of the convolutions: that of the weights, or bfloat16.
        memory: of the caller, the same every time.
    """
    weights = [weight for cell in cells for weight in cell] + [*readout]
    keep = torch.is_grad_enabled() and any(x.requires_grad for x in (frames, *weights))
    options = Options(len(cells), dtype, keep, memory)
    outputs: Tensor = Unroll.apply(frames, fed, options, *weights)  # type: ignore[no-untyped-call]
    return outputs.permute(1, 0, 4, 2, 3)
