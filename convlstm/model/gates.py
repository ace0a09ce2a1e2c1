"""The gates of one layer at one step, forward and backward, with little work around them.

The equations are those of `cells`, with G = tanh(..) for the candidate. A tanh is computed as
1 - 2 sigmoid(-2 x), for G everywhere and for tanh(C) on a CPU, where torch's tanh takes six times
as long as its sigmoid. Tensors are (time, batch, row, col, channel) here: convolutions of this
layout, torch's channels-last, are the fastest. With bfloat16, the inputs and results of the
convolutions and all that is kept are rounded; C as it goes from step to step, the peepholes, the
arithmetic of the gates and the sums of gradients stay in the precision of the weights. `kernels`
have the same arithmetic in one pass over memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.grad import conv2d_weight

from convlstm.model import c_kernels
from convlstm.model.kernels import Kernels

aten = torch.ops.aten
ONE = torch.ones(())  # made once, not at every call

Maps = Float[Tensor, "batch row col _"]
"""Any number of channels at one step."""


def kernels_of(dtype: torch.dtype, device: torch.device) -> Kernels | None:
    """Return what computes gates of this dtype in one pass, or None where nothing can."""
    if device.type == "cpu":
        return c_kernels.compiled(dtype)
    if device.type != "cuda" or find_spec("triton") is None:
        return None
    from convlstm.model import triton_kernels  # Triton is there with CUDA only

    return triton_kernels.compiled(dtype)


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

    def convolve(self, entered: Maps) -> Float[Tensor, "batch row col gates"]:
        """Return the pre-activations of I, F and O, and -2 times that of G.

        Args:
            entered: X and H of the step before; or X alone, for a zero H.
        """
        weight = self.weight[:, : entered.shape[-1]]
        maps = torch.conv2d(_nchw(entered), weight, self.bias, padding=weight.shape[-1] // 2)
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
    """A layer and what its backward pass needs of each step.

    `entered` holds X and H of the step before as the convolution takes them, side by side; a step
    writes its H for the next step, and into `above`, which is X of the next layer or what the
    readout reads. So `entered` has one entry more than there are steps, or two that take turns
    where no backward pass follows; then gates and C are of one step only. The gates may be of one
    step also beside C and H of all: then the backward pass computes them again, and `sums` are the
    gradients of peepholes and weight so far. `state` is C as it goes from step to step, in the
    precision of the weights. `scratch` holds three buffers that every step uses again, because
    allocating memory costs more than the arithmetic. `kernels` compute in the place of torch, if
    there are any. The rows of `bias`, one for each thread, add up to the gradient of the bias.
    """

    layer: Layer
    entered: Float[Tensor, "moment batch row col both"]
    gates: Float[Tensor, "kept batch row col gates"]
    cell: Float[Tensor, "time batch row col hidden"]
    state: Float[Tensor, "batch row col hidden"]
    above: Float[Tensor, "step batch row col hidden"]
    scratch: Float[Tensor, "3 batch row col hidden"]
    kernels: Kernels | None
    bias: Float[Tensor, "thread gates"]
    sums: list[Tensor] = field(default_factory=list)

    @property
    def x(self) -> Float[Tensor, "moment batch row col inputs"]:
        """The inputs of all steps."""
        return self.entered[..., : self.layer.inputs]

    def forward(self, step: int) -> None:
        """Write I, F, O, G, C and H of a step, whose X and H before are there."""
        if step == 0:
            self.state.zero_()
        views = self._views
        places = _at(views.hidden, step + 1), _at(views.above, step)
        self._compute(step, _at(views.cell, step), places)

    def _compute(self, step: int, cell: Maps, places: tuple[Maps, Maps]) -> None:
        """Compute the gates of a step, and C and H at these places, from the state before."""
        views, gates = self._views, self._gates(step)
        # H before step 0 is zero, and nothing of it is computed
        z = self.layer.convolve(_at(views.entered if step else views.x, step))
        if self.kernels is None:
            o = self._by_torch(z.to(self.state.dtype), gates)
            cell.copy_(self.state)
            torch.mul(o, tanh(self.state, self.scratch[0]), out=places[0])
            places[1].copy_(places[0])
        else:
            own = self.layer.peepholes
            self.kernels.forward(z, self.state, own, gates=gates, cell=cell, hidden=places)

    def _by_torch(
        self, z: Float[Tensor, "batch row col gates"], kept: Float[Tensor, "batch row col gates"]
    ) -> Float[Tensor, "batch row col hidden"]:
        """Write the gates of a step and overwrite the state; return O before it is rounded."""
        # In one precision the gates are computed where they are kept; else in `z`, then copied.
        layer, state = self.layer, self.state
        a = kept if kept.dtype == z.dtype else z
        own = layer.hidden
        if layer.peepholes:
            late = z[..., 2 * own : 3 * own].clone()  # O sees C(t), which is not there yet
            # overwrites the pre-activations of I and F in z
            z[..., :own].addcmul_(state, layer.peepholes[0])
            z[..., own : 2 * own].addcmul_(state, layer.peepholes[1])
        torch.sigmoid(z, out=a)
        i, f, o, g = a.chunk(4, dim=-1)
        torch.sub(ONE, g, alpha=2, out=g)  # overwrites sigmoid(-2 x) with tanh(x)
        state.mul_(f).addcmul_(i, g)
        if layer.peepholes:
            torch.sigmoid(late.addcmul_(state, layer.peepholes[2]), out=o)
        if a is z:
            kept.copy_(a)
        return o

    def backward(
        self, step: int, above: Maps, later: Maps | None, dc: Float[Tensor, "batch row col hidden"]
    ) -> Float[Tensor, "batch row col gates"]:
        """Overwrite the gates of `step` with the gradients of their pre-activations; return them.

        Args:
            step: counted down from the last to the first.
            above: gradient of H as the layer above, or the readout, has it.
            later: gradient of H as the next step has it, if there is one.
            dc: gradient of C that comes from the next step; overwritten with the gradient of the C
                before this step.
        """
        if self.recomputes:
            self._compute_again(step)
        if self.kernels is None:
            wide = above.to(dc.dtype)
            grad = self._overwritten(step, wide if later is None else wide + later, dc)
        else:
            grad = self._gates(step)
            dh = above, _zeros(above) if later is None else later
            cell, before = self.cell[step], self._before(step)
            self.kernels.backward(dh, cell, before, self.layer.peepholes, (grad, dc, self.bias))
        if self.recomputes:
            new = self._gradients(grad[None], step, step + 1)
            self.sums[:] = map(torch.add, self.sums, new) if self.sums else new
        return grad

    def _compute_again(self, step: int) -> None:
        """Compute the gates of a step a second time, and drop C and H, which are kept."""
        self.state.copy_(self._before(step))
        spare = torch.empty_like(self.cell[step])
        self._compute(step, spare, (spare, spare))

    def _overwritten(
        self,
        step: int,
        dh: Float[Tensor, "batch row col hidden"],
        dc: Float[Tensor, "batch row col hidden"],
    ) -> Float[Tensor, "batch row col gates"]:
        layer, kept = self.layer, self._gates(step)
        a = kept.to(dc.dtype)
        i, f, o, g = a.chunk(4, dim=-1)
        do, di, dg = self.scratch
        tanh(self.cell[step].to(dc.dtype), do).mul_(dh)  # do = dL/dO = tanh(C) dh
        # dc += dh O (1 - tanh^2 C), where O tanh^2 C = tanh(C) H, since H = O tanh(C)
        dc.addcmul_(dh, o).addcmul_(do, self.above[step], value=-1)
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
        return kept if a is kept else kept.copy_(a)

    def weight_gradients(self) -> list[Tensor]:
        """Return the gradients of all weights, after `backward` has gone through all steps.

        They are those of the peepholes, if there are any, then of weight and bias.
        """
        sums = self.sums or self._gradients(self.gates, 0, len(self.gates))
        return [*sums, self.bias.sum(dim=0)]

    @property
    def recomputes(self) -> bool:
        """Whether the gates of a step are computed again for its backward pass."""
        return len(self.gates) < len(self.cell)

    @cached_property
    def _views(self) -> "_Views":
        hidden = self.entered[..., self.layer.inputs :]
        tensors = self.entered, self.x, hidden, self.above, self.gates, self.cell
        return _Views(*(tensor.unbind() for tensor in tensors))

    def _gates(self, step: int) -> Float[Tensor, "batch row col gates"]:
        return _at(self._views.gates, step)

    def _before(self, step: int) -> Float[Tensor, "batch row col hidden"]:
        return self.cell[step - 1] if step else _zeros(self.cell[0])

    def _gradients(
        self, grad: Float[Tensor, "some batch row col gates"], start: int, stop: int
    ) -> list[Tensor]:
        """Return what steps [start, stop) add to the gradients of peepholes and weight.

        Args:
            grad: gradients of the pre-activations of these steps.
            start: first step.
            stop: step after the last one.
        """
        later = max(start, 1)  # C and H before step 0 are zero
        late = grad[later - start :]
        peepholes = []
        if self.layer.peepholes:
            i, f, _, _ = late.chunk(4, dim=-1)
            o, before = grad.chunk(4, dim=-1)[2], self.cell[later - 1 : stop - 1]
            pairs = ((i, before), (f, before), (o, self.cell[start:stop]))
            peepholes = [self._summed(one, c).permute(2, 0, 1) for one, c in pairs]
        weight = self.state.new_zeros(self.layer.weight.shape)
        if start == 0:
            weight[:, : self.layer.inputs] = self._correlated(self.x[:1], grad[:1])
        if len(late):
            weight += self._correlated(self.entered[later:stop], late)
        if self.kernels is None or not self.kernels.sums_bias:
            self.bias[0] += grad.flatten(0, -2).sum(dim=0)
        return [*peepholes, weight]

    def _summed(
        self,
        grad: Float[Tensor, "some batch row col hidden"],
        cell: Float[Tensor, "some batch row col hidden"],
    ) -> Float[Tensor, "row col hidden"]:
        return (grad * cell.to(self.state.dtype)).sum(dim=(0, 1))

    def _correlated(
        self,
        inputs: Float[Tensor, "some batch row col both"],
        grads: Float[Tensor, "some batch row col gates"],
    ) -> Float[Tensor, "gates both kernel kernel"]:
        """Return the gradient of the kernels that turned `inputs` into what has these gradients."""
        kernel = self.layer.weight.shape[-2:]
        size = (grads.shape[-1], inputs.shape[-1], *kernel)
        flat = _nchw(inputs.flatten(0, 1)), _nchw(grads.flatten(0, 1))
        return conv2d_weight(flat[0], size, flat[1], padding=kernel[0] // 2)  # type: ignore[no-untyped-call,no-any-return]


class _Views(NamedTuple):
    """Views of the `Activations` by steps; made once, because each view takes microseconds."""

    entered: tuple[Tensor, ...]
    x: tuple[Tensor, ...]
    hidden: tuple[Tensor, ...]
    above: tuple[Tensor, ...]
    gates: tuple[Tensor, ...]
    cell: tuple[Tensor, ...]


def _at(kept: tuple[Tensor, ...], step: int) -> Tensor:
    """Return what is kept of a step, where only that of some last steps may be."""
    return kept[step % len(kept)]


def _zeros(like: Float[Tensor, "batch row col channel"]) -> Float[Tensor, "batch row col channel"]:
    """Return zeros of this shape that take the memory of one pixel."""
    return like.new_zeros(like.shape[-1]).expand_as(like)
