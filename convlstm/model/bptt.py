"""The fast path: backpropagation through time of convolutional cells, written by hand.

`unroll` computes what the cells of `cells` compute step by step (`Network.plain`), as one function
with its own gradient, and with less work around the convolutions:

- Forward, a step is one convolution of (X, H) in each layer. The frames that enter and I, F, O, G,
  C and H are kept, no more.
- Backward, the gradients of the pre-activations overwrite I, F, O and G, and the weights of a layer
  get their gradient from one convolution over all steps.
- The hidden state before step 0 is zero, and no work is done on it; neither on gradients of frames
  that need none.

The equations are those of `cells`, with G = tanh(..) for the candidate. A tanh is computed as
1 - 2 sigmoid(-2 x), for G everywhere and for tanh(C) on a CPU, where torch's tanh takes six times
as long as its sigmoid. Tensors are (time, batch, row, col, channel) here: convolutions of this
layout, torch's channels-last, are the fastest. With bfloat16, the inputs and results of the
convolutions and all that is kept but C are rounded; C, the peepholes, the arithmetic of the gates
and the sums of gradients stay in the precision of the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_weight

aten = torch.ops.aten
ONE = torch.ones(())  # made once, not at every call

Maps = Float[Tensor, "batch row col _"]
"""Any number of channels at one step."""


# ---- one layer at one step -----------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """The weights of a cell as the convolutions take them, in the precision of the convolutions.

    In `weight` and `bias` the candidate's part is multiplied by -2, so that one sigmoid serves all
    of I, F, O and G. `rotated` holds the original kernels rotated by 180 degrees: with them the
    gradient of the input is an ordinary convolution, which is faster. `peepholes` are those of I, F
    and O, or there are none.
    """

    weight: Float[Tensor, "gates both kernel kernel"]
    rotated: Float[Tensor, "both gates kernel kernel"]
    bias: Float[Tensor, " gates"]
    peepholes: tuple[Float[Tensor, "row col hidden"], ...]

    @classmethod
    def of(cls, weights: Sequence[Tensor], dtype: torch.dtype) -> "Layer":
        """Make a layer from the parameters of a cell: peepholes if any, then weight and bias."""
        *peepholes, weight, bias = weights
        rotated = weight.to(dtype).flip(2, 3).transpose(0, 1)
        factor = weight.new_ones(len(bias))
        factor[-(len(bias) // 4) :] = -2
        weight = (weight * factor[:, None, None, None]).to(dtype)
        return cls(
            weight.contiguous(memory_format=torch.channels_last),
            rotated.contiguous(memory_format=torch.channels_last),
            (bias * factor).to(dtype),
            tuple(peephole.permute(1, 2, 0).contiguous() for peephole in peepholes),
        )

    @property
    def hidden(self) -> int:
        """The number of channels of H."""
        return len(self.bias) // 4

    @property
    def inputs(self) -> int:
        """The number of channels of X."""
        return self.weight.shape[1] - self.hidden

    def convolve(
        self,
        x: Float[Tensor, "batch row col inputs"],
        hidden: Float[Tensor, "batch row col hidden"] | None,
    ) -> Float[Tensor, "batch row col gates"]:
        """Return the pre-activations of I, F and O, and -2 times that of G; None is a zero H."""
        joined = x if hidden is None else torch.cat((x, hidden), dim=-1)
        weight = self.weight[:, : joined.shape[-1]]
        maps = torch.conv2d(_nchw(joined), weight, self.bias, padding=weight.shape[-1] // 2)
        return _nhwc(maps)

    def input_gradient(
        self, grad: Float[Tensor, "batch row col gates"], start: int, stop: int
    ) -> Maps:
        """Return the gradient of channels [start, stop) of (X, H).

        Args:
            grad: gradient of the pre-activations.
            start: first channel.
            stop: channel after the last one.
        """
        weight = self.rotated[start:stop]
        return _nhwc(torch.conv2d(_nchw(grad), weight, padding=weight.shape[-1] // 2))

    def weight_gradients(
        self,
        grad: Float[Tensor, "time batch row col gates"],
        x: Float[Tensor, "time batch row col inputs"],
        hidden: Float[Tensor, "time batch row col hidden"],
    ) -> list[Tensor]:
        """Return the gradients of weight and bias from all steps at once.

        Args:
            grad: gradients of the pre-activations.
            x: inputs X.
            hidden: H after each step; H before step 0 is zero and left out.
        """
        kernel = self.weight.shape[-2:]

        def correlate(inputs: Tensor, grads: Tensor) -> Tensor:
            size = (grads.shape[-1], inputs.shape[-1], *kernel)
            flat = _nchw(inputs.flatten(0, 1)), _nchw(grads.flatten(0, 1))
            return conv2d_weight(flat[0], size, flat[1], padding=kernel[0] // 2)  # type: ignore[no-untyped-call,no-any-return]

        weight = torch.zeros_like(self.weight)
        weight[:, : self.inputs] = correlate(x[:1], grad[:1])
        if len(grad) > 1:
            weight += correlate(torch.cat((x[1:], hidden[:-1]), dim=-1), grad[1:])
        return [weight, grad.flatten(0, -2).sum(dim=0)]


def _nchw(x: Float[Tensor, "batch row col channel"]) -> Float[Tensor, "batch channel row col"]:
    return x.permute(0, 3, 1, 2)


def _nhwc(x: Float[Tensor, "batch channel row col"]) -> Float[Tensor, "batch row col channel"]:
    return x.permute(0, 2, 3, 1)


def tanh(x: Float[Tensor, "*shape"], out: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Write the tanh of x into `out`: as 1 - 2 sigmoid(-2 x), but on a GPU by its own kernel."""
    if x.is_cuda:
        return torch.tanh(x, out=out)
    return torch.sub(ONE, torch.mul(x, -2, out=out).sigmoid_(), alpha=2, out=out)


