"""The arithmetic of the gates in C, compiled when a training begins.

torch goes through memory fifteen times for the gates of a step, `gates.c` once. Where there is no
C compiler, torch computes the gates, with the same results but for rounding.
"""

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from jaxtyping import Float
from torch import Tensor

SOURCE = Path(__file__).with_name("gates.c")
COMPILER = "cc"
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp")
LONGEST_SECONDS = 60  # of a compilation, which takes one

PLACE = (ctypes.c_void_p,)
SPACED = (ctypes.c_void_p, ctypes.c_long)
"""A place, and the distance from one pixel to the next."""
SIZES = (*[ctypes.c_long] * 3, ctypes.c_int)
TAKEN = {
    "forward": (*SIZES, *PLACE, *SPACED, *PLACE * 3, *PLACE * 2, *SPACED * 2),
    "backward": (*SIZES, *SPACED * 2, *PLACE, *SPACED, *PLACE * 3, *PLACE * 3),
}
"""The arguments of the functions in C."""

Own = Float[Tensor, "batch row col hidden"]
Gates = Float[Tensor, "batch row col gates"]
Peepholes = Sequence[Float[Tensor, "row col hidden"]]
"""Those of I, F and O, or none."""
Two = tuple[Own, Own]
Sums = Float[Tensor, "thread gates"]


@dataclass(frozen=True)
class Kernels:
    """The functions of gates.c for gates of one dtype; C and its gradient are float32.

    H, its gradients and the C before may lie among other channels, or be one row of zeros for all
    pixels; the other tensors are contiguous.
    """

    library: ctypes.CDLL
    dtype: torch.dtype

    def forward(
        self, z: Gates, before: Own, peepholes: Peepholes, *, gates: Gates, cell: Own, hidden: Two
    ) -> None:
        """Write I, F, O, G, C and H of a step.

        Args:
            z: the pre-activations, and -2 times that of the candidate.
            before: C of the step before.
            peepholes: of the layer.
            gates: where to write I, F, O and G.
            cell: where to write C.
            hidden: two places at which to write H; they may be one.
        """
        read = (*_at(z, self.dtype), *_spaced(before, cell.dtype), *_three(peepholes))
        written = (*_at(gates, self.dtype), *_at(cell, torch.float32))
        places = (*_spaced(hidden[0], self.dtype), *_spaced(hidden[1], self.dtype))
        self.library.forward(*_sizes(cell), torch.get_num_threads(), *read, *written, *places)

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
        gates, dc, sums = written
        parts = (*_spaced(dh[0], self.dtype), *_spaced(dh[1], self.dtype))
        read = (*_at(cell, dc.dtype), *_spaced(before, cell.dtype), *_three(peepholes))
        places = (*_at(gates, self.dtype), *_at(dc, torch.float32), *_at(sums, dc.dtype))
        self.library.backward(*_sizes(cell), len(sums), *parts, *read, *places)


# C takes on trust what these make sure of: it would read and write elsewhere.


def _sizes(cell: Own) -> tuple[int, int, int]:
    batch, rows, cols, hidden = cell.shape
    return batch * rows * cols, hidden, rows * cols


def _at(tensor: Tensor, dtype: torch.dtype) -> tuple[int]:
    assert tensor.is_contiguous()
    assert (tensor.dtype, tensor.device.type) == (dtype, "cpu")
    return (tensor.data_ptr(),)


def _spaced(tensor: Own, dtype: torch.dtype) -> tuple[int, int]:
    pixels = tensor.view(-1, tensor.shape[-1])  # refuses pixels that are not equally far apart
    assert tensor.shape[-1] == 1 or pixels.stride(1) == 1
    assert (tensor.dtype, tensor.device.type) == (dtype, "cpu")
    return tensor.data_ptr(), pixels.stride(0)


def _three(peepholes: Peepholes) -> tuple[int | None, ...]:
    return tuple(_at(one, torch.float32)[0] for one in peepholes) or (None,) * 3


@lru_cache
def compiled(dtype: torch.dtype) -> Kernels | None:
    """Return the functions for gates of this dtype, or None if they cannot be had here.

    They are compiled into a folder that only this user may enter and that is gone when they are
    loaded, so that no program of someone else can be loaded in their place.
    """
    compiler = shutil.which(COMPILER)
    if compiler is None or dtype not in (torch.float32, torch.bfloat16):
        return None
    define = f"-DBFLOAT16={int(dtype == torch.bfloat16)}"
    with TemporaryDirectory() as folder:
        file = Path(folder, "gates.so")
        command = [compiler, *FLAGS, define, "-shared", "-fPIC", str(SOURCE), "-o", str(file)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=LONGEST_SECONDS)
            library = ctypes.CDLL(str(file))
        except (OSError, subprocess.SubprocessError):  # a compiler without OpenMP, a full disk
            return None
    for name, taken in TAKEN.items():
        function = getattr(library, name)  # which the library keeps; library[name] is new each time
        function.argtypes, function.restype = taken, None
    return Kernels(library, dtype)
