"""The arithmetic of the gates on a CPU: `gates.c`, compiled when a training begins."""

import ctypes
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from convlstm.model.kernels import Gates, Own, Peepholes, Sums, Two, pixel_gap

SOURCE = Path(__file__).with_name("gates.c")
COMPILER = "cc"
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp")
LONGEST_SECONDS = 60  # of a compilation, which takes one

PLACE = (ctypes.c_void_p,)
SPACED = (ctypes.c_void_p, ctypes.c_long)
"""A place, and the distance from one pixel to the next."""
SIZES = (*[ctypes.c_long] * 3, ctypes.c_int)
TAKEN = {
    "forward": (*SIZES, *PLACE * 2, *PLACE * 3, *PLACE * 2, *SPACED * 2),
    "backward": (*SIZES, *SPACED * 2, *PLACE, *SPACED, *PLACE * 3, *PLACE * 3),
}
"""The arguments of the functions in C."""


@dataclass(frozen=True)
class CKernels:
    """The functions of gates.c for gates of one dtype."""

    library: ctypes.CDLL
    dtype: torch.dtype
    sums_bias = True

    def forward(
        self, z: Gates, state: Own, peepholes: Peepholes, *, gates: Gates, cell: Own, hidden: Two
    ) -> None:
        """Write I, F, O, G, C and H of a step, as `Kernels` has it."""
        read = (*_at(z, self.dtype), *_at(state, torch.float32), *_three(peepholes))
        written = (*_at(gates, self.dtype), *_at(cell, self.dtype))
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
        """Overwrite the gates and dC with gradients, as `Kernels` has it."""
        gates, dc, sums = written
        parts = (*_spaced(dh[0], self.dtype), *_spaced(dh[1], self.dtype))
        read = (*_at(cell, self.dtype), *_spaced(before, self.dtype), *_three(peepholes))
        places = (*_at(gates, self.dtype), *_at(dc, torch.float32), *_at(sums, torch.float32))
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
    assert (tensor.dtype, tensor.device.type) == (dtype, "cpu")
    return tensor.data_ptr(), pixel_gap(tensor)


def _three(peepholes: Peepholes) -> tuple[int | None, ...]:
    return tuple(_at(one, torch.float32)[0] for one in peepholes) or (None,) * 3


@lru_cache
def compiled(dtype: torch.dtype) -> CKernels | None:
    """Return the functions for gates of this dtype, or None if they cannot be had here.

    They are compiled in a folder that only this user may enter and that is gone when they are
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
    return CKernels(library, dtype)