@dataclass(frozen=True)
class Activations:
    """The activations of a layer that the backward pass needs; without gradients, of one step only.

    `scratch` holds three buffers that every step uses again, because allocating memory costs more
    than the arithmetic.
    """

    gates: Float[Tensor, "time batch row col gates"]
    cell: Float[Tensor, "time batch row col hidden"]
    hidden: Float[Tensor, "time batch row col hidden"]
    scratch: Float[Tensor, "3 batch row col hidden"]

    def forward(
        self,
        layer: Layer,
        x: Float[Tensor, "batch row col inputs"],
        step: int,
        before: int | None,
    ) -> Float[Tensor, "batch row col hidden"]:
        """Write I, F, O, G, C and H of `step` and return H.

        Args:
            layer: the weights.
            x: the input X.
            step: index at which to write.
            before: index of C and H of the step before, the same as `step` if only one step is
                kept; None at the first step, where they are zero.
        """
        hidden = None if before is None else self.hidden[before]
        z = layer.convolve(x, hidden).to(self.cell.dtype)
        # In one precision the gates are computed where they are kept; else in `z`, then copied.
        a = self.gates[step] if self.gates.dtype == z.dtype else z
        own = layer.hidden
        if layer.peepholes:
            late = z[..., 2 * own : 3 * own].clone()  # O sees C(t), which is not there yet
            if before is not None:
                # overwrites the pre-activations of I and F in z
                z[..., :own].addcmul_(self.cell[before], layer.peepholes[0])
                z[..., own : 2 * own].addcmul_(self.cell[before], layer.peepholes[1])
        torch.sigmoid(z, out=a)
        i, f, o, g = a.chunk(4, dim=-1)
        torch.sub(ONE, g, alpha=2, out=g)  # overwrites sigmoid(-2 x) with tanh(x)
        cell = self.cell[step]
        if before is None:
            torch.mul(i, g, out=cell)
        else:
            torch.mul(f, self.cell[before], out=cell).addcmul_(i, g)
        if layer.peepholes:
            torch.sigmoid(late.addcmul_(cell, layer.peepholes[2]), out=o)
        if a is z:
            self.gates[step] = a
        return torch.mul(o, tanh(cell, self.scratch[0]), out=self.hidden[step])

    def backward(
        self,
        layer: Layer,
        step: int,
        dh: Float[Tensor, "batch row col hidden"],
        dc: Float[Tensor, "batch row col hidden"],
    ) -> Float[Tensor, "batch row col gates"]:
        """Overwrite the gates of `step` with the gradients of their pre-activations; return them.

        Args:
            layer: the weights.
            step: counted down from the last to the first.
            dh: gradient of H.
            dc: gradient of C that comes from the next step; overwritten with the gradient of the C
                before this step.
        """
        a = self.gates[step].to(dc.dtype)
        i, f, o, g = a.chunk(4, dim=-1)
        do, di, dg = self.scratch
        tanh(self.cell[step], do).mul_(dh)  # do = dL/dO = tanh(C) dh
        # dc += dh O (1 - tanh^2 C), where O tanh^2 C = tanh(C) H, since H = O tanh(C)
        dc.addcmul_(dh, o).addcmul_(do, self.hidden[step], value=-1)
        aten.sigmoid_backward.grad_input(do, o, grad_input=o)  # overwrites O; do is free again
        if layer.peepholes:
            dc.addcmul_(o, layer.peepholes[2])  # O saw C(t)
        torch.mul(dc, g, out=di)
        torch.mul(dc, i, out=dg)
        if step == 0:
            f.zero_()  # C before step 0 is zero, so F had no effect
        else:
            df = torch.mul(dc, self.cell[step - 1], out=do)
            dc *= f  # from here on the gradient of C before this step; needs F, so before the next
            aten.sigmoid_backward.grad_input(df, f, grad_input=f)  # overwrites F
        aten.sigmoid_backward.grad_input(di, i, grad_input=i)  # overwrites I; dg has used it
        aten.tanh_backward.grad_input(dg, g, grad_input=g)  # overwrites G; di has used it
        if layer.peepholes:
            dc.addcmul_(i, layer.peepholes[0]).addcmul_(f, layer.peepholes[1])
        if a.dtype != self.gates.dtype:
            self.gates[step] = a
        return self.gates[step]

    def peephole_gradients(self, layer: Layer) -> list[Float[Tensor, "hidden row col"]]:
        """Return the gradients of the peepholes, after `backward` has gone through all steps."""
        if not layer.peepholes:
            return []
        i, f, o, _ = self.gates.chunk(4, dim=-1)
        before, after = self.cell[:-1], self.cell
        pairs = ((i[1:], before), (f[1:], before), (o, after))
        return [(grad * cell).sum(dim=(0, 1)).permute(2, 0, 1) for grad, cell in pairs]


