"""The fast path: backpropagation through time of convolutional cells, written by hand.

`unroll` computes what the cells of `cells` compute step by step (`Network.plain`), as one function
with its own gradient, and with less work around the convolutions, whose layers are those of
`gates`:

- Forward, a step is one convolution of (X, H) in each layer. The frames that enter and I, F, O, G,
  C and H are kept, no more; to save memory, the gates I, F, O and G are not.
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

from convlstm.model.gates import Activations, Layer, Maps
from convlstm.model.kernels import compiled


@dataclass
class Memory:
    """How a network spends memory in training.

    `recompute`: compute the gates again in the backward pass instead of keeping them; they are two
    thirds of what is kept. `fused`: compute them in one pass over memory, on a CPU with a compiler.
    `buffers` of one step of training are used again by the next, because fresh memory costs a tenth
    of a step on a CPU.
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
        self.frames = frames.permute(1, 0, 3, 4, 2).to(dtype).contiguous()
        self.fed, self.memory = fed.to(frames.device, non_blocking=True), options.memory
        self.dtype, self.state_dtype = dtype, frames.dtype
        known, all_fed = len(self.frames), fed.all(dim=0).tolist()
        self.wholly_fed = [
            step == 0 or (step < known and all_fed[step]) for step in range(len(all_fed))
        ]

    def is_fed(self, step: int) -> Bool[Tensor, "batch 1 1 1"]:
        """Return for each window whether `step` takes the true frame."""
        fed = self.fed[:, step, None, None, None]
        return fed if step < len(self.frames) else torch.zeros_like(fed)

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

        Kept are X of layer 0, then gates, C and H of each layer; without `keep`, of one step only,
        and the gates also if they are computed again.
        """
        steps = len(self.wholly_fed)
        count = steps if keep else 1
        entered = self.empty(count, self.frames.shape[-1], self.dtype)
        parts = [
            self.empty(number, channels, dtype)
            for layer in self.layers
            for number, channels, dtype in (
                (1 if self.memory.recompute else count, 4 * layer.hidden, self.dtype),
                (count, layer.hidden, self.state_dtype),
                (count, layer.hidden, self.dtype),
            )
        ]
        kept = [entered, *parts]
        activations = self._activations(kept)
        shape = (steps, *self.frames.shape[1:4], len(self.bias))
        outputs = self.frames.new_empty(shape, dtype=self.state_dtype)
        for step in range(steps):
            now = step if keep else 0  # without keep, each step overwrites the one before
            entered[now] = self._input(step, outputs)
            before = None if step == 0 else now - keep
            for own in activations:
                hidden = own.forward(now, before)
            outputs[step] = torch.nn.functional.linear(
                hidden.to(self.state_dtype), self.readout, self.bias
            )
        return outputs, kept

    def _activations(self, kept: Sequence[Tensor]) -> list[Activations]:
        """Group gates, C and H by layer; layers of one size share their scratch."""
        x, *parts = kept
        grid = self.frames.shape[1:4]
        scratch = {
            hidden: self.frames.new_empty((3, *grid, hidden), dtype=self.state_dtype)
            for hidden in {layer.hidden for layer in self.layers}
        }
        activations = []
        fused = self.memory.fused and (x.device.type, self.state_dtype) == ("cpu", torch.float32)
        kernels = compiled(self.dtype) if fused else None
        for number, layer in enumerate(self.layers):
            gates, cell, hidden = parts[3 * number : 3 * number + 3]
            own = Activations(layer, x, gates, cell, hidden, scratch[layer.hidden], kernels)
            activations.append(own)
            x = hidden
        return activations

    def _input(self, step: int, outputs: Tensor) -> Maps:
        """Return the frame that enters at `step`: the true one, or the last output."""
        if self.wholly_fed[step]:
            return self.frames[step]
        if step >= len(self.frames):
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
        dh, dc = ([torch.zeros_like(own.cell[0]) for own in activations] for _ in range(2))
        for step in reversed(range(len(grads))):
            above = grads[step] @ self.readout
            for number in reversed(range(len(self.layers))):
                layer = self.layers[number]
                grad = activations[number].backward(step, above + dh[number], dc[number])
                # X of layer 0 is a true frame where the step is wholly fed, and needs no gradient.
                start = 0 if number or of_frames or not self.wholly_fed[step] else layer.inputs
                stop = layer.inputs + (layer.hidden if step else 0)  # H before step 0 is zero
                if start == stop:
                    break
                both = layer.input_gradient(grad, start, stop).to(self.state_dtype)
                below = layer.inputs - start
                above, dh[number] = both[..., :below], both[..., below:]
            if frames is not None and step < len(frames):
                frames[step] = above if self.wholly_fed[step] else above * self.is_fed(step)
            if not self.wholly_fed[step]:
                grads[step - 1].addcmul_(above, ~self.is_fed(step))
        self.memory.buffers[:] = kept
        cells = [weight for own in activations for weight in own.weight_gradients()]
        flat, hidden = grads.flatten(0, -2), activations[-1].hidden.flatten(0, -2)
        readout = flat.T @ hidden.to(flat.dtype)
        return [frames, *cells, readout[..., None, None], flat.sum(dim=0)]


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
