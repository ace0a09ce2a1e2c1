"""One layer of the fast path: a step of a ConvLSTM, and the same step back, written by hand.

The equations are those of `cells`, with G = tanh(..) for the candidate, and 1 - 2 sigmoid(-2 x) for
tanh(x), as on a CPU torch's tanh takes six times as long as its sigmoid. Tensors here are (time,
batch, row, col, channel): convolutions of this layout, torch's channels-last, are the fastest. In
bfloat16 the convolutions and all that is kept but C are rounded; C, the gates' arithmetic and the
gradients of H and C stay in the precision of the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.grad import conv2d_weight

aten = torch.ops.aten
ONE = torch.ones(())  # from a plain number torch subtracts into new memory only


@dataclass(frozen=True)
class Layer:
    """The weights of a cell as the convolutions take them, in the precision of the work.

    `turned` are they for the way back: the gradient of the input is a convolution forward with the
    kernels turned by half a circle, and faster so. In `weight` and `bias` the candidate's part is
    -2 times what it is, so that one sigmoid serves all of I, F, O and G. `peepholes` are those of
    I, F and O, each (row, col, hidden), or there are none.
    """

    weight: Tensor
    turned: Tensor
    bias: Tensor
    peepholes: tuple[Tensor, ...]

    @classmethod
    def of(cls, weights: Sequence[Tensor], dtype: torch.dtype) -> "Layer":
        """From the parameters of a cell in their order: peepholes if any, then its gates'."""
        *peepholes, weight, bias = weights
        turned = weight.to(dtype).flip(2, 3).transpose(0, 1)
        factor = weight.new_ones(len(bias))
        factor[-(len(bias) // 4) :] = -2
        weight = (weight * factor[:, None, None, None]).to(dtype)
        return cls(
            weight.contiguous(memory_format=torch.channels_last),
            turned.contiguous(memory_format=torch.channels_last),
            (bias * factor).to(dtype),
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
        """Pre-activations of I, F and O, and -2 times G's; without `hidden`, of X alone."""
        joined = x if hidden is None else torch.cat((x, hidden), dim=-1)
        weight = self.weight[:, : joined.shape[-1]]
        rows = torch.conv2d(_nchw(joined), weight, self.bias, padding=weight.shape[-1] // 2)
        return _nhwc(rows)

    def gradient_of_input(self, grad: Tensor, start: int, stop: int) -> Tensor:
        """What `grad` of the pre-activations is for channels start to stop of (X, H)."""
        weight = self.turned[start:stop]
        return _nhwc(torch.conv2d(_nchw(grad), weight, padding=weight.shape[-1] // 2))

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


def tanh(x: Tensor, out: Tensor) -> Tensor:
    """The tanh of `x`, as this module takes it; a GPU has a kernel for it."""
    if x.is_cuda:
        return torch.tanh(x, out=out)
    return torch.sub(ONE, torch.mul(x, -2, out=out).sigmoid_(), alpha=2, out=out)


@dataclass(frozen=True)
class Memory:
    """What a layer keeps, each (time, batch, row, col, channel); without gradients, of one step.

    `scratch` is room for three passing things, for new memory costs more than what is done there.
    """

    gates: Tensor
    cell: Tensor
    hidden: Tensor
    scratch: Tensor

    def forward(self, layer: Layer, x: Tensor, now: int, before: int | None) -> Tensor:
        """Write step `now` after step `before` (None: zeros); returns H."""
        hidden = None if before is None else self.hidden[before]
        z = layer.convolve(x, hidden).to(self.cell.dtype)
        a = self.gates[now] if self.gates.dtype == z.dtype else z
        own = layer.hidden
        if layer.peepholes:
            late = z[..., 2 * own : 3 * own].clone()
            if before is not None:
                z[..., :own].addcmul_(self.cell[before], layer.peepholes[0])
                z[..., own : 2 * own].addcmul_(self.cell[before], layer.peepholes[1])
        torch.sigmoid(z, out=a)
        i, f, o, g = a.chunk(4, dim=-1)
        torch.sub(ONE, g, alpha=2, out=g)
        cell = self.cell[now]
        if before is None:
            torch.mul(i, g, out=cell)
        else:
            torch.mul(f, self.cell[before], out=cell).addcmul_(i, g)
        if layer.peepholes:
            torch.sigmoid(late.addcmul_(cell, layer.peepholes[2]), out=o)
        if a is z:
            self.gates[now] = a
        return torch.mul(o, tanh(cell, self.scratch[0]), out=self.hidden[now])

    def backward(self, layer: Layer, step: int, dh: Tensor, dc: Tensor) -> Tensor:
        """Turn the gates of `step` into the gradients of their pre-activations, and return them.

        `dh` is the gradient of H; `dc`, that of C from the next step, becomes that of the last C.
        """
        a = self.gates[step].to(dc.dtype)
        i, f, o, g = a.chunk(4, dim=-1)
        do, di, dg = self.scratch
        tanh(self.cell[step], do).mul_(dh)
        dc.addcmul_(dh, o).addcmul_(do, self.hidden[step], value=-1)  # 1 - tanh^2 from H = O tanh
        aten.sigmoid_backward.grad_input(do, o, grad_input=o)
        if layer.peepholes:
            dc.addcmul_(o, layer.peepholes[2])
        torch.mul(dc, g, out=di)
        torch.mul(dc, i, out=dg)
        if step == 0:
            f.zero_()
        else:
            df = torch.mul(dc, self.cell[step - 1], out=do)
            dc *= f
            aten.sigmoid_backward.grad_input(df, f, grad_input=f)
        aten.sigmoid_backward.grad_input(di, i, grad_input=i)
        aten.tanh_backward.grad_input(dg, g, grad_input=g)
        if layer.peepholes:
            dc.addcmul_(i, layer.peepholes[0]).addcmul_(f, layer.peepholes[1])
        if a.dtype != self.gates.dtype:
            self.gates[step] = a
        return self.gates[step]

    def gradient_of_peepholes(self, layer: Layer) -> list[Tensor]:
        """Of the weights on C in I, F and O, from the gradients that `backward` has left."""
        if not layer.peepholes:
            return []
        i, f, o, _ = self.gates.chunk(4, dim=-1)
        before, after = self.cell[:-1], self.cell
        pairs = ((i[1:], before), (f[1:], before), (o, after))
        return [(grad * cell).sum(dim=(0, 1)).permute(2, 0, 1) for grad, cell in pairs]
