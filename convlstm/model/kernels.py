"""The interface of functions that compute the gates of a step in one pass over memory.

torch goes through memory fifteen times. `c_kernels` do it once on a CPU and `triton_kernels` on a
GPU, with the same results but for rounding.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

Own = Float[Tensor, "batch row col hidden"]
Gates = Float[Tensor, "batch row col gates"]
Peepholes = Sequence[Float[Tensor, "row col hidden"]]
"""Those of I, F and O, or none."""
Two = tuple[Own, Own]
Sums = Float[Tensor, "thread gates"]


@runtime_checkable
class Kernels(Protocol):
    """The functions for gates of one dtype, in which C and H are kept, too.

    The state, which is C as it goes from step to step, and the gradient of C are float32. H, its
    gradients and the C before may lie among other channels, or be one row of zeros for all pixels;
    the other tensors are contiguous.
    """

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the gates, C and H."""

    @property
    def sums_bias(self) -> bool:
        """Whether `backward` adds up the gradient of the bias."""

    def forward(
        self, z: Gates, state: Own, peepholes: Peepholes, *, gates: Gates, cell: Own, hidden: Two
    ) -> None:
        """Write I, F, O, G, C and H of a step.

        Args:
            z: the pre-activations, and -2 times that of the candidate.
            state: C of the step before; overwritten with that of this step.
            peepholes: of the layer.
            gates: where to write I, F, O and G.
            cell: where to write C.
            hidden: two places at which to write H; they may be one.
        """

    def backward(
        self,
        dh: Two,
        cell: Own,
        before: Own,
        peepholes: Peepholes,
        written: tuple[Gates, Own, Sums],
    ) -> None:
        """Overwrite the gates with the gradients of their pre-activations.

        Args:
            dh: two parts of the gradient of H: from above, and from the next step.
            cell: C of the step.
            before: C of the step before.
            peepholes: of the layer.
            written: I, F, O and G, overwritten; the gradient of C that comes from the next step,
                overwritten with that of C before; and the sums of the gradients of the
                pre-activations over all pixels, a row for each thread, to which those of this step
                are added.
        """


def pixel_gap(tensor: Own) -> int:
    """Return the distance in memory from one pixel to the next, which is everywhere the same."""
    pixels = tensor.view(-1, tensor.shape[-1])  # refuses pixels that are not equally far apart
    assert tensor.shape[-1] == 1 or pixels.stride(1) == 1
    return pixels.stride(0)
