"""The fast path: convolutional cells over a whole sequence as one function with its own gradient.

It computes what `cells` applied step by step computes (Network.plain), with less around the
convolutions. Forward, a step is one convolution of (X, H) a layer, and only I, F, O, the candidate
G = tanh(..), C and H are kept. Backward, the gradients of the pre-activations take the places of
I, F, O and G, and each layer's weights get theirs from one convolution over all steps. No work is
done on the hidden state before step 0, which is zero, nor on gradients of frames that need none.

Inside, tensors are (time, batch, row, col, channel): convolutions of this layout, torch's
channels-last, are the fastest. In bfloat16 the convolutions and all that is kept but C are rounded;
C, the gates' arithmetic and the output stay in the precision of the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_input, conv2d_weight

aten = torch.ops.aten


@dataclass(frozen=True)
class Layer:
    """The weights of a cell as the convolutions take them, in the precision of the work.

    `peepholes` are those of I, F and O, each (row, col, hidden), or there are none.
    """

    weight: Tensor
    bias: Tensor
    peepholes: tuple[Tensor, ...]

    @classmethod
    def of(cls, weights: Sequence[Tensor], dtype: torch.dtype) -> "Layer":
        """From the parameters of a cell in their order: peepholes of I, F, O if any, then its gates'."""
        *peepholes, weight, bias = weights
        return cls(
            weight.to(dtype).contiguous(memory_format=torch.channels_last),
            bias.to(dtype),
            tuple(peephole.permute(1, 2, 0).contiguous() for peephole in peepholes),
        )

    @property
    def hidden(self) -> int:
        """Channels of H."""
        return len(self.bias) // 4

    @property
    def inputs(self) -> int:
        """Channels of X."""
        return self.weight.shape[1] - self.hidden

    def convolve(self, x: Tensor, hidden: Tensor | None) -> Tensor:
        """The pre-activations of I, F, O and G; without `hidden`, of X alone."""
        joined = x if hidden is None else torch.cat((x, hidden), dim=-1)
        weight = self.weight[:, : joined.shape[-1]]
        rows = torch.conv2d(_nchw(joined), weight, self.bias, padding=weight.shape[-1] // 2)
        return _nhwc(rows)

    def gradient_of_input(self, grad: Tensor, start: int, stop: int) -> Tensor:
        """What `grad` of the pre-activations is for channels start to stop of (X, H)."""
        weight = self.weight[:, start:stop]
        size = (len(grad), stop - start, *grad.shape[1:3])
        return _nhwc(
            conv2d_input(size, weight, _nchw(grad), padding=weight.shape[-1] // 2)  # type: ignore[no-untyped-call]
        )

    def gradient_of_weights(self, grad: Tensor, x: Tensor, hidden: Tensor) -> list[Tensor]:
        """Of weight and bias, from all steps at once; H before step 0 is zero and left out."""
        kernel = self.weight.shape[-2:]

        def of(inputs: Tensor, grads: Tensor) -> Tensor:
            size = (grads.shape[-1], inputs.shape[-1], *kernel)
            flat = _nchw(inputs.flatten(0, 1)), _nchw(grads.flatten(0, 1))
            return conv2d_weight(flat[0], size, flat[1], padding=kernel[0] // 2)  # type: ignore[no-untyped-call,no-any-return]

        weight = torch.zeros_like(self.weight)
        weight[:, : self.inputs] = of(x[:1], grad[:1])
        if len(grad) > 1:
            weight += of(torch.cat((x[1:], hidden[:-1]), dim=-1), grad[1:])
        return [weight, grad.flatten(0, -2).sum(dim=0)]


def _nchw(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def _nhwc(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


@dataclass(frozen=True)
class Memory:
    """What a layer keeps, each (time, batch, row, col, channel); without gradients, of one step."""

    gates: Tensor
    cell: Tensor
    hidden: Tensor

    def forward(self, layer: Layer, x: Tensor, now: int, before: int | None) -> Tensor:
        """Write step `now` after step `before` (None: zeros); returns H."""
        hidden = None if before is None else self.hidden[before]
        z = layer.convolve(x, hidden).to(self.cell.dtype)
        a = self.gates[now] if self.gates.dtype == z.dtype else z
        own = layer.hidden
        if layer.peepholes and before is not None:
            z[..., :own].addcmul_(self.cell[before], layer.peepholes[0])
            z[..., own : 2 * own].addcmul_(self.cell[before], layer.peepholes[1])
        i, f, o, g = a.split(own, dim=-1)
        at_once = 2 * own if layer.peepholes else 3 * own
        torch.sigmoid(z[..., :at_once], out=a[..., :at_once])
        torch.tanh(z[..., 3 * own :], out=g)
        cell = self.cell[now]
        if before is None:
            torch.mul(i, g, out=cell)
        else:
            torch.mul(f, self.cell[before], out=cell).addcmul_(i, g)
        if layer.peepholes:
            torch.sigmoid(z[..., 2 * own : 3 * own].addcmul_(cell, layer.peepholes[2]), out=o)
        self.gates[now].copy_(a)
        return torch.mul(o, cell.tanh(), out=self.hidden[now])

    def backward(self, layer: Layer, step: int, dh: Tensor, dc: Tensor) -> Tensor:
        """Turn the gates of `step` into the gradients of their pre-activations, and return them.

        `dh` is the gradient of H; `dc`, that of C from the next step, becomes that of the last C.
        """
        a = self.gates[step].to(dc.dtype)
        i, f, o, g = a.split(layer.hidden, dim=-1)
        tanh = self.cell[step].tanh()
        dc += aten.tanh_backward(dh * o, tanh)
        aten.sigmoid_backward.grad_input(dh * tanh, o, grad_input=o)
        if layer.peepholes:
            dc.addcmul_(o, layer.peepholes[2])
        di, dg = dc * g, dc * i
        if step == 0:
            f.zero_()
        else:
            df = dc * self.cell[step - 1]
            dc *= f
            aten.sigmoid_backward.grad_input(df, f, grad_input=f)
        aten.sigmoid_backward.grad_input(di, i, grad_input=i)
        aten.tanh_backward.grad_input(dg, g, grad_input=g)
        if layer.peepholes:
            dc.addcmul_(i, layer.peepholes[0]).addcmul_(f, layer.peepholes[1])
        return self.gates[step].copy_(a)

    def gradient_of_peepholes(self, layer: Layer) -> list[Tensor]:
        """Of the weights on C in I, F and O, from the gradients that `backward` has left."""
        if not layer.peepholes:
            return []
        i, f, o, _ = self.gates.split(layer.hidden, dim=-1)
        before, after = self.cell[:-1], self.cell
        pairs = ((i[1:], before), (f[1:], before), (o, after))
        return [(grad * cell).sum(dim=(0, 1)).permute(2, 0, 1) for grad, cell in pairs]


class Stack:
    """Layers and a readout over a sequence: forward step by step, and the way back."""

    def __init__(
        self, weights: Sequence[Tensor], layers: int, frames: Tensor, fed: Tensor, dtype: torch.dtype
    ) -> None:
        *cells, readout, self.bias = weights
        each = len(cells) // layers
        self.layers = [
            Layer.of(cells[start : start + each], dtype) for start in range(0, len(cells), each)
        ]
        self.readout = readout.flatten(1)
        self.frames = frames.permute(1, 0, 3, 4, 2).to(dtype).contiguous()
        self.fed, self.dtype, self.state_dtype = fed, dtype, frames.dtype
        known, own = len(self.frames), fed.all(dim=0).tolist()
        self.wholly_fed = [step == 0 or (step < known and own[step]) for step in range(len(own))]

    def is_fed(self, step: int) -> Tensor:
        """For each window whether `step` takes the true frame, to go with (batch, row, col, channel)."""
        fed = self.fed[:, step, None, None, None]
        return fed if step < len(self.frames) else torch.zeros_like(fed)

    def empty(self, steps: int, channels: int, dtype: torch.dtype) -> Tensor:
        """Room for what has so many channels at so many steps."""
        return self.frames.new_empty(steps, *self.frames.shape[1:4], channels, dtype=dtype)

    def forward(self, *, keep: bool) -> tuple[Tensor, list[Tensor]]:
        """Outputs of all steps, and what is kept: X of layer 0, then gates, C and H by layer."""
        steps, channels = len(self.wholly_fed), self.frames.shape[-1]
        kept = steps if keep else 1
        entered = self.empty(kept, channels, self.dtype)
        memories = [
            Memory(
                self.empty(kept, 4 * layer.hidden, self.dtype),
                self.empty(kept, layer.hidden, self.state_dtype),
                self.empty(kept, layer.hidden, self.dtype),
            )
            for layer in self.layers
        ]
        outputs = self.empty(steps, channels, self.state_dtype)
        for step in range(steps):
            now = step if keep else 0
            x = entered[now].copy_(self._input(step, outputs))
            before = None if step == 0 else now - keep
            for layer, memory in zip(self.layers, memories, strict=True):
                x = memory.forward(layer, x, now, before)
            outputs[step] = torch.nn.functional.linear(x.to(self.state_dtype), self.readout, self.bias)
        return outputs, [entered, *(part for m in memories for part in (m.gates, m.cell, m.hidden))]

    def _input(self, step: int, outputs: Tensor) -> Tensor:
        if self.wholly_fed[step]:
            return self.frames[step]
        if step >= len(self.frames):
            return outputs[step - 1]
        return torch.where(self.is_fed(step), self.frames[step], outputs[step - 1])

    def backward(self, kept: Sequence[Tensor], grads: Tensor, *, of_frames: bool) -> list[Tensor | None]:
        """Gradients of the frames and of all weights; `kept` and `grads`, of outputs, are used up."""
        entered, *parts = kept
        memories = [Memory(*parts[start : start + 3]) for start in range(0, len(parts), 3)]
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
                above, dh[number] = both.split((layer.inputs - start, stop - layer.inputs), dim=-1)
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
        flat = grads.flatten(0, -2)
        readout = flat.T @ x.flatten(0, -2).to(flat.dtype)
        return [*weights, readout[..., None, None], flat.sum(dim=0)]


class Unroll(torch.autograd.Function):
    """The stack as one node of autograd's graph."""

    @staticmethod
    def forward(
        ctx: Any, frames: Tensor, fed: Tensor, settings: tuple[int, torch.dtype, bool], *weights: Tensor
    ) -> Tensor:
        """Outputs, (time, batch, row, col, channel)."""
        layers, dtype, keep = settings
        ctx.stack = Stack(weights, layers, frames, fed, dtype)
        outputs, kept = ctx.stack.forward(keep=keep)
        if keep:
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
) -> Float[Tensor, "batch steps channel row col"]:
    """As `Network.forward`, from the parameters of the cells and of the readout.

    Args:
        frames: as there.
        fed: as there.
        cells: for each layer its parameters: peepholes of I, F and O if any, then weight and bias of its gates.
        readout: weight and bias.
        dtype: precision of the convolutions; that of the weights, or bfloat16.
    """
    weights = [weight for cell in cells for weight in cell] + [*readout]
    keep = torch.is_grad_enabled() and any(x.requires_grad for x in (frames, *weights))
    outputs = Unroll.apply(frames, fed, (len(cells), dtype, keep), *weights)  # type: ignore[no-untyped-call]
    return outputs.permute(1, 0, 4, 2, 3)