# ---- all layers over all steps -------------------------------------------------------------------


class Options(NamedTuple):
    """The settings of a call of `Unroll` that are no tensors to differentiate.

    `keep`: store the activations that the backward pass needs.
    """

    layers: int
    dtype: torch.dtype
    keep: bool
    buffers: list[Tensor]


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
        self.fed, self.buffers = fed, options.buffers
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
        for number, buffer in enumerate(self.buffers):
            if (buffer.shape, buffer.dtype, buffer.device) == (shape, dtype, self.frames.device):
                return self.buffers.pop(number)
        return self.frames.new_empty(shape, dtype=dtype)

    def forward(
        self, *, keep: bool
    ) -> tuple[Float[Tensor, "time batch row col output"], list[Tensor]]:
        """Return the outputs of all steps, and what is kept.

        Kept are X of layer 0, then gates, C and H of each layer; without `keep`, of one step only.
        """
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
        activations = self._activations(parts)
        shape = (steps, *self.frames.shape[1:4], len(self.bias))
        outputs = self.frames.new_empty(shape, dtype=self.state_dtype)
        for step in range(steps):
            now = step if keep else 0  # without keep, each step overwrites the one before
            x = entered[now].copy_(self._input(step, outputs))
            before = None if step == 0 else now - keep
            for layer, own in zip(self.layers, activations, strict=True):
                x = own.forward(layer, x, now, before)
            outputs[step] = torch.nn.functional.linear(
                x.to(self.state_dtype), self.readout, self.bias
            )
        return outputs, [entered, *parts]

    def _activations(self, parts: Sequence[Tensor]) -> list[Activations]:
        """Group gates, C and H by layer; layers of one size share their scratch."""
        grid = self.frames.shape[1:4]
        scratch = {
            hidden: self.frames.new_empty((3, *grid, hidden), dtype=self.state_dtype)
            for hidden in {layer.hidden for layer in self.layers}
        }
        activations = []
        for number, layer in enumerate(self.layers):
            gates, cell, hidden = parts[3 * number : 3 * number + 3]
            activations.append(Activations(gates, cell, hidden, scratch[layer.hidden]))
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
        """Return the gradients of the frames (None without `of_frames`) and of the weights.

        Args:
            kept: from `forward`; the gates are overwritten.
            grads: of the outputs, modified in place: where step t took output t - 1 as its input,
                the gradient of that input is added to grads[t - 1].
            of_frames: whether the frames need a gradient.
        """
        entered, *parts = kept
        activations = self._activations(parts)
        frames = torch.zeros_like(self.frames) if of_frames else None
        dh, dc = ([torch.zeros_like(own.cell[0]) for own in activations] for _ in range(2))
        for step in reversed(range(len(grads))):
            above = grads[step] @ self.readout
            for number in reversed(range(len(self.layers))):
                layer = self.layers[number]
                grad = activations[number].backward(layer, step, above + dh[number], dc[number])
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
        self.buffers[:] = kept
        of_input = None if frames is None else frames.permute(1, 0, 4, 2, 3)
        return [of_input, *self._weight_gradients(entered, activations, grads)]

    def _weight_gradients(
        self, entered: Tensor, activations: Sequence[Activations], grads: Tensor
    ) -> list[Tensor]:
        """Return the gradients of all weights, after the gates hold those of pre-activations."""
        weights, x = [], entered
        for layer, own in zip(self.layers, activations, strict=True):
            weights += own.peephole_gradients(layer)
            weights += layer.weight_gradients(own.gates, x, own.hidden)
            x = own.hidden
        flat = grads.flatten(0, -2)
        readout = flat.T @ x.flatten(0, -2).to(flat.dtype)
        return [*weights, readout[..., None, None], flat.sum(dim=0)]


