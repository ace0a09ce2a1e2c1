"""The arithmetic of the gates in C, compiled when a training begins.

torch goes through memory fifteen times for the gates of a step, `gates.c` once. Where there is no
C compiler, torch computes the gates, with the same results but for rounding.
"""

import ctypes
import platform
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
WHOLE_REGISTERS = "-mprefer-vector-width=512"  # of x86, of which compilers else use the half
LONGEST_SECONDS = 60  # of a compilation, which takes one

Own = Float[Tensor, "batch row col hidden"]
Gates = Float[Tensor, "batch row col gates"]
Peepholes = Sequence[Float[Tensor, "row col hidden"]]
"""Those of I, F and O, or none."""


@dataclass(frozen=True)
class Kernels:
    """The functions of gates.c for gates of one dtype; C and all gradients but theirs are float32.

    All tensors are contiguous.
    """

    library: ctypes.CDLL
    dtype: torch.dtype

    def forward(
        self, z: Gates, before: Own, peepholes: Peepholes, *, gates: Gates, cell: Own, hidden: Own
    ) -> None:
        """Write I, F, O, G, C and H of a step.

        Args:
            z: the pre-activations, and -2 times that of the candidate.
            before: C of the step before.
            peepholes: of the layer.
            gates: where to write I, F, O and G.
            cell: where to write C.
            hidden: where to write H.
        """
        self._check(kept=(z, gates, hidden), wide=(before, cell, *peepholes))
        self._call("forward", cell, (z, before), peepholes, (gates, cell, hidden))

    def backward(
        self, dh: Own, cell: Own, before: Own, peepholes: Peepholes, *, gates: Gates, dc: Own
    ) -> None:
        """Overwrite the gates with the gradients of their pre-activations.

        Args:
            dh: gradient of H.
            cell: C of the step.
            before: C of the step before.
            peepholes: of the layer.
            gates: I, F, O and G; overwritten.
            dc: gradient of C that comes from the next step; overwritten with that of C before.
        """
        self._check(kept=(gates,), wide=(dh, cell, before, dc, *peepholes))
        self._call("backward", cell, (dh, cell, before), peepholes, (gates, dc))

    def _check(self, *, kept: Sequence[Tensor], wide: Sequence[Tensor]) -> None:
        """Make sure of what C takes on trust: it would read and write elsewhere."""
        for tensors, dtype in ((kept, self.dtype), (wide, torch.float32)):
            for tensor in tensors:
                assert tensor.is_contiguous()
                assert (tensor.dtype, tensor.device.type) == (dtype, "cpu")

    def _call(
        self,
        name: str,
        cell: Own,
        read: Sequence[Tensor],
        peepholes: Peepholes,
        written: Sequence[Tensor],
    ) -> None:
        batch, rows, cols, hidden = cell.shape
        sizes = [ctypes.c_long(size) for size in (batch * rows * cols, hidden, rows * cols)]
        tensors = (*read, *(peepholes or (None,) * 3), *written)
        places = [ctypes.c_void_p(None if one is None else one.data_ptr()) for one in tensors]
        self.library[name](*sizes, torch.get_num_threads(), *places)


@lru_cache
def compiled(dtype: torch.dtype) -> Kernels | None:
    """Return the functions for gates of this dtype, or None if they cannot be had here.

    They are compiled into a folder that only this user may enter and that is gone when they are
    loaded, so that no program of someone else can be loaded in their place.
    """
    compiler = shutil.which(COMPILER)
    if compiler is None or dtype not in (torch.float32, torch.bfloat16):
        return None
    x86 = platform.machine() == "x86_64"
    define = f"-DBFLOAT16={int(dtype == torch.bfloat16)}"
    with TemporaryDirectory() as folder:
        library = Path(folder, "gates.so")
        flags = [*FLAGS, *[WHOLE_REGISTERS] * x86, define, "-shared", "-fPIC"]
        command = [compiler, *flags, str(SOURCE), "-o", str(library)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=LONGEST_SECONDS)
            return Kernels(ctypes.CDLL(str(library)), dtype)
        except (OSError, subprocess.SubprocessError):  # a compiler without OpenMP, a full disk
            return None