# ---- the function that autograd sees -------------------------------------------------------------


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
        return frames, None, None, *weights


def unroll(
    frames: Float[Tensor, "batch known channel row col"],
    fed: Bool[Tensor, "batch steps"],
    cells: Sequence[Sequence[Tensor]],
    readout: Sequence[Tensor],
    dtype: torch.dtype,
    buffers: list[Tensor],
) -> Float[Tensor, "batch steps output row col"]:
    """Compute `Network.plain` from the parameters of the cells and of the readout.

    Args:
        frames: true frames, as in `Network.plain`.
        fed: where they are fed, as in `Network.plain`.
        cells: for each layer its parameters in their order: the peepholes of I, F and O if any,
            then weight and bias of its gates.
        readout: weight and bias.
        dtype: precision of the convolutions: that of the weights, or bfloat16.
        buffers: a list that the caller owns and passes every time; the buffers of one step of
            training are used again by the next. Fresh memory costs a tenth of a step on a CPU.
    """
    weights = [weight for cell in cells for weight in cell] + [*readout]
    keep = torch.is_grad_enabled() and any(x.requires_grad for x in (frames, *weights))
    options = Options(len(cells), dtype, keep, buffers)
    outputs: Tensor = Unroll.apply(frames, fed, options, *weights)  # type: ignore[no-untyped-call]
    return outputs.permute(1, 0, 4, 2, 3)
